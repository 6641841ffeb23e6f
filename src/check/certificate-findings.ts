/** Certificates that end within 30 days, or have ended: our own, and those of the authorities that we trust. */
import type { LoadedConfiguration } from '../config/load.ts';
import { parseKeyPath } from '../document/text.ts';
import { type CertificateFile, describeEnd, groupByFile } from '../status/certificates.ts';
import type { CertificateState } from '../status/snapshot.ts';
import type { Finding } from './finding.ts';

/** An ended signing or TLS certificate is a mistake already: the service does not start with it. */
export function findCertificateEnds(
  loaded: LoadedConfiguration,
  certificates: readonly CertificateState[],
  now: number,
): Finding[] {
  return groupByFile(certificates, now).flatMap((file): Finding[] => {
    if (file.state === 'ok') return [];
    return [
      {
        severity: file.state,
        code: file.days < 0 ? 'certificate-ended' : 'certificate-ends-soon',
        place: loaded.placeOf(parseKeyPath(file.key)),
        fault: describeEnd(file),
        mend: mendOf(file),
      },
    ];
  });
}

function mendOf({ use, file, key }: CertificateFile): string {
  switch (use) {
    case 'signing':
      return 'registry-token keygen --rotate makes the next key and prints the steps in order.';
    case 'additional-key':
      return `Remove it from ${key}, if registries no longer need it.`;
    case 'tls':
      return `Replace ${file}: a running service picks it up.`;
    case 'client-ca':
    case 'authority-ca':
      return `Add the certificate of its successor to ${file}, and remove it.`;
  }
}
