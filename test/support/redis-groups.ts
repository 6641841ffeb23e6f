/** Several Redis: a master with replicas that Sentinels watch, and a Cluster. */
import { writeFile } from 'node:fs/promises';
import type { RedisTarget } from '../../src/replay/redis-link.ts';
import { type Child, createTemporaryFolder, findFreePort, runOrFail, start } from './processes.ts';
import { type RedisOptions, type RedisServer, startRedis } from './redis.ts';

export interface RedisGroup extends AsyncDisposable {
  readonly servers: readonly RedisServer[];
  readonly target: RedisTarget;
  /** Of `senderConstraint.replay`. */
  readonly replay: Readonly<Record<string, unknown>>;
}

const HOST = '127.0.0.1';
const LIMIT_MS = 30_000;

/** Waits until `look` is true. */
export async function until(what: string, look: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await look().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${LIMIT_MS} ms`);
    await Bun.sleep(50);
  }
}

export async function isMaster(server: RedisServer): Promise<boolean> {
  return /^role:master/m.test(String(await server.command('INFO', 'replication')));
}

/** A replica of `master` that has caught up with it. */
export async function startReplica(master: RedisServer, options: RedisOptions = {}): Promise<RedisServer> {
  const settings = [...(options.settings ?? []), '--replicaof', HOST, String(master.port)];
  const replica = await startRedis({
    ...options,
    settings: [...settings, '--repl-diskless-sync-delay', '0'],
  });
  await until('a replica in step', async () =>
    /^master_link_status:up/m.test(String(await replica.command('INFO', 'replication'))),
  );
  return replica;
}

/** A master, two replicas and three Sentinels, which take half a second without an answer for a loss. */
export async function startSentinelGroup(options: RedisOptions = {}): Promise<RedisGroup> {
  const stack = new AsyncDisposableStack();
  try {
    const quick = { ...options, settings: ['--repl-diskless-sync-delay', '0'] };
    const master = stack.use(await startRedis(quick));
    const replicas = [stack.use(await startReplica(master)), stack.use(await startReplica(master))];
    const ports = await Promise.all([findFreePort(), findFreePort(), findFreePort()]);
    for (const port of ports) stack.use(await startSentinel(port, master.port));
    const probes = ports.map((port) => `redis://${HOST}:${port}`);
    for (const url of probes)
      await until('Sentinels that know one another', async () => {
        const told = await runOrFail(['redis-cli', '-u', url, 'SENTINEL', 'MASTER', 'mymaster']);
        return /num-slaves\n2\n/.test(told) && /num-other-sentinels\n2\n/.test(told);
      });
    return {
      servers: [master, ...replicas],
      target: {
        kind: 'sentinel',
        sentinels: ports.map((port) => ({ host: HOST, port })),
        master: 'mymaster',
      },
      replay: { store: 'redis', sentinels: ports.map((port) => `${HOST}:${port}`), master: 'mymaster' },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (cause) {
    await stack.disposeAsync();
    throw cause;
  }
}

async function startSentinel(port: number, masterPort: number): Promise<AsyncDisposable> {
  const folder = await createTemporaryFolder();
  const lines = [
    `port ${port}`,
    `bind ${HOST}`,
    `dir ${folder.path}`,
    `sentinel monitor mymaster ${HOST} ${masterPort} 2`,
    'sentinel down-after-milliseconds mymaster 500',
    'sentinel failover-timeout mymaster 3000',
  ];
  await writeFile(folder.at('sentinel.conf'), `${lines.join('\n')}\n`);
  const child: Child = start(['redis-sentinel', folder.at('sentinel.conf')]);
  await child.waitForLine(/Sentinel ID is/);
  return {
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Three masters, each with a replica. */
export async function startCluster(): Promise<RedisGroup> {
  const stack = new AsyncDisposableStack();
  try {
    const servers: RedisServer[] = [];
    for (let number = 0; number < 6; number += 1)
      servers.push(
        stack.use(
          await startRedis({
            settings: [
              ...['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000'],
              ...['--cluster-port', String(await findFreePort()), '--repl-diskless-sync-delay', '0'],
            ],
          }),
        ),
      );
    const addresses = servers.map(({ port }) => `${HOST}:${port}`);
    const create = ['redis-cli', '--cluster', 'create', ...addresses, '--cluster-replicas', '1'];
    await runOrFail([...create, '--cluster-yes']);
    for (const server of servers)
      await until('a Cluster that is whole', async () => {
        const state = String(await server.command('CLUSTER', 'INFO'));
        const role = String(await server.command('INFO', 'replication'));
        return /^cluster_state:ok/m.test(state) && /^(?:role:master|master_link_status:up)/m.test(role);
      });
    return {
      servers,
      target: { kind: 'cluster', nodes: servers.map(({ port }) => ({ host: HOST, port })) },
      replay: { store: 'redis', cluster: addresses },
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    };
  } catch (cause) {
    await stack.disposeAsync();
    throw cause;
  }
}

/** From now on what the master takes reaches no replica, though it answers those who are connected. */
export async function cutOffReplicas(master: RedisServer): Promise<void> {
  await master.command('ACL', 'SETUSER', 'default', '-psync', '-sync');
  await master.command('CLIENT', 'KILL', 'TYPE', 'replica');
}
