/** Debian's redis-server on a free port of loopback, in a folder of its own, with the faults that a Redis can have. */
import { RedisClient } from 'bun';
import { type Child, createTemporaryFolder, findFreePort, start, type TemporaryFolder } from './processes.ts';
import { keepSecret } from './secret-watch.ts';

export interface RedisOptions {
  /** Default: a free one. */
  readonly port?: number;
  readonly password?: string;
  /** PEM files; it then speaks TLS alone. */
  readonly tls?: { readonly certificatePath: string; readonly keyPath: string };
  /** More words of its command line: `['--appendonly', 'yes']`. */
  readonly settings?: readonly string[];
  /** Of a movable clock. */
  readonly environment?: Readonly<Record<string, string>>;
}

export interface RedisServer extends AsyncDisposable {
  /** With the password, where there is one. */
  readonly url: string;
  readonly port: number;
  readonly folder: TemporaryFolder;
  readonly pid: () => number;
  /** Starts it again, on the same port and in the same folder, and waits until it takes connections. */
  readonly start: () => Promise<void>;
  /** Ends it; what it has in memory alone is lost. */
  readonly stop: () => Promise<void>;
  /** As a loss of power would end it. */
  readonly kill: () => Promise<void>;
  /** It neither answers nor hangs up until it is resumed. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Runs one command over a connection of its own. */
  readonly command: (name: string, ...words: readonly string[]) => Promise<unknown>;
}

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const { password, tls, settings = [], environment = {} } = options;
  const folder = await createTemporaryFolder();
  const port = options.port ?? (await findFreePort());
  const user = password === undefined ? '' : `:${encodeURIComponent(keepSecret(password))}@`;
  const url = `${tls === undefined ? 'redis' : 'rediss'}://${user}127.0.0.1:${port}`;
  const command = [
    ...['redis-server', '--bind', '127.0.0.1', '--dir', folder.path, '--save', ''],
    ...(tls === undefined ? ['--port', String(port)] : ['--port', '0', ...tlsWords(port, tls)]),
    ...(password === undefined ? [] : ['--requirepass', password]),
    ...settings,
  ];
  let child: Child | null = null;

  const startChild = async () => {
    child = start(command, { env: withPlainMalloc(environment) });
    await child.waitForLine(/Ready to accept connections/);
  };
  const pid = () => {
    if (child === null) throw new Error('Redis does not run.');
    return child.pid;
  };
  const stopChild = async () => {
    const running = child;
    child = null;
    if (running === null) return;
    // A paused process takes no SIGTERM.
    process.kill(running.pid, 'SIGCONT');
    await running.stop();
  };
  const dispose = async () => {
    await stopChild();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await startChild();
  } catch (cause) {
    await dispose();
    throw cause;
  }
  return {
    url,
    port,
    folder,
    pid,
    start: startChild,
    stop: stopChild,
    kill: async () => {
      const running = child;
      child = null;
      running?.signal('SIGKILL');
      await running?.exited;
    },
    pause: () => void process.kill(pid(), 'SIGSTOP'),
    resume: () => void process.kill(pid(), 'SIGCONT'),
    command: async (name, ...words) => {
      const client = new RedisClient(url, { autoReconnect: false });
      try {
        return await client.send(name, [...words]);
      } finally {
        client.close();
      }
    },
    [Symbol.asyncDispose]: dispose,
  };
}

function tlsWords(port: number, tls: NonNullable<RedisOptions['tls']>): readonly string[] {
  const files = ['--tls-cert-file', tls.certificatePath, '--tls-key-file', tls.keyPath];
  return ['--tls-port', String(port), ...files, '--tls-auth-clients', 'no'];
}

/** Redis's jemalloc asks for the time before libfaketime is ready, and libfaketime then gives up: libc's malloc goes first. */
function withPlainMalloc(environment: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { LD_PRELOAD } = environment;
  return LD_PRELOAD === undefined ? environment : { ...environment, LD_PRELOAD: `${LD_PRELOAD}:libc.so.6` };
}
