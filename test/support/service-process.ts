/** A process of the service whose surroundings fail: it can be ended and started again, and asked at any time. */
import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { Runtime } from '../../src/assemble/runtime.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { listen } from '../../src/server/listen.ts';
import { createLog } from '../../src/telemetry/log.ts';
import type { FaultyAuthority } from './faulty-authority.ts';
import { createKey, type TestKey } from './keys.ts';
import { type Child, createTemporaryFolder, findFreePort, start, type TemporaryFolder } from './processes.ts';
import { BINARY, type Section } from './running-service.ts';
import { checkOutput } from './secret-watch.ts';
import { AUDIENCE, ISSUER, opTokMembers, proofMembers, REALM, SERVICE, signWith } from './tokens.ts';

export interface ProcessOptions {
  readonly authority: Pick<FaultyAuthority, 'metadataUrl'>;
  /** `authority.clockSkew` in seconds; default 0: for so long after the start, proofs need a nonce. */
  readonly clockSkew?: number;
  /** `senderConstraint` of the configuration. */
  readonly senderConstraint?: Section;
  /** Added to `server`. */
  readonly server?: Section;
  readonly env?: Readonly<Record<string, string>>;
}

/** What can be asked of a service, in a process of its own or not. */
export interface Asked {
  readonly url: string;
  readonly get: (path: string) => Promise<Reply>;
  /** Asks for a token with this OpTok and this proof. */
  readonly ask: (opTok: string, proof: string) => Promise<Reply>;
}

export interface ServiceProcess extends Asked, AsyncDisposable {
  readonly folder: TemporaryFolder;
  /** Starts it, and waits until it answers; whether it is ready to issue is another matter. */
  readonly start: () => Promise<void>;
  /** Starts it, and waits for its end: the exit code. */
  readonly startAndFail: () => Promise<number>;
  /** SIGTERM; resolves to the exit code. */
  readonly stop: () => Promise<number>;
  /** SIGKILL, as a crash would end it. */
  readonly kill: () => Promise<void>;
  /** Everything that it has written so far, over all its starts. */
  readonly output: () => string;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The `error` of a refusal. */
  readonly error: unknown;
  readonly milliseconds: number;
}

/** With CI=true the executable, which `bun run test` has built just before; else the sources as they are now. */
export const words =
  process.env.CI === 'true'
    ? [BINARY]
    : [process.execPath, 'run', new URL('../../src/main.ts', import.meta.url).pathname];

export async function createServiceProcess(options: ProcessOptions): Promise<ServiceProcess> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const command = [...words, 'serve', '--config', await writeConfiguration(folder, options, port)];
  const children: Child[] = [];
  const startChild = () => {
    const child = start(command, options.env === undefined ? {} : { env: options.env });
    children.push(child);
    return child;
  };
  const last = () => {
    const child = children.at(-1);
    if (child === undefined) throw new Error('The service was not started.');
    return child;
  };
  return {
    ...askedAt(url),
    folder,
    start: async () => {
      await startChild().waitForStatus(`${url}/healthz`, 200);
    },
    startAndFail: () => startChild().exited,
    stop: () => last().stop(),
    kill: async () => {
      last().signal('SIGKILL');
      await last().exited;
    },
    output: () => children.map((child) => `${child.stdout()}${child.stderr()}`).join(''),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(children.map((child) => child.stop()));
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** The same service in this process, on a clock that can be set. `clock.now` in epoch seconds. */
export async function startServiceHere(
  options: ProcessOptions,
  clock: { now: number },
): Promise<Asked & AsyncDisposable> {
  const folder = await createTemporaryFolder();
  const file = await writeConfiguration(folder, options, 0);
  const processUsage = () => ({ cpuSeconds: 0, residentBytes: 0, startedAt: 0 });
  const log = createLog('error', 'json', (line) =>
    checkOutput(['registry-token', 'serve'], { stderr: line }),
  );
  const runtime = await Runtime.create((readFile) => loadConfiguration(file, {}, readFile), {
    clock: () => clock.now,
    log,
    processUsage,
  });
  const listener = listen({ host: '127.0.0.1', port: 0, handle: runtime.handle });
  await runtime.open();
  return {
    ...askedAt(listener.url),
    [Symbol.asyncDispose]: async () => {
      await listener.stop(0);
      runtime.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function askedAt(url: string): Asked {
  const get = (path: string, headers: Readonly<Record<string, string>> = {}) =>
    replyOf(`${url}${path}`, headers);
  return {
    url,
    get,
    ask: (opTok, proof) => get(`/token?service=${SERVICE}`, { Authorization: `DPoP ${opTok}`, DPoP: proof }),
  };
}

/** A client with a key of its own and OpToks of the Authority that has `authorityKey`. */
export interface ProcessClient {
  readonly opTok: (claims?: Section, key?: TestKey) => string;
  /** Dated now, with fractions of a second: a service that started in this very second takes it. */
  readonly proof: (opTok: string, claims?: Section) => string;
}

/** `now` in epoch seconds; default: the clock on the wall. */
export async function createProcessClient(
  authorityKey: TestKey,
  now = () => Date.now() / 1000,
): Promise<ProcessClient> {
  const clientKey = await createKey('ES256');
  return {
    opTok: (claims = {}, key = authorityKey) =>
      signWith(opTokMembers(key, clientKey, now()), key, { claims }),
    proof: (opTok, claims = {}) =>
      signWith(proofMembers(clientKey, opTok, now()), clientKey, { claims: { iat: now(), ...claims } }),
  };
}

/** Asks with something new until the answer has this status. Returns the milliseconds that it took. */
export async function untilStatus(
  status: number,
  limitMs: number,
  ask: () => Promise<Reply>,
): Promise<number> {
  const started = performance.now();
  for (;;) {
    const reply = await ask();
    const waited = performance.now() - started;
    if (reply.status === status) return waited;
    if (waited > limitMs) throw new Error(`After ${limitMs} ms the answer is ${reply.status}: ${reply.text}`);
    await Bun.sleep(20);
  }
}

/** The value of a series of `/metrics`, with its labels: `name{label="value"}`. */
export async function metricOf(service: Asked, series: string): Promise<number> {
  const { text } = await service.get('/metrics');
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
  if (line === undefined) throw new Error(`There is no ${series} in /metrics.`);
  return Number(line.slice(series.length + 1).split(' ', 1));
}

/** Writes the configuration and the signing key that it names. Returns the path of the former. */
async function writeConfiguration(
  folder: TemporaryFolder,
  options: ProcessOptions,
  port: number,
): Promise<string> {
  const { privateKey } = await createKey('ES256');
  await writeFile(folder.at('signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const file = folder.at('registry-token.yaml');
  await writeFile(file, stringify(configurationOf(options, port)));
  return file;
}

function configurationOf(options: ProcessOptions, port: number): Section {
  const { authority, clockSkew = 0, senderConstraint, server } = options;
  return {
    server: { listen: `127.0.0.1:${port}`, shutdownGrace: '2s', ...server },
    authority: { issuer: ISSUER, metadataUrl: authority.metadataUrl, audiences: [AUDIENCE], clockSkew },
    ...(senderConstraint === undefined ? {} : { senderConstraint }),
    signing: { issuer: 'registry-token.example.com', keyPath: 'signing.pem' },
    registry: { realm: REALM, allowedServices: [SERVICE] },
    plans: { community: { repositories: [{ pattern: 'public/*' }] } },
    defaultPlan: 'community',
    logging: { level: 'debug', format: 'json' },
  };
}

async function replyOf(url: string, headers: Readonly<Record<string, string>>): Promise<Reply> {
  const started = performance.now();
  const response = await fetch(url, { headers, signal: AbortSignal.timeout(30_000) });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return {
    status: response.status,
    headers: response.headers,
    text,
    error: isJson ? (JSON.parse(text) as { error?: unknown }).error : undefined,
    milliseconds: performance.now() - started,
  };
}
