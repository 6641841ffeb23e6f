/** `keygen`: makes the key that signs registry tokens, and what registries need to trust it. */
import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createSelfSignedCertificate } from '../keys/certificate-authoring.ts';
import { createRegistryJwks, generateSigningKey } from '../keys/key-generation.ts';
import type { SigningAlgorithm } from '../keys/signing-key.ts';
import { type Command, CommandFailure, readOptions, required, UsageError } from './command.ts';

const ALGORITHMS = ['ES256', 'ES384', 'RS256', 'EdDSA'] as const satisfies readonly SigningAlgorithm[];
const MAX_DAYS = 36500;
/** Seconds: a registry whose clock is slow takes the certificate at once all the same. */
const BACK_DATED = 3600;

export const keygen: Command = {
  name: 'keygen',
  summary: 'makes a signing key, its certificate and its key set',
  help: `Usage: registry-token keygen --out DIR [--algorithm ES256] [--days 825] [--force]

Makes the key that signs registry tokens, and writes into DIR, which is made where it does not exist:
  registry-signing.pem   the private key, PKCS#8, readable by its owner alone (0600)
  registry-signing.crt   its self-signed certificate, for the registry's rootcertbundle and our certificatePath
  registry-jwks.json     its public key, for a 3.x registry's jwks
and prints the lines for both configurations.

  --out DIR              where to write
  --algorithm NAME       ES256 (default), ES384, RS256, or EdDSA (registries from 3.0 only)
  --days N               how long the certificate is good, 1 to ${MAX_DAYS}; 825 by default
  --force                replaces files that are there; the old key is lost

Exit codes: 0 written, 1 a file is there already or cannot be written, 2 usage.

Example:
  registry-token keygen --out /etc/registry-token
`,
  run: async ({ args, print, tell }) => {
    const options = readOptions(args, {
      out: { type: 'string' },
      algorithm: { type: 'string', default: 'ES256' },
      days: { type: 'string', default: '825' },
      force: { type: 'boolean', default: false },
    });
    const directory = resolve(required(options.out, 'out'));
    const algorithm = parseAlgorithm(options.algorithm);
    const days = parseDays(options.days);
    makeDirectory(directory);
    const paths = pathsIn(directory);
    const replaced = Object.values(paths).filter(isThere);
    if (replaced.length > 0 && !options.force)
      throw new CommandFailure(
        `${replaced.join(', ')} ${replaced.length === 1 ? 'is' : 'are'} there already, and nothing was written; ` +
          'name another --out, or replace the key with --force',
      );

    const notBefore = Math.floor(Date.now() / 1000) - BACK_DATED;
    const privateKey = generateSigningKey(algorithm);
    const notAfter = notBefore + BACK_DATED + days * 86400;
    const certificate = createSelfSignedCertificate(privateKey, algorithm, {
      commonName: 'registry-token signing',
      notBefore,
      notAfter,
    });
    const jwks = await createRegistryJwks(privateKey, algorithm);

    write(paths.key, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600, options.force);
    write(paths.certificate, certificate, 0o644, options.force);
    write(paths.jwks, `${JSON.stringify(jwks, null, 2)}\n`, 0o644, options.force);
    if (replaced.length > 0)
      tell('The old key is replaced: give every registry the new certificate or key set, and restart it.\n');
    print(explain(paths, algorithm, days, notAfter));
    return 0;
  },
};

interface Paths {
  readonly key: string;
  readonly certificate: string;
  readonly jwks: string;
}

function pathsIn(directory: string): Paths {
  return {
    key: join(directory, 'registry-signing.pem'),
    certificate: join(directory, 'registry-signing.crt'),
    jwks: join(directory, 'registry-jwks.json'),
  };
}

function parseAlgorithm(text: string): SigningAlgorithm {
  const algorithm = ALGORITHMS.find((known) => known === text);
  if (algorithm === undefined)
    throw new UsageError(`--algorithm is ${ALGORITHMS.join(', ')}, not ${JSON.stringify(text)}`);
  return algorithm;
}

function parseDays(text: string): number {
  const days = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
  if (days < 1 || days > MAX_DAYS)
    throw new UsageError(`--days is a number from 1 to ${MAX_DAYS}, not ${JSON.stringify(text)}`);
  return days;
}

/** A link that leads nowhere is there too. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new CommandFailure(`cannot make the directory ${directory} (${codeOf(cause)})`);
  }
}

/**
 * Without `replace` the file must not exist yet. With it, a complete new file takes the place of the old one, so
 * that neither the old file's mode nor half a file is ever seen.
 */
function write(path: string, text: string, mode: number, replace: boolean): void {
  const target = replace ? `${path}.${randomBytes(6).toString('hex')}` : path;
  try {
    writeFileSync(target, text, { flag: 'wx', mode });
    if (replace) renameSync(target, path);
  } catch (cause) {
    if (replace) rmSync(target, { force: true });
    throw new CommandFailure(`cannot write ${path} (${codeOf(cause)})`);
  }
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown fault';
}

function explain(paths: Paths, algorithm: SigningAlgorithm, days: number, notAfter: number): string {
  const end = new Date(notAfter * 1000).toISOString().slice(0, 10);
  const written = `Written:
  ${paths.key}   private key, ${algorithm}, 0600: for the service alone
  ${paths.certificate}   certificate, good for ${days} ${days === 1 ? 'day' : 'days'}, until ${end}
  ${paths.jwks}     public key, for a 3.x registry
`;
  const [key, certificate, jwks] = [paths.key, paths.certificate, paths.jwks].map(yamlText);
  const byCertificate = `In the registry's configuration, under auth.token (2.8 and later):
  rootcertbundle: ${certificate}
and in registry-token.yaml:
  signing:
    keyPath: ${key}
    certificatePath: ${certificate}
`;
  const byKeySet = `In the registry's configuration, under auth.token (3.x):
  jwks: ${jwks}
and in registry-token.yaml, without certificatePath (a registry that is sent a certificate looks at nothing else):
  signing:
    keyPath: ${key}
`;
  if (algorithm === 'EdDSA')
    return `${written}
${byKeySet}
Registry 2.8 does not start with an Ed25519 certificate in its rootcertbundle: make an ES256 key for it.
`;
  return `${written}
${byCertificate}
Or by key set, which has no end date:

${byKeySet}`;
}

/** A path as YAML has it: in double quotes, as JSON, where a plain one could be misread. */
function yamlText(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : JSON.stringify(path);
}
