/** `serve`: runs the service until it is stopped. */
import { isIPv6 } from 'node:net';
import { availableParallelism } from 'node:os';
import { openAudit } from '../assemble/audit.ts';
import { watchFiles } from '../assemble/files.ts';
import { describeOverrides, Runtime } from '../assemble/runtime.ts';
import { reportClients } from '../check/client-report.ts';
import { renderRegistrySample } from '../check/registry-sample.ts';
import { configurationLoader, findConfigurationFile } from '../config/load.ts';
import { isUnixAddress, type ListenAddress, parseListenAddress, type UnixAddress } from '../config/values.ts';
import { type Console, createConsole } from '../console/console.ts';
import { LastHour } from '../console/last-hour.ts';
import { RecentDecisions } from '../console/recent-decisions.ts';
import { type TelemetryParts, telemetryEndpoints } from '../endpoints.ts';
import { withBundle } from '../entitlements/in-force.ts';
import { describeProxies, proxiesOf } from '../platform/proxy.ts';
import { DescriptorReserve, Descriptors } from '../server/descriptors.ts';
import { type Listener, listen } from '../server/listen.ts';
import { listenTls } from '../server/listen-tls.ts';
import { listenUnix } from '../server/listen-unix.ts';
import { connectServiceManager, unitName } from '../server/service-manager.ts';
import { describeEnd } from '../status/certificates.ts';
import { describeStatus } from '../status/parts.ts';
import { renderReportJson } from '../status/render.ts';
import type { StatusReport } from '../status/report.ts';
import type { ListenerState, Snapshot, WorkerState } from '../status/snapshot.ts';
import { buildInfo } from '../telemetry/build-info.ts';
import { watchEventLoop } from '../telemetry/event-loop.ts';
import { createLineBatch, createLog, type Log } from '../telemetry/log.ts';
import { shareCollection } from '../telemetry/metrics.ts';
import { openPush } from '../telemetry/metrics-push.ts';
import { openWorkers, type WorkersOptions } from '../workers/open-workers.ts';
import { type Command, listenOrFail, readOptions, UsageError } from './command.ts';

export const serve: Command = {
  name: 'serve',
  summary: 'runs the service',
  help: `Usage: registry-token serve [--config FILE] [--listen HOST:PORT]

Runs the service in the foreground until SIGINT or SIGTERM; running requests are then answered first.
The configuration is FILE, else REGISTRY_TOKEN_CONFIG, else etc/registry-token.yaml, else
/etc/registry-token/registry-token.yaml. SIGHUP and any change of a file in use reload it. A configuration
with mistakes is reported and not applied. Each key can be overridden by the environment:
REGISTRY_TOKEN_SIGNING__KEY_PATH=/run/keys/signing.pem. The log goes to standard error,
metrics by OTLP where OTEL_EXPORTER_OTLP_ENDPOINT names a collector.

  --config FILE        the configuration
  --listen HOST:PORT   overrides server.listen

Exit codes: 0 stopped, 1 the address cannot be used, 2 usage, 78 the configuration has mistakes.

Example:
  registry-token serve --config /etc/registry-token/registry-token.yaml
`,
  run: async (context) => {
    const {
      args,
      env,
      tell,
      isTerminal,
      isJournal,
      stopRequested,
      onReloadRequested,
      processUsage,
      createWorker,
    } = context;
    const options = readOptions(args, { config: { type: 'string' }, listen: { type: 'string' } });
    if (options.listen !== undefined && parseListenAddress(options.listen) === null)
      throw new UsageError(`--listen must be host:port, not ${options.listen}`);
    const overrides = options.listen === undefined ? env : withListen(env, options.listen);
    const file = findConfigurationFile(options.config, env);
    const load = configurationLoader(file, overrides);
    const loaded = load();
    const { server, telemetry, logging } = loaded.configuration;
    const format = logging.format === 'auto' ? (isTerminal ? 'pretty' : 'json') : logging.format;
    const lines = createLineBatch(tell);
    const log = createLog(logging.level, format, lines.write, lines.flush, isJournal);
    await using ending = new AsyncDisposableStack();
    ending.defer(lines.flush);
    const audit = openAudit(loaded, log);
    if (audit !== null) ending.defer(audit.close);
    const recent = telemetry?.console === true ? new RecentDecisions() : null;
    const takers = [audit?.write, recent?.add.bind(recent)].filter((taker) => taker !== undefined);
    const takeDecisions = (lines: string) => {
      for (const take of takers) take(lines);
    };
    const decisionLines = createLineBatch(takeDecisions);
    ending.defer(decisionLines.flush);
    const decisions = takers.length === 0 ? null : createLog('info', 'json', decisionLines.write);
    // From the start on: SIGHUP would end a process that does not wait for it.
    let isReloadWanted = false;
    let reload = async () => {
      isReloadWanted = true;
    };
    onReloadRequested(() => {
      audit?.reopen();
      void reload();
    });
    const push = await openPush(env, log);
    if (push !== null) ending.defer(push.close);
    const clock = () => Date.now() / 1000;
    const proxies = proxiesOf(env);
    for (const variable of describeProxies(env)) log.info('proxy variable in use', { variable });
    const runtime = await Runtime.create(load, {
      clock,
      log,
      decisions,
      auditDropped: audit?.dropped ?? null,
      processUsage,
      push,
      proxies,
    });
    ending.defer(() => runtime.close());
    const count = server.workers === 'auto' ? availableParallelism() : server.workers;
    const descriptors = new Descriptors({ threads: count });
    const workersOptions = {
      count,
      createWorker,
      log,
      logging: { level: logging.level, format, isForJournal: isJournal, sendsDecisions: decisions !== null },
      writeLines: { log: lines.write, decisions: takeDecisions },
    };
    const listeners = await listenOrFail(
      formatAddress(server.listen),
      'choose another address with --listen',
      () => (count === 1 ? openListener(runtime, descriptors) : openThreads(runtime, workersOptions)),
    );
    runtime.onReplaced = listeners.change;
    ending.defer(() => listeners.stop(server.shutdownGrace * 1000));
    if (telemetry !== undefined) {
      const unit = unitName(env);
      const addresses: ListenerState[] = [{ name: 'server', address: listeners.url }];
      const snapshot = async (): Promise<Snapshot> => ({
        ...(await runtime.snapshot()),
        version: buildInfo().version,
        unit,
        listeners: addresses,
        workers: listeners.workers(),
        auditFile:
          audit === null ? null : { file: audit.path, dropped: audit.dropped(), fault: audit.fault() },
        descriptors: describeDescriptors(descriptors),
      });
      const report = shareCollection(async () => describeStatus(await snapshot()));
      const console = recent === null ? null : openConsole(runtime, recent, report, ending);
      const telemetryListener = await startTelemetry(telemetry.listen, loaded.resolvePath, {
        handle: runtime.handle,
        status: async () => renderReportJson(await report()),
        console,
      });
      addresses.push({ name: 'telemetry', address: telemetryListener.url });
      ending.defer(() => telemetryListener.stop(0));
    }
    const reserve = ending.use(new DescriptorReserve(descriptors, reserveFor(count)));
    ending.defer(warnOfFewDescriptors(descriptors, log));
    // With workers, this thread answers no requests.
    if (count === 1) ending.use(watchEventLoop(runtime.dependencies.counters));
    const manager = ending.use(connectServiceManager({ env, log, isAlive: listeners.isAlive }));
    void runtime.open();
    runtime.logWarnings();
    let isReloadFailed = false;
    const statusLine = () =>
      [
        `listening on ${listeners.url}`,
        ...(isReloadFailed ? ['the last reload failed: registry-token status or the log says why'] : []),
        ...runtime.endingCertificates.map(describeEnd),
      ].join('; ');
    let asked = 0;
    reload = async () => {
      asked += 1;
      const number = asked;
      manager.reloading();
      isReloadFailed = !(await reserve.lend(() => runtime.reloadAndLog()));
      // Until then another reload is under way.
      if (number === asked) manager.ready(statusLine());
    };
    const stopWatching = watchFiles(
      () => runtime.files,
      () => void reload(),
    );
    const { version, commit } = buildInfo();
    log.info('ready', {
      url: listeners.url,
      descriptors: descriptors.limit === Infinity ? null : descriptors.limit,
      configuration: file,
      ...runtime.inForce,
      ...describeOverrides(loaded.overrides),
      version,
      commit,
    });
    manager.ready(statusLine());
    runtime.onCertificateEnd = () => manager.status(statusLine());
    if (isReloadWanted) void reload();
    await stopRequested;
    stopWatching();
    manager.stopping(server.shutdownGrace * 1000);
    log.info('stopping', { graceSeconds: server.shutdownGrace });
    await ending.disposeAsync();
    log.info('stopped');
    lines.flush();
    return 0;
  },
};

/** The option wins, however a variable of the environment spells the key: case and underscores do not count. */
function withListen(
  env: Readonly<Record<string, string | undefined>>,
  listen: string,
): Readonly<Record<string, string | undefined>> {
  const isListen = (name: string) => name.replaceAll('_', '').toLowerCase() === 'registrytokenserverlisten';
  const others = Object.entries(env).filter(([name]) => !isListen(name));
  return { ...Object.fromEntries(others), REGISTRY_TOKEN_SERVER__LISTEN: listen };
}

/** What answers requests: a listener in this thread, or workers. */
interface Listeners extends Pick<Listener, 'url' | 'stop'> {
  /** After a reload: resolves when everything that answers does so by what the runtime has now. */
  readonly change: () => Promise<void>;
  readonly isAlive: () => Promise<boolean>;
  /** Empty where one thread does everything. */
  readonly workers: () => readonly WorkerState[];
}

async function openThreads(runtime: Runtime, options: WorkersOptions): Promise<Listeners> {
  const { states, ...workers } = await openWorkers(runtime, options);
  return { ...workers, workers: states };
}

function describeDescriptors(descriptors: Descriptors): Snapshot['descriptors'] {
  const { limit } = descriptors;
  return { limit: limit === Infinity ? null : limit, open: descriptors.open(), level: descriptors.level() };
}

/** Files are read one at a time; each thread opens its next listener before it closes the last. */
function reserveFor(threads: number): number {
  return 8 + threads;
}

const DESCRIPTORS_LOOK_MS = 1000;
const DESCRIPTORS_WARNING_MS = 60_000;

/** Warns once a minute while the descriptors of the process are few. Returns what ends it. */
function warnOfFewDescriptors(descriptors: Descriptors, log: Log): () => void {
  let warnedAt = -Infinity;
  const timer = setInterval(() => {
    const now = performance.now();
    if (now < warnedAt + DESCRIPTORS_WARNING_MS || descriptors.level() === 'enough') return;
    warnedAt = now;
    log.warn(
      'few file descriptors are left: connections are closed after each answer, new ones may be refused',
      {
        limit: descriptors.limit,
      },
    );
  }, DESCRIPTORS_LOOK_MS);
  return () => clearInterval(timer);
}

async function openListener(runtime: Runtime, descriptors: Descriptors): Promise<Listeners> {
  const { handle } = runtime;
  const { loaded, tls } = runtime.service;
  const address = { ...loaded.configuration.server.listen, handle, descriptors };
  const listener =
    tls === null
      ? listen(address)
      : listenTls({ ...address, material: tls, clock: runtime.dependencies.clock });
  return {
    url: listener.url,
    change: async () => {
      if (runtime.service.tls !== null) await listener.reload?.(runtime.service.tls);
    },
    // The same check as a load balancer's, without a socket: it must not fail because the listener is full.
    isAlive: async () => {
      const question = new Request('http://localhost/healthz');
      return (await handle(question, { address: 'localhost', certificate: null })).ok;
    },
    workers: () => [],
    stop: listener.stop,
  };
}

/** How often counts are added to the minutes of the last hour. */
const SAMPLE_MS = 10_000;

function openConsole(
  runtime: Runtime,
  recent: RecentDecisions,
  report: () => Promise<StatusReport>,
  ending: AsyncDisposableStack,
): Console {
  const { clock, counters } = runtime.dependencies;
  const lastHour = new LastHour(counters);
  const timer = setInterval(() => lastHour.sample(clock()), SAMPLE_MS);
  ending.defer(() => clearInterval(timer));
  return createConsole({
    clock,
    report,
    recent,
    lastHour,
    inForce: () => {
      const { loaded, entitlements, generation, endpoints } = runtime.service;
      return {
        loaded: withBundle(loaded, entitlements),
        generation,
        policy: endpoints.service.policy,
      };
    },
    registrySample: () => renderRegistrySample(runtime.service.loaded, runtime.service.signingKey),
    clients: () => reportClients(runtime.service.loaded.configuration, null),
  });
}

/** Plain HTTP: those who scrape, probe and ask are beside the service. */
function startTelemetry(
  address: ListenAddress | UnixAddress,
  resolvePath: (path: string) => string,
  parts: Omit<TelemetryParts, 'host'>,
): Promise<Pick<Listener, 'url' | 'stop'>> {
  const advice = 'choose another telemetry.listen';
  if (isUnixAddress(address)) {
    const path = resolvePath(address.path);
    return listenOrFail(`unix:${path}`, advice, () =>
      listenUnix({ path, handle: telemetryEndpoints({ ...parts, host: null }) }),
    );
  }
  return listenOrFail(formatAddress(address), advice, () =>
    listen({ ...address, handle: telemetryEndpoints({ ...parts, host: address.host }) }),
  );
}

function formatAddress({ host, port }: ListenAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
