/** Keys and self-signed certificates as openssl makes them. */
import { runOrFail, type TemporaryFolder } from './processes.ts';

export interface CertificateFiles {
  /** PKCS#8, not encrypted. */
  readonly keyPath: string;
  readonly certificatePath: string;
}

export interface CertificateOptions {
  /** Default `ES256`. */
  readonly algorithm?: keyof typeof keyOptions;
  /** In place of `algorithm`, as `openssl req -newkey` has it: `rsa:1024`. */
  readonly key?: string;
  /** `subjectAltName` as openssl has it: `IP:127.0.0.1,DNS:localhost`. */
  readonly alternativeNames?: string;
  /** Of openssl: by another clock its certificates begin at another time. */
  readonly environment?: Readonly<Record<string, string>>;
}

const keyOptions = {
  ES256: ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  RS256: ['-newkey', 'rsa:2048'],
} as const;

/** The names of a server of the tests. */
export const LOOPBACK_NAMES = 'IP:127.0.0.1,DNS:localhost';

/** Writes a key, `NAME.pem`, and its certificate, `NAME.crt`, into `folder`. */
export async function writeCertificate(
  folder: TemporaryFolder,
  name: string,
  { algorithm = 'ES256', key, alternativeNames, environment = {} }: CertificateOptions = {},
): Promise<CertificateFiles> {
  const keyPath = folder.at(`${name}.pem`);
  const certificatePath = folder.at(`${name}.crt`);
  const subject = ['-subj', `/CN=${name}`, '-days', '30'];
  const extensions = alternativeNames === undefined ? [] : ['-addext', `subjectAltName=${alternativeNames}`];
  const outputs = ['-nodes', '-keyout', keyPath, '-out', certificatePath];
  const newKey = key === undefined ? keyOptions[algorithm] : newKeyOptions(key);
  const words = ['req', '-x509', ...newKey, ...subject, ...extensions, ...outputs];
  await runOrFail(['openssl', ...words], { env: environment });
  return { keyPath, certificatePath };
}

/** `rsa-pss:1024` too, which `-newkey` knows by an option of its own. */
function newKeyOptions(key: string): readonly string[] {
  const [kind = '', bits = ''] = key.split(':');
  return kind === 'rsa-pss' ? ['-newkey', kind, '-pkeyopt', `rsa_keygen_bits:${bits}`] : ['-newkey', key];
}
