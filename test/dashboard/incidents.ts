/** Two minutes in the life of two services: the load on them, and what goes wrong meanwhile. */
import { type Authority, startAuthority } from '../support/authority.ts';
import { createDpopClient, type DpopClient } from '../support/authority-client.ts';
import { writeCertificate } from '../support/certificates.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { type Prometheus, startPrometheus } from '../support/prometheus.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { type RunningService, startService } from '../support/running-service.ts';
import { requestToken } from '../support/token-request.ts';

export interface Setting extends AsyncDisposable {
  readonly authority: Authority;
  readonly redis: RedisServer;
  /** With the memory store, and with Redis. */
  readonly services: readonly [RunningService, RunningService];
  readonly prometheus: Prometheus;
}

const REVOKED = 'LIC-2019-0042';

/** `rules` as of startPrometheus. */
export async function startSetting(rules: string): Promise<Setting> {
  const stack = new AsyncDisposableStack();
  const folder = stack.use(await createTemporaryFolder());
  const { keyPath, certificatePath } = await writeCertificate(folder, 'registry-signing');
  const clients = [
    { id: 'builder', plan: 'enterprise' },
    { id: 'reader' },
    { id: 'former', plan: 'enterprise', license: REVOKED },
  ];
  const authority = stack.use(await startAuthority({ clients }));
  const redis = stack.use(await startRedis());
  const options = { authorityIssuer: authority.issuer, signing: { keyPath, certificatePath } };
  const sections = { revokedLicenses: [REVOKED], logging: { level: 'warn', format: 'json' } };
  const withMemory = { replay: { store: 'memory', capacity: 2500 } };
  const withRedis = { replay: { store: 'redis', url: redis.url } };
  const start = (senderConstraint: typeof withMemory | typeof withRedis) =>
    startService({ ...options, sections: { ...sections, senderConstraint } });
  const services = [stack.use(await start(withMemory)), stack.use(await start(withRedis))] as const;
  const targets = services.map(({ port }, index) => ({
    address: `127.0.0.1:${port}`,
    instance: `registry-token-${index + 1}`,
  }));
  const prometheus = stack.use(await startPrometheus({ rules, targets }));
  return { authority, redis, services, prometheus, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** Parts of the whole time: from when, and until when. */
const plot = {
  reload: 0.2,
  refusals: [0.3, 0.45],
  rotation: 0.5,
  redisDown: [0.6, 0.72],
  replays: [0.8, 0.9],
} as const;

/** Loads both services for so many seconds, with what goes wrong in `plot`. Rejects where a service does not answer. */
export async function liveThrough(setting: Setting, seconds: number): Promise<void> {
  const { authority, redis, services } = setting;
  const [first, second] = services;
  const client = (id: string) => createDpopClient(authority, id);
  let [builder, reader] = await Promise.all([client('builder'), client('reader')]);
  const former = await client('former');
  let usedProof = '';
  const incidents: [from: number, happen: () => Promise<void>][] = [
    [plot.reload, async () => services.forEach(({ child }) => void child.signal('SIGHUP'))],
    [
      plot.rotation,
      async () => {
        await authority.rotateKey({ keepOld: true });
        [builder, reader] = await Promise.all([client('builder'), client('reader')]);
      },
    ],
    [plot.redisDown[0], () => redis.stop()],
    [plot.redisDown[1], () => redis.start()],
    [
      plot.replays[0],
      async () => {
        usedProof = await reader.proof(first.realm);
      },
    ],
  ];
  const running = new Set<Promise<unknown>>();
  const ask = (service: RunningService, asking: DpopClient, scope: string, proof?: string) => {
    const asked = requestToken(service.realm, asking, [scope], proof).then((answer) => answer.arrayBuffer());
    running.add(asked.finally(() => running.delete(asked)));
  };
  const started = performance.now();
  for (;;) {
    const part = (performance.now() - started) / 1000 / seconds;
    if (part >= 1) break;
    const tide = 1 + Math.sin(part * 4 * Math.PI) / 2;
    if (Math.random() < 0.6 * tide) ask(first, builder, 'repository:team-a/app:pull,push');
    if (Math.random() < 0.4 * tide) ask(first, reader, 'repository:public/base:pull');
    if (Math.random() < 0.4) ask(second, builder, 'repository:team-b/web:pull');
    if (Math.random() < 0.04) ask(second, former, 'repository:team-b/web:pull');
    const [next] = incidents;
    if (next !== undefined && part >= next[0]) {
      incidents.shift();
      await next[1]();
    }
    if (isWithin(part, plot.refusals)) ask(first, reader, 'repository:team-a/app:pull');
    if (isWithin(part, plot.replays)) ask(first, reader, 'repository:public/base:pull', usedProof);
    await Bun.sleep(50);
  }
  await Promise.all(running);
}

function isWithin(part: number, [from, until]: readonly [number, number]): boolean {
  return part >= from && part < until;
}
