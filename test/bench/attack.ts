/**
 * The service while everything around it changes at once: reloads, revocations, key rotations, workers that die, stops
 * and crashes, a Redis that fails over. Clients, good and bad, ask meanwhile, and replay each accepted proof at a random
 * later time. Half of the time with the memory store and restarts, half with Redis behind Sentinels.
 */
import { createTemporaryFolder } from '../support/processes.ts';
import { isMaster, type RedisGroup, startSentinelGroup } from '../support/redis-groups.ts';
import type { Section } from '../support/running-service.ts';
import { type AttackClients, createAttackClients, type Ledger } from './attack-client.ts';
import { type AttackedService, between, createAttackedService, pick } from './attack-service.ts';
import { medianOf } from './spread.ts';

export interface AttackOptions {
  /** Of both stores together. */
  readonly seconds: number;
  readonly workers: number;
  /** How many requests are under way at most. */
  readonly connections: number;
  /** 1 for the long run; a short one makes everything happen more often, by this factor. */
  readonly haste: number;
  /** MiB that the last third may have above the first, beside a tenth of it: a young process still grows. */
  readonly growth: number;
  readonly tell: (line: string) => void;
  readonly signal: AbortSignal;
}

export interface AttackReport {
  readonly campaigns: readonly Campaign[];
  readonly seconds: number;
  readonly workers: number;
}

export interface Campaign extends Ledger {
  readonly store: string;
  readonly events: Readonly<Record<string, number>>;
  /** Lines of the service's log, by message and reason. */
  readonly lines: Readonly<Record<string, number>>;
  /** MiB, after the last restart and a warm-up: the medians of the first and last third. */
  readonly memory: { readonly first: number; readonly last: number; readonly highest: number };
}

/** The part of a campaign with restarts, and the end of what is not looked at for the memory. */
const RESTARTS = 0.4;
const WARM_UP = 0.55;
const DEATH = 'a worker died and is being replaced';
const RECOVERY_MS = 30_000;
/** So many replays at the end are those of more than the longest window of a run. */
const LAST_REPLAYS = 3000;

export async function attack(options: AttackOptions): Promise<AttackReport> {
  const half = { ...options, seconds: options.seconds / 2 };
  const began = performance.now();
  const memory = await runCampaign('memory', { store: 'memory', statePath: 'replay.state' }, null, half);
  await using group = await startSentinelGroup();
  const redis = await runCampaign('redis', { ...group.replay, minReplicas: 1 }, group, half);
  return {
    campaigns: [memory, redis],
    seconds: (performance.now() - began) / 1000,
    workers: options.workers,
  };
}

async function runCampaign(
  store: string,
  replay: Section,
  redis: RedisGroup | null,
  options: AttackOptions,
): Promise<Campaign> {
  const { seconds, haste, signal, tell } = options;
  await using folder = await createTemporaryFolder();
  await using service = await createAttackedService({ folder, workers: options.workers, replay });
  const clients = await createAttackClients(service, 8000 / haste, signal);
  const events: Record<string, number> = {};
  const happened = (event: string) => {
    events[event] = (events[event] ?? 0) + 1;
  };
  await service.start();
  const began = performance.now();
  const progress = () => (performance.now() - began) / 1000 / seconds;
  const isOver = () => progress() >= 1 || signal.aborted;
  const files = createLock();
  const running = createLock();

  /** Repeats at random moments until the end, or `until`. */
  const every = async (low: number, high: number, act: () => Promise<void>, until = 1) => {
    for (;;) {
      const wait = (between(low, high) / haste) * 1000;
      await Bun.sleep(wait);
      if (isOver() || progress() >= until) return;
      await act();
    }
  };
  const reload = async () => {
    for (let left = pick([1, 1, 1, 2, 4]); left > 0; left -= 1) {
      await files(async () => {
        const inPieces = Math.random() < 0.2;
        await service.configure(inPieces);
        happened(inPieces ? 'configurations in pieces' : 'configurations');
        if (Math.random() < 0.6) {
          service.signal('SIGHUP');
          happened('SIGHUP');
        }
      });
      await Bun.sleep(between(0, 50));
    }
  };
  const revoke = () =>
    files(async () => {
      await service.revoke(Math.random() < 0.2);
      happened('revocations');
      if (Math.random() < 0.5) service.signal('SIGHUP');
    });
  const rotate = () =>
    files(async () => {
      await service.rotate();
      happened('steps of key rotation');
      service.signal('SIGHUP');
    });
  const killWorker = () =>
    running(async () => {
      const recovered = clients.disturb();
      const logged = service.lines[DEATH] ?? 0;
      const deadline = performance.now() + RECOVERY_MS;
      service.signal('SIGUSR2');
      happened('workers killed');
      while (logged === (service.lines[DEATH] ?? 0) && performance.now() < deadline) await Bun.sleep(10);
      if (logged === (service.lines[DEATH] ?? 0))
        clients.fault('each death of a worker is logged', `not within ${RECOVERY_MS} ms`);
      await untilServed(clients, 5, signal);
      recovered();
    });
  const restart = () =>
    running(() =>
      files(async () => {
        const recovered = clients.disturb();
        const isPlanned = Math.random() < 0.6;
        happened(isPlanned ? 'planned restarts' : 'crashes');
        if (isPlanned) {
          const code = await service.stop();
          if (code !== 0) clients.fault('a planned stop ends with 0', `exit code ${code}`);
        } else await service.kill();
        await Bun.sleep(pick([0, 0, 500, 2500]));
        await service.start();
        await untilServed(clients, 1, signal);
        recovered();
      }),
    );
  const failOver = async ({ servers }: RedisGroup) => {
    const recovered = clients.disturb();
    const roles = await Promise.all(servers.map((server) => isMaster(server).catch(() => false)));
    const master = servers[roles.indexOf(true)];
    if (master === undefined) throw new Error('No Redis is master.');
    if (Math.random() < 0.5) {
      happened('Redis killed');
      await master.kill();
      await Bun.sleep(between(500, 4000));
      await master.start();
    } else {
      happened('Redis paused');
      master.pause();
      await Bun.sleep(between(100, 4000));
      master.resume();
    }
    await untilServed(clients, 5, signal);
    recovered();
  };
  const load = async () => {
    while (!isOver()) {
      await clients.act();
      await Bun.sleep(between(0, 60));
    }
  };

  const sizes: number[] = [];
  const sampling = setInterval(() => {
    const size = service.memory();
    if (progress() > WARM_UP && size !== null) sizes.push(size);
  }, 250);
  try {
    await Promise.all([
      ...Array.from({ length: options.connections }, load),
      every(0.3, 4, reload),
      every(0.5, 4, revoke),
      every(4, 12, rotate),
      every(6, 20, killWorker),
      every(3, 15, restart, RESTARTS),
      ...(redis === null ? [] : [every(8, 25, () => failOver(redis))]),
      every(5, 5, async () =>
        tell(
          `${store}, ${(progress() * seconds).toFixed(0)} s: ${JSON.stringify(events)}, ${service.memory()?.toFixed(0)} MiB`,
        ),
      ),
    ]);
  } finally {
    clearInterval(sampling);
  }
  signal.throwIfAborted();
  await finish(service, clients, signal);
  const third = Math.max(1, Math.floor(sizes.length / 3));
  const memory = {
    first: medianOf(sizes.slice(0, third)),
    last: medianOf(sizes.slice(-third)),
    highest: Math.max(...sizes),
  };
  if (memory.last > memory.first * 1.1 + options.growth)
    clients.fault('memory does not grow', `${memory.first.toFixed(0)} to ${memory.last.toFixed(0)} MiB`);
  return { store, events, lines: service.lines, memory, ...clients.ledger };
}

/** When nothing changes any more: all revocations are in force, no proof is good again, and it stops. */
async function finish(service: AttackedService, clients: AttackClients, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + RECOVERY_MS;
  await service.configure(false);
  service.signal('SIGHUP');
  while (service.revokedInForce() < service.revoked() && performance.now() < deadline) await Bun.sleep(50);
  if (service.revokedInForce() < service.revoked())
    clients.fault(
      'every revocation is in force in the end',
      `${service.revokedInForce()} of ${service.revoked()}`,
    );
  await clients.replayLast(LAST_REPLAYS);
  for (let left = 100; left > 0 && !signal.aborted; left -= 1) await clients.act();
  const code = await service.stop();
  if (code !== 0) clients.fault('a planned stop ends with 0', `exit code ${code}`);
  if (service.secretLines() > 0)
    clients.fault('no token or proof is in the log', `${service.secretLines()} lines`);
}

/** Until so many requests in a row got a token. */
async function untilServed(clients: AttackClients, times: number, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  const answers: string[] = [];
  for (let served = 0; served < times && !signal.aborted; ) {
    const answer = await clients.askOnce();
    const elapsed = Math.round(performance.now() - began);
    answers.push(`${answer} after ${elapsed} ms`);
    served = answer === '200' ? served + 1 : 0;
    if (elapsed > RECOVERY_MS)
      return clients.fault('it recovers from a disturbance', answers.slice(-5).join(', '));
    await Bun.sleep(20);
  }
}

/** Runs what it is given one after the other. */
function createLock(): <Result>(act: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve();
  return (act) => {
    const next = last.then(act);
    last = next.catch(() => {});
    return next;
  };
}

export function isSound({ campaigns }: Pick<AttackReport, 'campaigns'>): boolean {
  return campaigns.every(({ faults }) => Object.keys(faults).length === 0);
}

export function formatAttack({ campaigns, seconds, workers }: AttackReport): string {
  const counts = (record: Readonly<Record<string, number>>) =>
    Object.entries(record)
      .map(([name, count]) => `${name}: ${count}`)
      .join(', ');
  const mebibytes = (size: number) => `${size.toFixed(0)} MiB`;
  return [
    `${seconds.toFixed(0)} s, ${workers} workers`,
    ...campaigns.flatMap(({ store, events, answers, faults, memory, lines }) => [
      '',
      `Store ${store}: ${counts(events)}`,
      `  log: ${counts(lines)}`,
      ...Object.entries(answers).map(([kind, statuses]) => `  ${kind}: ${counts(statuses)}`),
      `  memory: ${mebibytes(memory.first)}, at the end ${mebibytes(memory.last)}, highest ${mebibytes(memory.highest)}`,
      ...Object.entries(faults).map(
        ([rule, { count, examples }]) => `  BROKEN: ${rule}: ${count} times (${examples.join('; ')})`,
      ),
    ]),
    '',
    isSound({ campaigns }) ? 'Every rule held.' : 'Rules were broken.',
    '',
  ].join('\n');
}
