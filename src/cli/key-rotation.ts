/**
 * The folder that `keygen` writes, and the three steps from one key to the next without a refused pull (`--rotate`,
 * `--switch`, `--finish`). File names never change, so no step needs an edit of a configuration.
 */
import { X509Certificate } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { algorithmOf, type SigningAlgorithm } from '../keys/key-algorithm.ts';
import { createRegistryJwks } from '../keys/key-generation.ts';
import { thumbprintId } from '../keys/key-ids.ts';
import { explainError, type Operation } from '../platform/errors.ts';
import { parsePrivateKey } from '../platform/pem.ts';
import { shellWord, yamlText } from '../platform/quoting.ts';
import { type FileOwner, replaceFile } from '../platform/replace-file.ts';
import { CommandFailure } from './command.ts';

/** Seconds: the longest lifetime of a token. */
const LONGEST_LIFETIME = 3600;

/** A private key and its certificate, PEM. */
export type MakePair = (algorithm: SigningAlgorithm) => {
  readonly key: string;
  readonly certificate: string;
};

/**
 * Step 1: creates the next key beside the current one, and what registries need to trust both. `algorithm` null: that of
 * the current key. Returns what to do next. Throws CommandFailure.
 */
export async function makeNextKey(
  folder: KeyFolder,
  algorithm: SigningAlgorithm | null,
  makePair: MakePair,
): Promise<string> {
  const { current, next, last } = folder;
  for (const path of [current.key, current.certificate]) {
    if (!isThere(path))
      throw new CommandFailure(
        `${path} does not exist, so there is nothing to rotate; keygen --out DIR creates the first key`,
      );
  }
  if (isThere(next.key) || isThere(next.certificate))
    throw new CommandFailure(
      `${next.certificate} already exists: a rotation is under way; when every registry has the bundle, continue with --switch`,
    );
  if (isThere(last.key) || isThere(last.certificate))
    throw new CommandFailure(
      `${last.certificate} still exists: the last rotation is not finished; run --finish first`,
    );

  const certificate = readCertificate(current.certificate);
  const pair = makePair(algorithm ?? algorithmOf(certificate.publicKey));
  await writeTrust(folder, [certificate, new X509Certificate(pair.certificate)]);
  const { owner, mode } = ownershipOf(current.key);
  writeNew(next.certificate, pair.certificate, 0o644);
  try {
    writeNew(next.key, pair.key, mode, owner);
  } catch (cause) {
    removeFile(next.certificate);
    throw cause;
  }
  return explainNext(folder, algorithmOf(new X509Certificate(pair.certificate).publicKey));
}

/**
 * Step 2: puts the next key in place of the current one. If it was interrupted, the next run completes it. `isCopied`: the
 * unit gives the service a copy of the key, made at the start.
 */
export function switchToNextKey(folder: KeyFolder, isCopied: boolean): string {
  const { current, next, last } = folder;
  if (!isThere(next.certificate)) {
    const switched = isThere(last.certificate);
    throw new CommandFailure(
      switched
        ? `the switch is already done: ${current.key} is the new key; continue with --finish`
        : `${next.certificate} does not exist; create the next key with --rotate first`,
    );
  }
  // If it is missing, the switch was interrupted after the first of the two renames.
  const isWhole = isThere(next.key);
  checkPair(isWhole ? next : { key: current.key, certificate: next.certificate });
  if (isWhole) {
    const { owner, mode } = ownershipOf(current.key);
    replaceKeyFile(last.key, readKeyFile(current.key), mode, owner);
    replaceKeyFile(last.certificate, readKeyFile(current.certificate), 0o644);
    moveFile(next.key, current.key);
  }
  moveFile(next.certificate, current.certificate);
  return explainSwitch(folder, isCopied);
}

/**
 * Step 3: removes the old key, also from bundle and key set. `now` in epoch seconds. `askThumbprint` asks the running service which
 * key it signs with, and throws an Error where it cannot. `force` does not wait and does not ask.
 */
export async function finishRotation(
  folder: KeyFolder,
  now: number,
  force: boolean,
  askThumbprint: () => Promise<string>,
): Promise<string> {
  const { current, next, last } = folder;
  if (isThere(next.certificate))
    throw new CommandFailure(`${next.certificate} exists: run --switch first, then --finish`);
  if (!isThere(last.certificate) && !isThere(last.key))
    throw new CommandFailure(`there is no rotation to finish: ${last.certificate} does not exist`);
  const switchedAt = statSync(last.certificate, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const until = switchedAt / 1000 + LONGEST_LIFETIME;
  if (now < until && !force)
    throw new CommandFailure(
      `tokens of the old key may be valid until ${new Date(until * 1000).toISOString()}; nothing was changed. ` +
        'Run it after that, or with --force if the old key must be removed at once',
    );
  const certificate = readCertificate(current.certificate);
  if (!force) await checkService(folder, now, await thumbprintId(certificate.publicKey), askThumbprint);
  await writeTrust(folder, [certificate]);
  removeFile(last.key);
  removeFile(last.certificate);
  return `The old key was removed, also from the bundle and the key set:
  ${folder.bundle}
  ${folder.jwks}

Give them to every registry, and restart it: it then trusts only the new key.
`;
}

/** A service that still signs with the old key would be refused by every registry that forgets it. */
async function checkService(
  { directory, current, last }: KeyFolder,
  now: number,
  expected: string,
  askThumbprint: () => Promise<string>,
): Promise<void> {
  let thumbprint: string;
  try {
    thumbprint = await askThumbprint();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown fault';
    throw new CommandFailure(
      `cannot ask the running service which key it signs with, and nothing was changed: ${reason}; start it, name its ` +
        'configuration with --config, or use --force if the service runs elsewhere',
    );
  }
  if (thumbprint === expected) return;
  // Its tokens of the old key are good for an hour from now.
  if (isThere(last.certificate))
    attempt(`touch ${last.certificate}`, () => utimesSync(last.certificate, now, now));
  throw new CommandFailure(
    `the running service does not sign with ${current.key} yet, and nothing was changed; systemctl restart registry-token, ` +
      `and an hour after it: registry-token keygen --out ${shellWord(directory)} --finish`,
  );
}

async function writeTrust(folder: KeyFolder, certificates: readonly X509Certificate[]): Promise<void> {
  const keySets = await Promise.all(certificates.map(({ publicKey }) => createRegistryJwks(publicKey)));
  const keys = keySets.flatMap((keySet) => keySet.keys);
  const bundle = certificates.map((certificate) => certificate.toString().trimEnd()).join('\n');
  replaceKeyFile(folder.bundle, `${bundle}\n`, 0o644);
  replaceKeyFile(folder.jwks, `${JSON.stringify({ keys }, null, 2)}\n`, 0o644);
}

function readCertificate(path: string): X509Certificate {
  try {
    return new X509Certificate(readKeyFile(path));
  } catch (cause) {
    if (cause instanceof CommandFailure) throw cause;
    throw new CommandFailure(`${path} holds no PEM certificate`);
  }
}

function checkPair({ key, certificate }: KeyFiles): void {
  const publicSide = readCertificate(certificate);
  let fits: boolean;
  try {
    fits = publicSide.checkPrivateKey(parsePrivateKey(readKeyFile(key)));
  } catch (cause) {
    if (cause instanceof CommandFailure) throw cause;
    throw new CommandFailure(`${key} holds no unencrypted PEM private key; nothing was changed`);
  }
  if (!fits) throw new CommandFailure(`${certificate} does not belong to ${key}; nothing was changed`);
}

/** The next key can be read by those who can read the current one: its owner, and at most its group. */
function ownershipOf(path: string): { readonly owner: FileOwner; readonly mode: number } {
  const { uid, gid, mode } = statSync(path);
  return { owner: { uid, gid }, mode: 0o600 | (mode & 0o040) };
}

function explainNext(folder: KeyFolder, algorithm: SigningAlgorithm): string {
  const { directory, current, next, bundle, jwks } = folder;
  const byCertificate = algorithm === 'EdDSA' ? '' : `     rootcertbundle: ${yamlText(bundle)}\n`;
  const command = `registry-token keygen --out ${shellWord(directory)}`;
  return `Written; the service still signs with ${current.key}:
  ${next.key}   the next private key, ${algorithm}
  ${next.certificate}   its certificate
  ${bundle}   both certificates
  ${jwks}   both keys

1. Now: give every registry both keys, and restart it. Under auth.token:
${byCertificate}     jwks: ${yamlText(jwks)}    # 3.x
   If others read our /.well-known/jwks.json, it should hold both too. This line can stay permanently:
     signing: { additionalKeys: [${yamlText(bundle)}] }
2. When every registry has both, and not before:
     ${command} --switch
   It says whether the service picks up the new key or must be restarted. No configuration has to be edited.
3. An hour later, when tokens of the old key have expired:
     ${command} --finish
   then give every registry the new ${byCertificate === '' ? jwks : bundle} again.
`;
}

function explainSwitch({ directory, current, last }: KeyFolder, isCopied: boolean): string {
  const next = isCopied
    ? `The unit gives the service a copy of the key, made at its start (LoadCredential=): it signs with the old key until
     systemctl restart registry-token
Do that now. There is nothing to do at the registries now.`
    : `A running service picks it up and logs "reloaded". There is nothing to do at the registries now.`;
  return `The new key is now ${current.key}; the old one is ${last.key}.
${next}

An hour from now, when tokens of the old key have expired:
     registry-token keygen --out ${shellWord(directory)} --finish
`;
}

export interface KeyFiles {
  /** The private key, PKCS#8. */
  readonly key: string;
  readonly certificate: string;
}

export interface KeyFolder {
  readonly directory: string;
  /** What the service signs with. */
  readonly current: KeyFiles;
  /** During a rotation: what it will sign with, and what it signed with. */
  readonly next: KeyFiles;
  readonly last: KeyFiles;
  /** The certificates that registries must trust, from the first rotation on. */
  readonly bundle: string;
  readonly jwks: string;
}

export function keyFolderAt(directory: string): KeyFolder {
  const files = (name: string) => ({
    key: join(directory, `${name}.pem`),
    certificate: join(directory, `${name}.crt`),
  });
  return {
    directory,
    current: files('registry-signing'),
    next: files('registry-signing-next'),
    last: files('registry-signing-last'),
    bundle: join(directory, 'registry-signing-bundle.crt'),
    jwks: join(directory, 'registry-jwks.json'),
  };
}

/** True also for a link to a file that does not exist. */
export function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

export function makeDirectory(directory: string): void {
  attempt(`create the directory ${directory}`, () => mkdirSync(directory, { recursive: true }));
}

/** Writes a file that must not exist yet, whatever the umask is. Throws CommandFailure. */
export function writeNew(path: string, text: string, mode: number, owner?: FileOwner): void {
  attempt(`write ${path}`, () => {
    writeFileSync(path, text, { flag: 'wx', mode: 0o600 });
    try {
      if (owner !== undefined) chownSync(path, owner.uid, owner.gid);
      chmodSync(path, mode);
    } catch (cause) {
      rmSync(path, { force: true });
      throw cause;
    }
  });
}

/** Replaces the old file by a complete new one. Throws CommandFailure. */
export function replaceKeyFile(path: string, text: string, mode: number, owner?: FileOwner): void {
  attempt(`write ${path}`, () =>
    replaceFile(path, text, { mode, ...(owner === undefined ? {} : { owner }) }),
  );
}

export function readKeyFile(path: string): string {
  return attempt(`read ${path}`, () => readFileSync(path, 'utf8'), 'read');
}

export function moveFile(from: string, to: string): void {
  attempt(`rename ${from} to ${to}`, () => renameSync(from, to));
}

export function removeFile(path: string): void {
  attempt(`remove ${path}`, () => rmSync(path, { force: true }));
}

function attempt<Value>(what: string, act: () => Value, operation: Operation = 'write'): Value {
  try {
    return act();
  } catch (cause) {
    throw new CommandFailure(`cannot ${what}: ${explainError(cause, operation)}`);
  }
}
