/** A certificate authority of the tests, and the certificates that servers and clients have of it. */
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { type CertificateFiles, writeCertificate } from './certificates.ts';
import { runOrFail, type TemporaryFolder } from './processes.ts';
import { sha256 } from './tokens.ts';

export interface TlsIdentity {
  readonly name: string;
  /** PEM, with the path of the file that holds it. */
  readonly certificate: string;
  readonly certificatePath: string;
  readonly key: string;
  readonly keyPath: string;
  /** `x5t#S256` of RFC 8705 §3.1. */
  readonly thumbprint: string;
}

export interface CertificateAuthority {
  /** PEM, with the path of the file that holds it. */
  readonly certificate: string;
  readonly certificatePath: string;
  /** Makes a key and a certificate of it; -1 days for one that has expired. */
  readonly issue: (name: string, options?: IssueOptions) => Promise<TlsIdentity>;
  /** The same by way of an intermediate certificate, which the identity's certificate brings along. */
  readonly issueThrough: (intermediate: string, name: string, days?: number) => Promise<TlsIdentity>;
}

export interface IssueOptions {
  readonly days?: number;
  /** X.509 extensions as openssl has them; default: the names of loopback. */
  readonly extensions?: readonly string[];
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/** `environment` is of openssl: by another clock the certificates begin at another time. */
export async function createCertificateAuthority(
  folder: TemporaryFolder,
  name: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<CertificateAuthority> {
  const { keyPath, certificatePath } = await writeCertificate(folder, name, { environment });
  const openssl = (...words: readonly string[]) => runOrFail(['openssl', ...words], { env: environment });
  const issueBy =
    (issuer: CertificateFiles): CertificateAuthority['issue'] =>
    async (subject, { days = 30, extensions = ['subjectAltName=IP:127.0.0.1,DNS:localhost'] } = {}) => {
      const [key, request, certificate] = ['pem', 'csr', 'crt'].map((end) => folder.at(`${subject}.${end}`));
      const extensionFile = folder.at(`${subject}.ext`);
      await writeFile(extensionFile, `${extensions.join('\n')}\n`);
      const files = { key: key ?? '', request: request ?? '', certificate: certificate ?? '' };
      await openssl(
        ...['req', '-new', ...NEW_KEY, '-subj', `/CN=${subject}`],
        ...['-keyout', files.key, '-out', files.request],
      );
      await openssl(
        ...['x509', '-req', '-in', files.request, '-CA', issuer.certificatePath, '-CAkey', issuer.keyPath],
        ...['-days', String(days), '-extfile', extensionFile, '-out', files.certificate],
      );
      return readIdentity(subject, files.certificate, files.key);
    };
  const issue = issueBy({ keyPath, certificatePath });
  return {
    certificate: await readFile(certificatePath, 'utf8'),
    certificatePath,
    issue,
    issueThrough: async (intermediate, subject, days = 30) => {
      const issuer = await issue(intermediate, { days, extensions: ['basicConstraints=critical,CA:TRUE'] });
      const identity = await issueBy(issuer)(subject, { days });
      return { ...identity, certificate: `${identity.certificate}\n${issuer.certificate}` };
    },
  };
}

export async function createSelfSigned(folder: TemporaryFolder, name: string): Promise<TlsIdentity> {
  const { keyPath, certificatePath } = await writeCertificate(folder, name, {
    alternativeNames: 'IP:127.0.0.1,DNS:localhost',
  });
  return readIdentity(name, certificatePath, keyPath);
}

async function readIdentity(name: string, certificatePath: string, keyPath: string): Promise<TlsIdentity> {
  const certificate = await readFile(certificatePath, 'utf8');
  const thumbprint = sha256(new X509Certificate(certificate).raw);
  return { name, certificate, certificatePath, key: await readFile(keyPath, 'utf8'), keyPath, thumbprint };
}
