/** `keygen`: creates the key that signs registry tokens, and what registries need to trust it. */
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { resolve } from 'node:path';
import { createSelfSignedCertificate } from '../keys/certificate-authoring.ts';
import type { SigningAlgorithm } from '../keys/key-algorithm.ts';
import { createRegistryJwks, generateSigningKey } from '../keys/key-generation.ts';
import { yamlText } from '../platform/quoting.ts';
import { type Command, CommandFailure, readOptions, required, UsageError } from './command.ts';
import {
  finishRotation,
  isThere,
  type KeyFolder,
  keyFolderAt,
  makeDirectory,
  makeNextKey,
  replaceKeyFile,
  switchToNextKey,
  writeNew,
} from './key-rotation.ts';
import { askSigningThumbprint, isCopiedByUnit, serviceUrl } from './rotation-service.ts';

const ALGORITHMS = ['ES256', 'ES384', 'RS256', 'EdDSA'] as const satisfies readonly SigningAlgorithm[];
/** The packages make it for the service; its members can read the key. */
const SERVICE_GROUP = 'registry-token';
const MAX_DAYS = 36500;
const DEFAULT_DAYS = 825;
/** Seconds: so that a registry whose clock is behind accepts the certificate at once. */
const BACK_DATED = 3600;

export const keygen: Command = {
  name: 'keygen',
  summary: 'creates a signing key, its certificate and its key set, and rotates them',
  help: `Usage: registry-token keygen --out DIR [--algorithm ES256] [--days ${DEFAULT_DAYS}] [--force]
       registry-token keygen --out DIR --rotate [--algorithm NAME] [--days ${DEFAULT_DAYS}]
       registry-token keygen --out DIR --switch
       registry-token keygen --out DIR --finish [--config FILE] [--force]

Creates the key that signs registry tokens, and writes into DIR, which is created if it does not exist:
  registry-signing.pem   the private key, PKCS#8, readable by its owner only (0600); if root runs it and there is a
                         group registry-token, by that group too (root:registry-token, 0640)
  registry-signing.crt   its self-signed certificate, for the registry's rootcertbundle and our certificatePath
  registry-jwks.json     its public key, for the jwks of a 3.x registry
and prints the lines for both configurations.

Replacing the key takes three steps, and no pull is refused. Each step prints what to do next:
  --rotate   creates registry-signing-next.pem and .crt beside it; registry-signing-bundle.crt and
             registry-jwks.json then hold both keys. Give them to every registry before you continue
  --switch   makes the next key the current one. A running service picks it up, or the output says what to do
  --finish   an hour later: removes the old key, also from the bundle and the key set, but not before the running
             service signs with the new key, as its /.well-known/jwks.json says

  --out DIR              where to write
  --algorithm NAME       ES256, ES384, RS256, or EdDSA (registries from 3.0 only). Default: ES256 for the first key,
                         then the same as before
  --days N               how long the certificate is valid, 1 to ${MAX_DAYS}; default ${DEFAULT_DAYS}
  --config FILE          with --finish: the configuration that says where the service listens; default
                         DIR/registry-token.yaml, then the one that serve would read
  --force                replaces existing files, and the old key is lost; with --finish: does not wait and does not
                         ask the service

Exit codes: 0 written, 1 a file already exists, is missing or cannot be written, 2 usage.

Example:
  registry-token keygen --out /etc/registry-token
`,
  run: async ({ args, env, print, tell }) => {
    const options = readOptions(args, {
      out: { type: 'string' },
      algorithm: { type: 'string' },
      days: { type: 'string' },
      config: { type: 'string' },
      force: { type: 'boolean', default: false },
      rotate: { type: 'boolean', default: false },
      switch: { type: 'boolean', default: false },
      finish: { type: 'boolean', default: false },
    });
    const folder = keyFolderAt(resolve(required(options.out, 'out')));
    const algorithm = options.algorithm === undefined ? null : parseAlgorithm(options.algorithm);
    const days = options.days === undefined ? DEFAULT_DAYS : parseDays(options.days);
    const steps = [options.rotate, options.switch, options.finish].filter(Boolean).length;
    if (steps > 1) throw new UsageError('--rotate, --switch and --finish are three steps; give one of them');
    if ((options.switch || options.finish) && (algorithm !== null || options.days !== undefined))
      throw new UsageError('--algorithm and --days are for a new key; --switch and --finish create none');
    if (options.config !== undefined && !options.finish)
      throw new UsageError('--config goes with --finish only');
    if (options.force && (options.rotate || options.switch))
      throw new UsageError('--force cannot be combined with --rotate or --switch, which replace nothing');

    if (options.rotate) print(await makeNextKey(folder, algorithm, (chosen) => makePair(chosen, days)));
    else if (options.switch) print(switchToNextKey(folder, await isCopiedByUnit(folder.current.key, env)));
    else if (options.finish) {
      const ask = async () => askSigningThumbprint(serviceUrl(folder.directory, options.config, env));
      print(await finishRotation(folder, Date.now() / 1000, options.force, ask));
    } else await makeFirstKey(folder, algorithm ?? 'ES256', days, options.force, print, tell);
    return 0;
  },
};

async function makeFirstKey(
  folder: KeyFolder,
  algorithm: SigningAlgorithm,
  days: number,
  force: boolean,
  print: (text: string) => void,
  tell: (text: string) => void,
): Promise<void> {
  makeDirectory(folder.directory);
  const { current, jwks } = folder;
  const replaced = [current.key, current.certificate, jwks].filter(isThere);
  if (replaced.length > 0 && !force)
    throw new CommandFailure(
      `${replaced.join(', ')} already ${replaced.length === 1 ? 'exists' : 'exist'}; nothing was written. ` +
        'Choose another --out, or replace the key: step by step with --rotate, or at once with --force',
    );
  const pair = makePair(algorithm, days);
  const keySet = await createRegistryJwks(createPublicKey(pair.key));
  const write = force ? replaceKeyFile : writeNew;
  const serviceGroup = userInfo().uid === 0 ? readGroupId(SERVICE_GROUP) : null;
  if (serviceGroup === null) write(current.key, pair.key, 0o600);
  else write(current.key, pair.key, 0o640, { uid: 0, gid: serviceGroup });
  write(current.certificate, pair.certificate, 0o644);
  write(jwks, `${JSON.stringify(keySet, null, 2)}\n`, 0o644);
  // The bundle of a rotation would let registries trust the old key, and not the new one.
  if (isThere(folder.bundle)) replaceKeyFile(folder.bundle, pair.certificate, 0o644);
  if (replaced.length > 0)
    tell('The old key was replaced: give every registry the new certificate or key set, and restart it.\n');
  const access =
    serviceGroup === null ? '0600: for the service only' : `0640: for root and the group ${SERVICE_GROUP}`;
  print(explain(folder, algorithm, days, pair.notAfter, access));
}

/** Of /etc/group; null where it has no such group. */
function readGroupId(name: string): number | null {
  try {
    const entry = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((line) => line.startsWith(`${name}:`));
    const id = entry?.split(':')[2];
    return id === undefined ? null : Number(id);
  } catch {
    return null;
  }
}

/** A new private key and its certificate, PEM; `notAfter` in epoch seconds. */
function makePair(algorithm: SigningAlgorithm, days: number) {
  const notBefore = Math.floor(Date.now() / 1000) - BACK_DATED;
  const notAfter = notBefore + BACK_DATED + days * 86_400;
  const privateKey = generateSigningKey(algorithm);
  const certificate = createSelfSignedCertificate(privateKey, algorithm, {
    commonName: 'registry-token signing',
    notBefore,
    notAfter,
  });
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), certificate, notAfter };
}

function parseAlgorithm(text: string): SigningAlgorithm {
  const algorithm = ALGORITHMS.find((known) => known === text);
  if (algorithm === undefined)
    throw new UsageError(`--algorithm must be one of ${ALGORITHMS.join(', ')}, not ${JSON.stringify(text)}`);
  return algorithm;
}

function parseDays(text: string): number {
  const days = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (days < 1 || days > MAX_DAYS)
    throw new UsageError(`--days must be a number from 1 to ${MAX_DAYS}, not ${JSON.stringify(text)}`);
  return days;
}

function explain(
  { current, jwks: keySet }: KeyFolder,
  algorithm: SigningAlgorithm,
  days: number,
  notAfter: number,
  access: string,
): string {
  const end = new Date(notAfter * 1000).toISOString().slice(0, 10);
  const written = `Written:
  ${current.key}   private key, ${algorithm}, ${access}
  ${current.certificate}   certificate, valid for ${days} ${days === 1 ? 'day' : 'days'}, until ${end}
  ${keySet}     public key, for a 3.x registry
`;
  const [key, certificate, jwks] = [current.key, current.certificate, keySet].map(yamlText);
  const byCertificate = `In the registry's configuration, under auth.token (2.8 and later):
  rootcertbundle: ${certificate}
and in registry-token.yaml:
  signing:
    keyPath: ${key}
    certificatePath: ${certificate}
`;
  const byKeySet = `In the registry's configuration, under auth.token (3.x):
  jwks: ${jwks}
and in registry-token.yaml, without certificatePath (a registry that gets a certificate ignores everything else):
  signing:
    keyPath: ${key}
`;
  if (algorithm === 'EdDSA')
    return `${written}
${byKeySet}
Registry 2.8 does not start with an Ed25519 certificate in its rootcertbundle; create an ES256 key for it.
`;
  return `${written}
${byCertificate}
Or by key set, which does not expire:

${byKeySet}`;
}
