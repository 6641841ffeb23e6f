/** Files that a client is given: secrets of one line, and PEM texts. */
import { readFileSync } from 'node:fs';
import { errorCode } from '../platform/errors.ts';
import { ClientFault } from './client-fault.ts';

const MAX_CHARACTERS = 64 * 1024;

/** Reads a text file. `what` names it in the fault: "the client secret". */
export function readTextFile(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ClientFault(`${what} cannot be read from ${path} (${errorCode(cause)})`);
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
    throw new ClientFault(`${what} is to be the one line of ${where}, which holds more than that`);
  return secret;
}
