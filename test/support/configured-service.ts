/** The program itself, serving from a folder whose files the test changes while it runs. */
import { renameSync, writeFileSync } from 'node:fs';
import { keygen } from '../../src/cli/keygen.ts';
import { createKey } from './keys.ts';
import { type Child, createTemporaryFolder, findFreePort, start, type TemporaryFolder } from './processes.ts';
import { runCommand } from './run-command.ts';
import type { Section } from './running-service.ts';
import { createProcessClient, words } from './service-process.ts';
import { AUDIENCE, ISSUER, REALM, SERVICE } from './tokens.ts';

/** A change is noticed after two looks, a second apart. */
const RELOAD_MS = 15_000;

export interface ConfiguredService extends AsyncDisposable {
  readonly folder: TemporaryFolder;
  readonly url: string;
  readonly child: Child;
  /** Puts the usual configuration with these sections in the place of the old one, by a rename. */
  readonly configure: (sections?: Section) => void;
  /** Asks with an OpTok and a proof of its own, over a connection of its own. */
  readonly ask: (scope?: string, claims?: Section, proofClaims?: Section) => Promise<Response>;
  /** Asks with these headers, over a connection of its own. */
  readonly askWith: (headers: Readonly<Record<string, string>>, scope?: string) => Promise<Response>;
  /** The headers of a request with an OpTok and a proof of its own. */
  readonly credentials: (claims?: Section, proofClaims?: Section) => Readonly<Record<string, string>>;
  /** Asks as a client without credentials. */
  readonly askAnonymously: (scope?: string, headers?: Readonly<Record<string, string>>) => Promise<Response>;
  /** The value of a series of `/metrics`, with its labels. */
  readonly metric: (series: string) => Promise<number>;
  /** How many reloads there were with this result. */
  readonly reloads: (result: 'success' | 'failure') => Promise<number>;
  /** Waits until there were so many. */
  readonly untilReloads: (result: 'success' | 'failure', count: number) => Promise<void>;
}

/** Starts it with a key of `keygen` and an Authority whose keys are a file; `sections` as of `configure`. */
export async function startConfiguredService(sections: Section = {}): Promise<ConfiguredService> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const authorityKey = await createKey('ES256');
  const client = await createProcessClient(authorityKey);
  await runCommand(keygen, ['--out', folder.path]);
  const known = { ...authorityKey.publicJwk, kid: authorityKey.thumbprint };
  writeFileSync(folder.at('authority-jwks.json'), JSON.stringify({ keys: [known] }));
  const file = folder.at('registry-token.yaml');
  const configure = (changed: Section = {}) => {
    const usual = usualSections(port);
    const server = { ...(usual.server as Section), ...(changed.server as Section | undefined) };
    const text = JSON.stringify({ ...usual, ...changed, server }, null, 1);
    writeFileSync(`${file}.new`, text);
    renameSync(`${file}.new`, file);
  };
  configure(sections);
  const child = start([...words, 'serve', '--config', file]);
  try {
    await child.waitForStatus(`${url}/readyz`, 200);
  } catch (cause) {
    await child.stop();
    await folder[Symbol.asyncDispose]();
    throw cause;
  }
  const tokenUrl = (scope: string) => `${url}/token?${new URLSearchParams({ service: SERVICE, scope })}`;
  const metric = async (series: string) => {
    const text = await (await fetch(`${url}/metrics`)).text();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
    if (line === undefined) throw new Error(`There is no ${series} in /metrics.`);
    return Number(line.slice(series.length + 1).split(' ', 1));
  };
  const credentials = (claims: Section = {}, proofClaims: Section = {}) => {
    const opTok = client.opTok(claims);
    return { Authorization: `DPoP ${opTok}`, DPoP: client.proof(opTok, proofClaims) };
  };
  const askWith = (headers: Readonly<Record<string, string>>, scope = '') =>
    fetch(tokenUrl(scope), { headers, keepalive: false });
  const reloads = (result: string) => metric(`registry_token_config_reload_total{result="${result}"}`);
  return {
    folder,
    url,
    child,
    configure,
    ask: (scope = '', claims = {}, proofClaims = {}) => askWith(credentials(claims, proofClaims), scope),
    askWith,
    credentials,
    askAnonymously: (scope = '', headers = {}) => fetch(tokenUrl(scope), { headers }),
    metric,
    reloads,
    untilReloads: async (result, count) => {
      const deadline = performance.now() + RELOAD_MS;
      while ((await reloads(result)) < count) {
        if (performance.now() > deadline)
          throw new Error(`No reload ${count} (${result}) in ${RELOAD_MS} ms:\n${child.stderr()}`);
        await Bun.sleep(20);
      }
    },
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function usualSections(port: number): Section {
  return {
    server: { listen: `127.0.0.1:${port}`, shutdownGrace: '2s' },
    authority: { issuer: ISSUER, jwksPath: 'authority-jwks.json', audiences: [AUDIENCE], clockSkew: 0 },
    signing: {
      issuer: 'registry-token.example.com',
      keyPath: 'registry-signing.pem',
      certificatePath: 'registry-signing.crt',
    },
    registry: { realm: REALM, allowedServices: [SERVICE] },
    plans: { community: { repositories: [{ pattern: 'public/*', actions: ['pull', 'push'] }] } },
    defaultPlan: 'community',
    logging: { level: 'warn', format: 'json' },
  };
}
