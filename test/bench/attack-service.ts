/** The executable under attack: started, reloaded, stopped, killed and started again over one folder of files. */
import { renameSync, writeFileSync } from 'node:fs';
import { createKey, type TestKey } from '../support/keys.ts';
import {
  findFreePort,
  runOrFail,
  searchPath,
  type TemporaryFolder,
  withParent,
} from '../support/processes.ts';
import { BINARY, type Section } from '../support/running-service.ts';
import { AUDIENCE, ISSUER, REALM, SERVICE } from '../support/tokens.ts';
import { readMemory } from './process-figures.ts';

export interface AttackedService extends AsyncDisposable {
  readonly url: string;
  readonly authorityKey: TestKey;
  /** MiB; null while nothing runs. */
  readonly memory: () => number | null;
  /** Licences 1 to this number were in force when the last line `ready` or `reloaded` was written. */
  readonly revokedInForce: () => number;
  /** Licences 1 to this number are revoked in the files. */
  readonly revoked: () => number;
  /** Lines of the log so far, by message and reason. */
  readonly lines: Readonly<Record<string, number>>;
  /** When the log last told that the replay store is lost, in milliseconds of `performance.now()`. */
  readonly storeLostAt: () => number;
  /** Lines that contain a compact JWS. */
  readonly secretLines: () => number;
  /** Writes a configuration with a random number of plans. `inPieces`: as a program that writes slowly. */
  readonly configure: (inPieces: boolean) => Promise<void>;
  /** Revokes the next licence, in the configuration or in the list. */
  readonly revoke: (inPieces: boolean) => Promise<void>;
  /** The next step of a key rotation. */
  readonly rotate: () => Promise<void>;
  readonly signal: (signal: 'SIGHUP' | 'SIGUSR2') => void;
  readonly start: () => Promise<void>;
  /** Returns the exit code. */
  readonly stop: () => Promise<number>;
  readonly kill: () => Promise<void>;
}

export interface AttackedOptions {
  readonly folder: TemporaryFolder;
  readonly workers: number;
  /** `senderConstraint.replay`. */
  readonly replay: Section;
}

/** Longer than any answer of a service that stops. */
const GRACE = '15s';
const READY_MS = 30_000;
const STOP_MS = 30_000;
const killer = new URL('attack-worker-killer.ts', import.meta.url).pathname;
const ROTATION = [['--switch'], ['--finish', '--force'], ['--rotate']] as const;

export const licenseOf = (number: number) => `LIC-${number}`;
export const pick = <Item>(items: readonly Item[]): Item =>
  items[Math.floor(Math.random() * items.length)] as Item;
export const between = (low: number, high: number) => low + Math.random() * (high - low);

export async function createAttackedService(options: AttackedOptions): Promise<AttackedService> {
  const { folder } = options;
  const port = await findFreePort();
  const url = `http://127.0.0.1:${port}`;
  const authorityKey = await createKey('ES256');
  const lines: Record<string, number> = {};
  const known = { ...authorityKey.publicJwk, kid: authorityKey.thumbprint };
  let child: Bun.Subprocess<'ignore', 'ignore', 'pipe'> | null = null;
  let revoked = 0;
  let inConfiguration = 0;
  let inForce = 0;
  let steps = 0;
  let secretLines = 0;
  let storeLostAt = Number.NEGATIVE_INFINITY;
  let reading = Promise.resolve();

  const readLine = (line: string) => {
    if (line.includes('eyJ')) secretLines += 1;
    const message = /"message":"([^"]*)"/.exec(line)?.[1];
    if (message === undefined) return;
    const reason = /"reason":"([^"]*)"/.exec(line)?.[1];
    const kind = reason === undefined ? message : `${message} (${reason})`;
    lines[kind] = (lines[kind] ?? 0) + 1;
    if (message === 'replay store lost') storeLostAt = performance.now();
    if (message !== 'ready' && message !== 'reloaded') return;
    inForce = Math.max(inForce, Number(/"revokedLicenses":(\d+)/.exec(line)?.[1] ?? 0));
  };
  const write = async (name: string, text: string, cut: number | null) => {
    if (cut === null) {
      writeFileSync(folder.at(`${name}.new`), text);
      renameSync(folder.at(`${name}.new`), folder.at(name));
      return;
    }
    writeFileSync(folder.at(name), text.slice(0, cut));
    await Bun.sleep(between(20, 120));
    writeFileSync(folder.at(name), text);
  };
  const configure = async (inPieces: boolean) => {
    const text = JSON.stringify(configurationOf(options, port, inConfiguration), null, 1);
    await write('registry-token.yaml', text, inPieces ? Math.floor(between(1, text.length - 2)) : null);
  };
  const writeList = (inPieces: boolean) => {
    const text = ['# empty', ...numbers(revoked).map(licenseOf), ''].join('\n');
    // Within its last line: that a list which ends with a whole line is not whole can be seen by nobody.
    return write('revoked.txt', text, inPieces ? text.length - 2 : null);
  };
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    const ended = child;
    child = null;
    if (ended === null) return 0;
    ended.kill(signal);
    const timer = setTimeout(() => ended.kill('SIGKILL'), STOP_MS);
    const code = await ended.exited;
    clearTimeout(timer);
    await reading;
    return code;
  };

  await runOrFail([BINARY, 'keygen', '--out', folder.path]);
  await runOrFail([BINARY, 'keygen', '--out', folder.path, '--rotate']);
  writeFileSync(folder.at('authority-jwks.json'), JSON.stringify({ keys: [known] }));
  await writeList(false);
  await configure(false);
  return {
    url,
    authorityKey,
    lines,
    memory: () => {
      if (child === null || child.exitCode !== null) return null;
      return readMemory(child.pid).now;
    },
    revokedInForce: () => inForce,
    revoked: () => revoked,
    secretLines: () => secretLines,
    storeLostAt: () => storeLostAt,
    configure,
    revoke: async (inPieces) => {
      revoked += 1;
      if (Math.random() < 0.5) return writeList(inPieces);
      inConfiguration = revoked;
      return configure(inPieces);
    },
    rotate: async () => {
      await runOrFail([BINARY, 'keygen', '--out', folder.path, ...(ROTATION[steps % ROTATION.length] ?? [])]);
      steps += 1;
    },
    signal: (signal) => child?.kill(signal),
    start: async () => {
      const ready = lines.ready ?? 0;
      const command = [...withParent, BINARY, 'serve', '--config'];
      const started = Bun.spawn([...command, folder.at('registry-token.yaml')], {
        env: { PATH: searchPath, BUN_OPTIONS: `--preload=${killer}` },
        stdin: 'ignore',
        stdout: 'ignore',
        stderr: 'pipe',
      });
      child = started;
      let output = '';
      reading = eachLine(started.stderr, (line) => {
        if (output.length < 4000) output += `${line}\n`;
        readLine(line);
      });
      const deadline = performance.now() + READY_MS;
      while ((lines.ready ?? 0) === ready) {
        if (started.exitCode !== null || performance.now() > deadline)
          throw new Error(`The service did not become ready (${started.exitCode}):\n${output}`);
        await Bun.sleep(10);
      }
    },
    stop: () => end('SIGTERM'),
    kill: async () => void (await end('SIGKILL')),
    [Symbol.asyncDispose]: async () => void (await end('SIGKILL')),
  };
}

function configurationOf({ workers, replay }: AttackedOptions, port: number, revoked: number): Section {
  const plans = numbers(pick([1, 1, 10, 100, 1000])).map((number) => [
    `plan-${number}`,
    { repositories: [{ pattern: `public/*` }, { pattern: `team-${number}/**` }] },
  ]);
  return {
    server: { listen: `127.0.0.1:${port}`, shutdownGrace: GRACE, workers },
    authority: {
      issuer: ISSUER,
      jwksPath: 'authority-jwks.json',
      audiences: [AUDIENCE],
      clockSkew: pick(['5s', '30s', '60s']),
    },
    senderConstraint: {
      dpop: { maxAge: pick(['20s', '60s', '120s']), nonce: pick(['off', 'off', 'off', 'off', 'required']) },
      replay,
    },
    signing: {
      issuer: 'registry-token.example.com',
      keyPath: 'registry-signing.pem',
      certificatePath: 'registry-signing.crt',
      additionalKeys: ['registry-signing-bundle.crt'],
    },
    registry: { realm: REALM, allowedServices: [SERVICE] },
    plans: Object.fromEntries(plans),
    defaultPlan: 'plan-1',
    revokedLicenses: numbers(revoked).map(licenseOf),
    revokedLicensesPath: 'revoked.txt',
    logging: { level: 'info', format: 'json' },
  };
}

function numbers(count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

async function eachLine(stream: ReadableStream<Uint8Array>, take: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const bytes of stream) {
    const parts = `${rest}${decoder.decode(bytes, { stream: true })}`.split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) take(line);
  }
}
