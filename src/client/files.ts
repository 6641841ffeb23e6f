/** The files that a client is given: secrets of one line, certificates, keys, and certificate authorities to trust. */
import { readFileSync } from 'node:fs';
import { explainError } from '../platform/errors.ts';
import { FileLockFault, type LockWait, withFileLock } from '../platform/file-lock.ts';
import { PemFault, parseCertificates, parsePrivateKey } from '../platform/pem.ts';
import { ClientFault } from './client-fault.ts';
import type { HttpOptions } from './http.ts';

const MAX_CHARACTERS = 64 * 1024;

/** Reads a text file. `what` names it in the fault: "the client secret". */
export function readTextFile(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ClientFault(`cannot read ${what} from ${path}: ${explainError(cause, 'read')}`);
  }
}

/** Reads a secret of one line; the line's end is not part of it. */
export function readSecretFile(path: string, what: string): string {
  return parseSecret(readTextFile(path, what), what, path);
}

/** The secret in a text of one line; the line's end is not part of it. `where` names the text in the fault. */
export function parseSecret(text: string, what: string, where: string): string {
  const secret = text.replace(/\r?\n$/, '');
  if (secret === '') throw new ClientFault(`${what} is missing: ${where} is empty`);
  if (secret.length > MAX_CHARACTERS || /[\r\n\0]/.test(secret))
    throw new ClientFault(`${where} must hold ${what} on one line, and nothing else`);
  return secret;
}

/** Reads a certificate (PEM, with its chain) and its key (PEM). Throws ClientFault if they do not fit. */
export function loadClientCertificate(
  certificatePath: string,
  keyPath: string,
): NonNullable<HttpOptions['clientCertificate']> {
  const certificate = readTextFile(certificatePath, 'the client certificate');
  const key = readTextFile(keyPath, "the client certificate's key");
  const [leaf] = parse(certificatePath, certificate, parseCertificates);
  if (!leaf.checkPrivateKey(parse(keyPath, key, (text) => parsePrivateKey(text))))
    throw new ClientFault(
      `the key in ${keyPath} does not belong to the first certificate in ${certificatePath}`,
    );
  return { certificate, key };
}

/** Reads the certificate authorities to trust (PEM). */
export function loadCertificateAuthorities(path: string): string {
  const text = readTextFile(path, 'the certificate authority');
  parse(path, text, parseCertificates);
  return text;
}

function parse<Value>(path: string, text: string, read: (text: string) => Value): Value {
  try {
    return read(text);
  } catch (cause) {
    if (!(cause instanceof PemFault)) throw cause;
    throw new ClientFault(`${path} ${cause.message}${cause.isEncrypted ? '; decrypt it first' : ''}`);
  }
}

/** Runs `body` while this process holds the lock `path`. Throws ClientFault if another holds it for longer than `maxMs`. */
export async function withLock<Result>(
  path: string,
  wait: LockWait,
  body: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await withFileLock(path, wait, body);
  } catch (cause) {
    if (!(cause instanceof FileLockFault)) throw cause;
    if (cause.cause === null)
      throw new ClientFault(`another process has held ${path} for more than ${wait.maxMs / 1000} s`);
    throw new ClientFault(`cannot create the lock file ${path}: ${explainError(cause.cause, 'write')}`);
  }
}
