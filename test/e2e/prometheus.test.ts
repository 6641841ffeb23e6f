/**
 * A real Prometheus with the alerts of etc, scraping two real services, while something goes wrong for real.
 *
 * In the test's copy of the rules every `for` is one second, and the keys' age alerts at 12 seconds in place of 900:
 * nobody waits a quarter of an hour for a test. So the keys are old before the service would have fetched them anew;
 * that they stay when a fetch fails is seen in faults-authority.test.ts. All else is as delivered.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { type Authority, startAuthority } from '../support/authority.ts';
import { createDpopClient, type DpopClient } from '../support/authority-client.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { fillVariables, readDashboard, readRulesText } from '../support/operators-files.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { type Alert, type Prometheus, startPrometheus } from '../support/prometheus.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { type RunningService, startService } from '../support/running-service.ts';
import { requestToken } from '../support/token-request.ts';

setDefaultTimeout(40_000);

const ALLOWED = ['repository:team-a/app:pull'];
const DENIED = ['repository:elsewhere/app:pull'];

/** Replaces what must be there. */
function replaced(text: string, pattern: RegExp, replacement: string): string {
  const changed = text.replaceAll(pattern, replacement);
  if (changed === text) throw new Error(`The rules have no ${pattern}.`);
  return changed;
}

const hastyRules = replaced(
  replaced(readRulesText(), /(?<=^ +for: )\w+$/gm, '1s'),
  /(?<=authority_keys_age_seconds > )900$/gm,
  '12',
);

describeWith(['promtool', 'redis-server', 'openssl'], 'Prometheus', () => {
  const stack = new AsyncDisposableStack();
  let authority: Authority;
  let redis: RedisServer;
  let service: RunningService;
  let onRedis: RunningService;
  let client: DpopClient;
  let prometheus: Prometheus;

  beforeAll(async () => {
    const folder = stack.use(await createTemporaryFolder());
    const { keyPath, certificatePath } = await writeCertificate(folder, 'registry-signing');
    authority = stack.use(await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] }));
    redis = stack.use(await startRedis());
    const options = { authorityIssuer: authority.issuer, signing: { keyPath, certificatePath } };
    const replay = { store: 'redis', url: redis.url };
    [service, onRedis, client] = await Promise.all([
      startService(options),
      startService({ ...options, sections: { senderConstraint: { replay } } }),
      createDpopClient(authority, 'builder'),
    ]);
    stack.use(service);
    stack.use(onRedis);
    const targets = [service, onRedis].map(({ port }) => `127.0.0.1:${port}`);
    prometheus = stack.use(await startPrometheus({ rules: hastyRules, targets }));
    await untilTrue('two targets', async () => (await prometheus.query('up == 1')).length === 2);
    // A counter is seen to rise only from a scrape before.
    await Bun.sleep(1000);
  });

  afterAll(() => stack.disposeAsync());

  async function ask(where: RunningService, scopes: readonly string[], times: number): Promise<number[]> {
    const answers: number[] = [];
    for (let asked = 0; asked < times; asked += 1)
      answers.push((await requestToken(where.realm, client, scopes)).status);
    return answers;
  }

  /** The alert, once it fires. */
  async function untilFiring(name: string): Promise<Alert> {
    let found: Alert | undefined;
    await untilTrue(name, async () => {
      const alerts = await prometheus.alerts();
      found = alerts.find(({ labels, state }) => labels.alertname === name && state === 'firing');
      return found !== undefined;
    });
    if (found === undefined) throw new Error(`${name} does not fire.`);
    expect(JSON.stringify(found.annotations)).not.toMatch(/<no value>|<error|\{\{/);
    return found;
  }

  const firing = async () =>
    (await prometheus.alerts())
      .filter(({ state }) => state === 'firing')
      .map(({ labels }) => labels.alertname ?? '');

  test('reads the type of each metric', async () => {
    expect(await prometheus.metadata()).toMatchObject({
      registry_token_issued_total: [{ type: 'counter' }],
      registry_token_request_duration_seconds: [{ type: 'histogram' }],
    });
  });

  test('tells of refusals by the plan, and not for a stray one', async () => {
    expect(await ask(service, ALLOWED, 3)).toEqual([200, 200, 200]);
    expect(await ask(service, DENIED, 1)).toEqual([403]);
    await Bun.sleep(3500);
    expect(await firing()).not.toContain('RegistryTokenPlanRefusalsRising');
    expect(new Set(await ask(service, DENIED, 20))).toEqual(new Set([403]));
    const { labels, annotations } = await untilFiring('RegistryTokenPlanRefusalsRising');
    expect(labels).toMatchObject({ severity: 'warning', cause: 'plan', job: 'registry-token' });
    expect(annotations.description).toMatch(/^\d\d requests in 5 minutes were refused/);
    for (const other of ['RegistryTokenForgedCredentialsRising', 'RegistryTokenLicenseRefusalsRising'])
      expect(await firing()).not.toContain(other);
  });

  test('tells of a replay store that is down, and at which service', async () => {
    expect(await ask(onRedis, ALLOWED, 1)).toEqual([200]);
    expect(await firing()).not.toContain('RegistryTokenReplayStoreDown');
    await redis.stop();
    expect(await ask(onRedis, ALLOWED, 6)).toEqual([503, 503, 503, 503, 503, 503]);
    const { labels } = await untilFiring('RegistryTokenReplayStoreDown');
    expect(labels).toMatchObject({ severity: 'critical', instance: `127.0.0.1:${onRedis.port}` });
  });

  test('tells of old keys while the Authority does not answer', async () => {
    authority.setAvailable(false);
    const { labels, annotations } = await untilFiring('RegistryTokenAuthorityKeysAgeing');
    expect(labels).toMatchObject({ severity: 'warning', job: 'registry-token' });
    expect(annotations.summary).toMatch(/are [\d.]+s old$/);
    const ages = await prometheus.query('registry_token_authority_keys_age_seconds');
    for (const { value } of ages) expect(Number(value[1])).toBeGreaterThan(10);
    expect(await ask(service, ALLOWED, 1)).toEqual([200]);
  });

  test('answers every query of the dashboard with data', async () => {
    service.child.signal('SIGHUP');
    await ask(service, ALLOWED, 3);
    await untilTrue('a reload', async () => {
      const reloads = await prometheus.query(
        'registry_token_config_reload_total{result="success"} > 0 and on (instance) registry_token_issued_total > 5',
      );
      return reloads.length > 0;
    });
    const dashboard = readDashboard();
    expect(dashboard.panels.length).toBeGreaterThan(9);
    for (const { title, targets } of dashboard.panels) {
      expect(targets.length).toBeGreaterThan(0);
      for (const { expr } of targets) {
        const series = await prometheus.query(fillVariables(expr));
        // The usual of the hour before is there only after five minutes.
        const needed = !expr.includes('usual5m');
        expect([title, expr, series.length > 0 || !needed]).toEqual([title, expr, true]);
      }
    }
  });

  test('answers the variables and the annotations of the dashboard', async () => {
    const { templating, annotations } = readDashboard();
    for (const { name, type, definition } of templating.list) {
      if (type === 'datasource') continue;
      const [, selector = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(definition ?? '') ?? [];
      const values = await prometheus.labelValues(label, fillVariables(selector));
      expect([name, values.length]).toEqual([name, name === 'instance' ? 2 : 1]);
    }
    const drawn = annotations.list.flatMap(({ expr }) => (expr === undefined ? [] : [expr]));
    expect(drawn).toHaveLength(1);
    for (const expr of drawn) expect((await prometheus.query(expr)).length).toBeGreaterThan(2);
  });
});

test('the dashboard asks one data source that the reader chooses, and no two panels overlap', () => {
  const { panels, schemaVersion } = readDashboard();
  expect(schemaVersion).toBeGreaterThanOrEqual(41);
  const taken = new Set<string>();
  for (const { datasource, gridPos, id } of panels) {
    expect([id, datasource]).toEqual([id, { type: 'prometheus', uid: '${' + 'datasource}' }]);
    for (let row = gridPos.y; row < gridPos.y + gridPos.h; row += 1)
      for (let column = gridPos.x; column < gridPos.x + gridPos.w; column += 1) {
        expect(taken.has(`${row},${column}`)).toBe(false);
        taken.add(`${row},${column}`);
      }
  }
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
});

async function untilTrue(what: string, look: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 25_000;
  while (!(await look())) {
    if (performance.now() > deadline) throw new Error(`Prometheus has not seen ${what} in 25 seconds.`);
    await Bun.sleep(200);
  }
}
