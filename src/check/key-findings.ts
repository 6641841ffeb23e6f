/** The signing key and its certificate, as registries of each version will take them. */
import { statSync } from 'node:fs';
import type { LoadedConfiguration } from '../config/load.ts';
import { SAMPLE_KEY_THUMBPRINT } from '../keys/key-ids.ts';
import type { SigningKey } from '../keys/signing-key.ts';
import type { Finding } from './finding.ts';

export function findKeyFaults(loaded: LoadedConfiguration, key: SigningKey): Finding[] {
  const { signing } = loaded.configuration;
  const findings: Finding[] = [];
  const add = (severity: Finding['severity'], code: string, path: string[], fault: string, mend: string) =>
    findings.push({ severity, code, place: loaded.placeOf(path), fault, mend });
  const keyPath = ['signing', 'keyPath'];

  const mode = statSync(loaded.resolvePath(signing.keyPath), { throwIfNoEntry: false })?.mode ?? 0;
  // A group that may read it is how `keygen` gives it to the service: root:registry-token, 0640.
  if ((mode & 0o037) !== 0)
    add(
      'warning',
      'key-permissions',
      keyPath,
      `Users other than its owner and group can read the signing key (mode ${(mode & 0o777).toString(8)}).`,
      `chmod 640 ${loaded.resolvePath(signing.keyPath)}`,
    );
  if (key.thumbprint === SAMPLE_KEY_THUMBPRINT)
    add(
      'warning',
      'key-sample',
      keyPath,
      'This is the sample key, which is public.',
      'registry-token keygen --out DIR',
    );
  if (key.algorithm === 'EdDSA')
    add(
      'warning',
      'key-eddsa',
      keyPath,
      'An Ed25519 key: registry 3.0 and newer verify it, 2.8 refuses every token.',
      'For 2.8: registry-token keygen --out DIR --algorithm ES256',
    );
  if (key.certificates.length === 0 && signing.keyId !== 'libtrust')
    add(
      'warning',
      'key-without-x5c',
      ['signing', 'keyId'],
      'There is no certificatePath: in a rootcertbundle, registry 2.8 looks a key up by its libtrust ID alone, and 3.0 by thumbprint only where it is RSA.',
      'Set signing.certificatePath, or give 3.x the key set as its jwks, and 2.8 signing.keyId: libtrust.',
    );
  if (key.certificates.length === 0 && signing.keyId === 'thumbprint' && hasLeadingZero(key))
    add(
      'error',
      'key-leading-zero',
      keyPath,
      'A coordinate of this key starts with a zero byte: registry 3.1 computes another thumbprint for it.',
      'Make another key: registry-token keygen --out DIR',
    );
  return findings;
}

function hasLeadingZero({ publicJwk: { x, y } }: SigningKey): boolean {
  return [x, y].some(
    (coordinate) => coordinate !== undefined && Buffer.from(coordinate, 'base64url')[0] === 0,
  );
}
