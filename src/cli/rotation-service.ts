/** What `keygen` asks about the running service: whether its unit copies the key, and which key it signs with. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { findConfigurationFile, loadConfiguration } from '../config/load.ts';
import { readBody } from '../platform/bounded-body.ts';
import { readCommand } from '../platform/command-output.ts';
import { explainError } from '../platform/errors.ts';

type Environment = Readonly<Record<string, string | undefined>>;

const UNIT = 'registry-token.service';
const SYSTEMCTL_MS = 5000;
const ANSWER_MS = 5000;
const MAX_BYTES = 1024 * 1024;

/**
 * Whether the unit gives the service a copy of this key file by LoadCredential=, which systemd makes at the start: a
 * reload then finds the old key. False where there is no systemd.
 */
export async function isCopiedByUnit(keyFile: string, env: Environment): Promise<boolean> {
  // The files of the unit: `systemctl show` of systemd 252 cannot print credentials.
  const text = await readUnit(env);
  const values = [...text.matchAll(/^\s*LoadCredential\s*=\s*(.*?)\s*$/gm)].map(([, value = '']) => value);
  // An empty value forgets those before it.
  const credentials = values.slice(values.lastIndexOf('') + 1);
  return credentials.some((value) => value.endsWith(`:${keyFile}`));
}

/** The unit and its drop-ins, in their order. */
async function readUnit(env: Environment): Promise<string> {
  const output = await readCommand(['systemctl', 'cat', '--no-pager', UNIT], env, SYSTEMCTL_MS);
  return output?.stdout ?? '';
}

/**
 * Where the service answers on this machine: by the configuration that is named, else by the one beside the keys, else by
 * the one that `serve` would read. Throws an Error where that is not known.
 */
export function serviceUrl(directory: string, option: string | undefined, env: Environment): string {
  const beside = join(directory, 'registry-token.yaml');
  const isBeside = option === undefined && !env.REGISTRY_TOKEN_CONFIG && existsSync(beside);
  const file = isBeside ? beside : findConfigurationFile(option, env);
  const { listen, tls } = loadConfiguration(file, env).configuration.server;
  const host = { '0.0.0.0': '127.0.0.1', '::': '::1' }[listen.host] ?? listen.host;
  const authority = `${host.includes(':') ? `[${host}]` : host}:${listen.port}`;
  return `${tls === undefined ? 'http' : 'https'}://${authority}`;
}

/**
 * The RFC 7638 thumbprint of the key that the service at `url` signs with: the first of its key set. Throws an Error
 * that says why it cannot be asked. Its certificate is not verified: it names the public host, and a public key is asked for.
 */
export async function askSigningThumbprint(url: string): Promise<string> {
  const target = `${url}/.well-known/jwks.json`;
  let body: Buffer;
  try {
    const response = await fetch(target, {
      proxy: false,
      redirect: 'error',
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(ANSWER_MS),
    } as BunFetchRequestInit);
    if (response.status !== 200) throw new Error(`${target} answered ${response.status}`);
    body = await readBody(response, MAX_BYTES);
  } catch (cause) {
    if (cause instanceof Error && cause.message.startsWith(target)) throw cause;
    throw new Error(`${target} did not answer: ${explainError(cause, 'connect')}`);
  }
  try {
    const { keys } = JSON.parse(body.toString()) as { readonly keys: readonly JWK[] };
    return await calculateJwkThumbprint(keys[0] as JWK);
  } catch {
    throw new Error(`${target} did not answer with a key set`);
  }
}
