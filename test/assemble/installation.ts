/** A folder with a configuration and its files, and the service that is made of it: no port, a clock to set. */
import { writeFileSync } from 'node:fs';
import { type LoadConfiguration, Runtime } from '../../src/assemble/runtime.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { ConfigurationFault } from '../../src/document/mistakes.ts';
import { createLog, type Log } from '../../src/telemetry/log.ts';
import { createKey, type TestKey } from '../support/keys.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { checkOutput } from '../support/secret-watch.ts';
import {
  AUDIENCE,
  ISSUER,
  type Overrides,
  opTokMembers,
  proofMembers,
  REALM,
  SERVICE,
  signWith,
} from '../support/tokens.ts';

export type Section = Readonly<Record<string, unknown>>;
export type Sections = Readonly<Record<string, Section | string | readonly unknown[] | undefined>>;

export interface Installation extends AsyncDisposable {
  readonly folder: TemporaryFolder;
  /** Epoch seconds; may be set. The clock runs to there, but for the seconds by which it was `setAhead`. */
  readonly clock: { now: number; setAhead: number };
  readonly log: Log;
  readonly logLines: readonly Record<string, unknown>[];
  readonly authorityKey: TestKey;
  readonly clientKey: TestKey;
  readonly write: (name: string, content: string | Uint8Array) => void;
  /** Writes the configuration: the members of each section are added to the usual ones. */
  readonly configure: (sections?: Sections) => void;
  readonly open: () => Promise<Runtime>;
  /** What is told of the configuration where it cannot be used: `KEY: message` a line, all paths cut; empty where it can. */
  readonly mistakes: () => Promise<string>;
  readonly opTok: (overrides?: Overrides) => string;
  readonly proof: (opTok: string, overrides?: Overrides) => string;
}

export async function createInstallation(): Promise<Installation> {
  const folder = await createTemporaryFolder();
  const clock = { now: Math.floor(Date.now() / 1000), setAhead: 0 };
  const authorityKey = await createKey('ES256');
  const clientKey = await createKey('ES256');
  const logLines: Record<string, unknown>[] = [];
  const log = createLog('debug', 'json', (line) => {
    checkOutput(['registry-token', 'serve'], { stderr: line });
    logLines.push(JSON.parse(line));
  });
  const processUsage = () => ({ cpuSeconds: 1, residentBytes: 2, startedAt: 3 });
  const write = (name: string, content: string | Uint8Array) => writeFileSync(folder.at(name), content);
  const load: LoadConfiguration = (readFile) =>
    loadConfiguration(folder.at('registry-token.yaml'), {}, readFile);
  const open = () =>
    Runtime.create(load, {
      clock: () => clock.now,
      steadyClock: () => clock.now - clock.setAhead,
      log,
      processUsage,
    });
  write('signing.pem', pemOf((await createKey('ES256')).privateKey));
  write('jwks.json', JSON.stringify({ keys: [{ ...authorityKey.publicJwk, kid: authorityKey.thumbprint }] }));
  const installation: Installation = {
    folder,
    clock,
    log,
    logLines,
    authorityKey,
    clientKey,
    write,
    configure: (sections = {}) => write('registry-token.yaml', JSON.stringify(merge(sections), null, 1)),
    open,
    mistakes: async () => {
      try {
        (await open()).close();
        return '';
      } catch (cause) {
        if (!(cause instanceof ConfigurationFault)) throw cause;
        const cut = (text: string) => text.replaceAll(`${folder.path}/`, '');
        return cause.mistakes.map(({ key, message }) => cut(`${key}: ${message}`)).join('\n');
      }
    },
    opTok: (overrides = {}) =>
      signWith(opTokMembers(authorityKey, clientKey, clock.now), authorityKey, overrides),
    proof: (opTok, overrides = {}) =>
      signWith(proofMembers(clientKey, opTok, clock.now), clientKey, overrides),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
  installation.configure();
  return installation;
}

const usual = {
  server: { listen: '127.0.0.1:8085' },
  authority: { issuer: ISSUER, jwksPath: 'jwks.json', audiences: [AUDIENCE], clockSkew: 0 },
  signing: { issuer: 'registry-token.example.com', keyPath: 'signing.pem' },
  registry: { realm: REALM, allowedServices: [SERVICE] },
  plans: { community: { repositories: [{ pattern: 'public/*' }] } },
  defaultPlan: 'community',
};

function merge(sections: Sections): object {
  const result: Record<string, unknown> = { ...usual };
  for (const [name, section] of Object.entries(sections)) {
    const current = result[name];
    const isMapping = typeof section === 'object' && !Array.isArray(section);
    result[name] = isMapping && typeof current === 'object' ? { ...current, ...section } : section;
  }
  return result;
}

/** PKCS#8, not encrypted. */
export function pemOf(privateKey: TestKey['privateKey']): string {
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}
