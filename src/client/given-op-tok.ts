/**
 * An OpTok that exists already: in a file, in an environment variable, printed by a command, or sent by the kubelet. It is read
 * anew at each use, and its `cnf` says how it is brought to the service. Nothing is verified here; the service does that.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { explainError } from '../platform/errors.ts';
import { settleWithin } from '../platform/wait.ts';
import { ClientFault } from './client-fault.ts';
import type { DpopKey } from './dpop.ts';
import { parseSecret } from './files.ts';
import { certificateThumbprint, claimsOf, isAccessToken, type NewOpTok } from './op-tok.ts';

export type GivenOpTok =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'env'; readonly name: string }
  /** Run by `/bin/sh -c`; it prints the OpTok on one line. */
  | { readonly kind: 'command'; readonly command: string }
  | { readonly kind: 'text'; readonly text: string; readonly from: string };

export interface GivenOpTokReader {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: () => number;
  readonly pause: (milliseconds: number) => Promise<void>;
  /** PEM of the client's certificate; null for none. */
  readonly certificate: string | null;
  /** Opens the DPoP key, which must exist; null where none is named. */
  readonly openKey: () => Promise<DpopKey | null>;
  /** What the OpTok must be bound by; null for whatever it is bound by. */
  readonly bind: 'dpop' | 'certificate' | null;
}

const COMMAND_MS = 15_000;
const MAX_BYTES = 64 * 1024;
/** A file that is being written is read again, so often. */
const ATTEMPTS = 10;
const PAUSE_MS = 50;

/** Throws ClientFault if there is no OpTok, if it has expired, or if this client lacks what it is bound to. */
export async function readGivenOpTok(source: GivenOpTok, reader: GivenOpTokReader): Promise<NewOpTok> {
  const { text, from } = await readText(source, reader);
  const accessToken = parseSecret(text, 'the OpTok', from);
  if (!isAccessToken(accessToken))
    throw new ClientFault(
      `the OpTok in ${from} has characters that no access token has; was it cut or quoted?`,
    );
  const { cnf, exp } = claimsOf(accessToken);
  const expiresAt = typeof exp === 'number' && Number.isFinite(exp) ? exp : null;
  const now = reader.clock();
  if (expiresAt !== null && expiresAt <= now)
    throw new ClientFault(
      `the OpTok in ${from} expired ${Math.ceil(now - expiresAt)} s ago; the program that writes it must renew it`,
    );
  const binding = await checkBinding(cnf, from, reader);
  return { accessToken, expiresAt, isReusable: false, ...binding };
}

/** A `cnf` with both members needs both (RFC 9449 §6.1, RFC 8705 §3.1). */
async function checkBinding(
  cnf: unknown,
  from: string,
  { bind, certificate, openKey }: GivenOpTokReader,
): Promise<{ readonly dpopKey: DpopKey | null; readonly isBearer: boolean }> {
  const fault = (why: string) => new ClientFault(`the OpTok in ${from} ${why}`);
  const { jkt, 'x5t#S256': thumbprint } = (typeof cnf === 'object' ? (cnf ?? {}) : {}) as Record<
    string,
    unknown
  >;
  if (cnf !== undefined && jkt === undefined && thumbprint === undefined)
    throw fault('has a cnf that names neither a key (jkt) nor a certificate (x5t#S256)');
  if (bind === 'dpop' && jkt === undefined) throw fault('is not bound to a DPoP key, and bind is dpop');
  if (bind === 'certificate' && thumbprint === undefined)
    throw fault('is not bound to a certificate, and bind is certificate');
  if (thumbprint !== undefined && certificate === null)
    throw fault('is bound to a certificate; name it and its key (certPath and keyPath)');
  if (thumbprint !== undefined && certificate !== null && certificateThumbprint(certificate) !== thumbprint)
    throw fault('is bound to another certificate than the one in certPath');
  if (jkt === undefined) return { dpopKey: null, isBearer: thumbprint === undefined };
  const dpopKey = await openKey();
  if (dpopKey === null) throw fault('is bound to a DPoP key; name its file (dpopKeyPath)');
  if (dpopKey.thumbprint !== jkt) throw fault('is bound to another DPoP key than the one in dpopKeyPath');
  return { dpopKey, isBearer: false };
}

async function readText(
  source: GivenOpTok,
  { env, pause }: GivenOpTokReader,
): Promise<{ readonly text: string; readonly from: string }> {
  switch (source.kind) {
    case 'text':
      return source;
    case 'env':
      return { text: env[source.name] ?? '', from: `the environment variable ${source.name}` };
    case 'path':
      return { text: await readTokenFile(source.path, pause), from: source.path };
    case 'command':
      return { text: await runCommand(source.command, env), from: 'the output of opTokCommand' };
  }
}

/**
 * A file that is replaced by a rename is read whole, the old one or the new one. One that is written in place may be empty
 * or change while it is read; then it is read again.
 */
async function readTokenFile(path: string, pause: (milliseconds: number) => Promise<void>): Promise<string> {
  for (let attempt = 1; ; attempt += 1) {
    const { text, isSettled } = readOnce(path);
    if (isSettled && text.trim() !== '') return text;
    if (attempt === ATTEMPTS && isSettled) return text;
    if (attempt === ATTEMPTS) throw new ClientFault(`the OpTok in ${path} keeps changing while it is read`);
    await pause(PAUSE_MS);
  }
}

/**
 * Links are followed, because Kubernetes mounts tokens as links. What they lead to must belong to the user who runs this program
 * or to root: otherwise anyone who may change the link could make this client use another user's token.
 */
function readOnce(path: string): { readonly text: string; readonly isSettled: boolean } {
  const fault = (why: string) => new ClientFault(`cannot read the OpTok from ${path}: ${why}`);
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw fault(explainError(cause, 'read'));
  }
  try {
    const before = fstatSync(file);
    if (!before.isFile()) throw fault('it is not a regular file');
    if (before.uid !== userInfo().uid && before.uid !== 0)
      throw fault(
        `it belongs to the user ${before.uid}; it must belong to the user that runs this program, or to root`,
      );
    if (before.size > MAX_BYTES) throw fault(`it has more than ${MAX_BYTES} bytes`);
    const text = readFileSync(file, 'utf8');
    const after = fstatSync(file);
    return { text, isSettled: after.size === before.size && after.mtimeMs === before.mtimeMs };
  } catch (cause) {
    throw cause instanceof ClientFault ? cause : fault(explainError(cause, 'read'));
  } finally {
    closeSync(file);
  }
}

/** What the command writes to standard error goes to ours. */
async function runCommand(
  command: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const child = Bun.spawn(['/bin/sh', '-c', command], {
    env: { ...env },
    stdin: 'ignore',
    stderr: 'inherit',
    timeout: COMMAND_MS,
    killSignal: 'SIGKILL',
    maxBuffer: MAX_BYTES,
  });
  // A process that the command left behind may hold its output open.
  const outcome = Promise.all([child.exited, child.stdout.text()]);
  const [exitCode, text] = await settleWithin(COMMAND_MS + 1000, outcome, () => [null, ''] as const);
  if (child.signalCode !== null || exitCode === null || text.length > MAX_BYTES)
    throw new ClientFault(
      `opTokCommand was killed: it took longer than ${COMMAND_MS / 1000} s, or printed more than ${MAX_BYTES} bytes`,
    );
  if (exitCode !== 0) throw new ClientFault(`opTokCommand failed with exit code ${exitCode}`);
  return text;
}
