/**
 * Connections to Redis: to one server, to the master that Sentinels name, or to every master of a Cluster. A link never
 * connects again by itself: what comes after a loss has to be judged before it is used.
 */
import { RedisClient } from 'bun';
import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { settleWithin } from '../platform/wait.ts';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is. */
export type RedisTarget =
  | { readonly kind: 'server'; readonly url: string }
  | { readonly kind: 'sentinel'; readonly sentinels: readonly RedisAddress[]; readonly master: string }
  | { readonly kind: 'cluster'; readonly nodes: readonly RedisAddress[] };

export interface RedisSecrets {
  readonly password: string | null;
  /** PEM; with Sentinels and a Cluster it turns TLS on. null: the authorities of the system. */
  readonly ca: string | null;
}

export interface RedisMaster {
  /** Runs one command, after those sent before it. Rejects where there is no answer within a second. */
  readonly command: (words: readonly string[]) => Promise<unknown>;
}

/** Keys that live on one master together. */
export interface RedisPartition {
  readonly prefix: string;
  readonly master: RedisMaster;
}

export interface RedisLink {
  readonly masters: readonly RedisMaster[];
  /** At least one; as many for everyone who uses the same Redis. */
  readonly partitions: readonly RedisPartition[];
  readonly close: () => void;
}

/** A fault found here, in words of our own: it can be shown. */
export class RedisFault extends Error {}

export const ANSWER_MS = 1000;
const PREFIX = 'registry-token:';
/** Of a Cluster. Enough to spread over its masters; each is looked at once a second. */
const PARTITIONS = 32;

/** `onLost` is called once a connection of the link has ended, also by `close`. Rejects where one cannot be made. */
export function openLink(target: RedisTarget, secrets: RedisSecrets, onLost: () => void): Promise<RedisLink> {
  switch (target.kind) {
    case 'server':
      return openServer(target.url, secrets, onLost);
    case 'sentinel':
      return openSentinel(target, secrets, onLost);
    case 'cluster':
      return openCluster(target, secrets, onLost);
  }
}

/** By Bun's own client, which costs less than half of what ioredis does. */
async function openServer(url: string, secrets: RedisSecrets, onLost: () => void): Promise<RedisLink> {
  const client = new RedisClient(withPassword(url, secrets.password), {
    autoReconnect: false,
    enableOfflineQueue: false,
    // Only to end what was given up below: whichever is first should say so in the same words.
    connectionTimeout: 2 * ANSWER_MS,
    ...(secrets.ca === null ? {} : { tls: { ca: secrets.ca } }),
  });
  try {
    await answerOf(client.connect());
  } catch (cause) {
    client.close();
    throw cause;
  }
  client.onclose = onLost;
  const master = {
    command: ([name = '', ...words]: readonly string[]) => answerOf(client.send(name, words)),
  };
  return singleMaster(master, () => client.close());
}

function withPassword(url: string, password: string | null): string {
  if (password === null) return url;
  const changed = new URL(url);
  changed.password = encodeURIComponent(password);
  return changed.href;
}

function singleMaster(master: RedisMaster, close: () => void): RedisLink {
  return { masters: [master], partitions: [{ prefix: PREFIX, master }], close };
}

/** Nothing is sent again and nothing waits for a connection: the replay store decides what is done. */
function commonOptions({ password, ca }: RedisSecrets) {
  return {
    connectTimeout: 2 * ANSWER_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    disableClientInfo: true,
    ...(password === null ? {} : { password }),
    ...(ca === null ? {} : { tls: { ca } }),
  } satisfies RedisOptions;
}

async function openSentinel(
  { sentinels, master: name }: Extract<RedisTarget, { kind: 'sentinel' }>,
  secrets: RedisSecrets,
  onLost: () => void,
): Promise<RedisLink> {
  const { Redis } = await import('ioredis');
  const client = new Redis({
    ...commonOptions(secrets),
    sentinels: sentinels.map(({ host, port }) => ({ host, port })),
    name,
    // Ends the connection when a Sentinel announces another master.
    failoverDetector: true,
    ...(secrets.ca === null ? {} : { enableTLSForSentinelMode: true, sentinelTLS: { ca: secrets.ca } }),
    sentinelRetryStrategy: () => null,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    lazyConnect: true,
  });
  client.on('error', ignore);
  try {
    await answerOf(client.connect());
  } catch (cause) {
    client.disconnect();
    throw cause;
  }
  client.once('close', onLost);
  return singleMaster(masterOf(client), () => client.disconnect());
}

async function openCluster(
  { nodes }: Extract<RedisTarget, { kind: 'cluster' }>,
  secrets: RedisSecrets,
  onLost: () => void,
): Promise<RedisLink> {
  const { Cluster } = await import('ioredis');
  const cluster = new Cluster(
    nodes.map(({ host, port }) => ({ host, port })),
    {
      redisOptions: commonOptions(secrets),
      clusterRetryStrategy: () => null,
      slotsRefreshTimeout: ANSWER_MS,
      enableOfflineQueue: false,
      lazyConnect: true,
    },
  );
  cluster.on('error', ignore);
  try {
    await answerOf(cluster.connect());
    const connections = cluster.nodes('master');
    for (const connection of connections) connection.once('close', onLost);
    const masters = new Map(connections.map((connection) => [addressOf(connection), masterOf(connection)]));
    return {
      masters: [...masters.values()],
      partitions: await findPartitions(cluster, masters),
      close: () => cluster.disconnect(),
    };
  } catch (cause) {
    cluster.disconnect();
    throw cause;
  }
}

/** Commands go to the master that has the slot, and not through the Cluster, which would try others. */
async function findPartitions(
  cluster: Cluster,
  masters: ReadonlyMap<string, RedisMaster>,
): Promise<RedisPartition[]> {
  const [any] = masters.values();
  if (any === undefined) throw new RedisFault('the Redis Cluster has no master');
  const prefixes = Array.from({ length: PARTITIONS }, (_, number) => `${PREFIX}{${number}}:`);
  const slots = await Promise.all(prefixes.map((prefix) => any.command(['CLUSTER', 'KEYSLOT', prefix])));
  return prefixes.map((prefix, number) => {
    const master = masters.get(cluster.slots[Number(slots[number])]?.[0] ?? '');
    if (master === undefined) throw new RedisFault('slots of the Redis Cluster have no master: repair it');
    return { prefix, master };
  });
}

function addressOf({ options: { host, port } }: Redis): string {
  return `${host}:${port}`;
}

function masterOf(client: Redis): RedisMaster {
  return {
    command: ([name = '', ...words]) => answerOf(client.call(name, ...words)),
  };
}

/** What it says is known from the promise that rejects. */
function ignore(): void {}

function answerOf<Answer>(answer: Promise<Answer>): Promise<Answer> {
  return settleWithin(ANSWER_MS, answer, () => {
    throw new RedisFault(`Redis does not answer within ${ANSWER_MS} ms`);
  });
}
