/** A console with decisions of a made-up day, for tests and for the pictures in etc/README.md. Nothing in it depends on when it is made. */
import { renderRegistrySample } from '../../src/check/registry-sample.ts';
import { createConsole } from '../../src/console/console.ts';
import { LastHour } from '../../src/console/last-hour.ts';
import { RecentDecisions } from '../../src/console/recent-decisions.ts';
import { telemetryEndpoints } from '../../src/endpoints.ts';
import type { Reason } from '../../src/refusal.ts';
import { listen } from '../../src/server/listen.ts';
import type { StatusPart, StatusReport } from '../../src/status/report.ts';
import { Counters } from '../../src/telemetry/counters.ts';
import { createInstallation } from '../assemble/installation.ts';
import { type DecisionLine, decisionLine } from '../support/decision-lines.ts';

export const NOW = Date.parse('2026-11-29T03:12:40.000Z') / 1000;

/** What /console/data answers. */
export interface ConsoleData {
  readonly at: string;
  readonly status: StatusReport;
  readonly minutes: readonly { readonly at: string; readonly issued: number; readonly refused: object }[];
  readonly kept: number;
  readonly fault: string | null;
  readonly decisions: readonly {
    readonly time: string;
    readonly outcome: string;
    readonly requestId: string;
    readonly subject: string | null;
  }[];
}

export async function readData(response: Response): Promise<ConsoleData> {
  return (await response.json()) as ConsoleData;
}

export interface Example extends AsyncDisposable {
  readonly url: string;
  readonly recent: RecentDecisions;
  readonly counters: Counters;
  readonly report: { current: StatusReport };
}

const part = (name: string, sentence: string, more: Partial<StatusPart> = {}): StatusPart => ({
  name,
  state: 'ok',
  sentence,
  command: null,
  facts: {},
  ...more,
});

export const exampleReport: StatusReport = {
  state: 'error',
  version: '0.2.0',
  at: '2026-11-29T03:12:40Z',
  startedAt: '2026-11-20T08:00:00Z',
  generation: 12,
  configuration: {
    path: '/etc/registry-token/registry-token.yaml',
    loadedAt: '2026-11-29T02:58:10Z',
    overrides: [],
    lastReload: { at: '2026-11-29T02:58:10Z', mistakes: [] },
  },
  parts: [
    part(
      'configuration',
      'It runs generation 12 of 2026-11-29T02:58:10Z, /etc/registry-token/registry-token.yaml.',
    ),
    part('signing-key', 'It signs with ES256 0ipErUb2I_to of /etc/registry-token/registry-signing.pem.'),
    part(
      'signing-certificate',
      'The certificate registry-token in /etc/registry-token/registry-signing.crt ends on 2026-12-11T08:00:00Z, in 12 days; then registries refuse every token that carries it.',
      { state: 'warning', command: 'registry-token keygen --out /etc/registry-token --rotate' },
    ),
    part('authority', 'Its keys were fetched 2 min ago.'),
    part('replay-store', 'Redis does not answer: connection refused (ECONNREFUSED).', {
      state: 'error',
      command: 'systemctl status redis-server',
    }),
    part('revocations', '1,204 revoked licences; the list is of 2026-11-28T17:30:00Z.'),
    part('audit-file', '/var/log/registry-token/audit.log is written; no line was lost.'),
  ],
};

/** Requests of the last hour: customers, somebody whose token has expired, and one whose licence was revoked. */
export function exampleDecisions(): DecisionLine[] {
  const customers = ['acme', 'globex', 'initech', 'umbrella'];
  return Array.from({ length: 180 }, (_, index): DecisionLine => {
    const customer = customers[index % customers.length] ?? '';
    const usual = {
      time: new Date((NOW - (180 - index) * 19) * 1000).toISOString(),
      subject: `ci-${customer}`,
      clientId: `ci-${customer}`,
      plan: customer === 'acme' ? 'enterprise' : 'community',
      license: `LIC-${4711 + (index % customers.length)}`,
      claims: { tid: customer },
      scope: `repository:customers/${customer}/app-${index % 7}:pull`,
      requestId: `3f6c2a90-0000-4000-8000-${String(index).padStart(12, '0')}`,
      jti: `7d0914a4-0000-4000-8000-${String(index).padStart(12, '0')}`,
      generation: 1,
    };
    if (index % 11 === 0)
      return {
        ...usual,
        subject: null,
        reason: 'token-expired',
        detail: 'The OpTok expired 312 s ago.',
        address: '192.0.2.44',
      };
    if (customer === 'umbrella')
      return { ...usual, reason: 'license-revoked', detail: `The licence ${usual.license} is revoked.` };
    if (index % 13 === 0)
      return {
        ...usual,
        scope: 'repository:stella-ops/internal/tool:pull',
        reason: 'plan-denied',
        detail: `The plan ${usual.plan} does not allow repository:stella-ops/internal/tool:pull.`,
      };
    if (index > 150 && index % 3 === 0)
      return { ...usual, reason: 'replay-unavailable', detail: 'The replay store does not answer.' };
    return usual;
  });
}

export async function serveExample(
  decisions: readonly DecisionLine[] = exampleDecisions(),
): Promise<Example> {
  const site = await createInstallation();
  site.configure({
    plans: {
      community: { repositories: [{ pattern: 'customers/{claim:tid}/*' }, { pattern: 'public/*' }] },
      enterprise: {
        catalog: true,
        repositories: [
          { pattern: 'stella-ops/**' },
          { pattern: 'customers/{claim:tid}/*', actions: ['pull', 'push'] },
        ],
      },
    },
    revokedLicenses: ['LIC-4714'],
  });
  const runtime = await site.open();
  const recent = new RecentDecisions();
  const counters = new Counters();
  counters.announcePlans(['community', 'enterprise']);
  const lastHour = new LastHour(counters);
  for (const decision of decisions) {
    recent.add(decisionLine(decision));
    if (decision.reason === undefined) counters.issued(decision.plan ?? 'community', 0.001);
    else counters.rejected(decision.reason as Reason, 0.001);
    lastHour.sample(Date.parse(decision.time) / 1000);
  }
  const report = { current: exampleReport };
  const handle = telemetryEndpoints({
    handle: runtime.handle,
    host: '127.0.0.1',
    status: async () => JSON.stringify(report.current),
    console: createConsole({
      clock: () => NOW,
      report: async () => report.current,
      recent,
      lastHour,
      inForce: () => {
        const { loaded, generation, endpoints } = runtime.service;
        return { loaded: withoutFolder(loaded), generation, policy: endpoints.service.policy };
      },
      registrySample: async () =>
        (await renderRegistrySample(runtime.service.loaded, runtime.service.signingKey)).replaceAll(
          site.folder.path,
          '/etc/registry-token',
        ),
      clients: () => [
        {
          clients: 'docker, BuildKit, crane, oras',
          served: 'agent',
          how: 'by registry-token token --docker-config, or by registry-token agent',
        },
        {
          clients: 'podman, skopeo, buildah, containerd, nerdctl, helm, regctl, the kubelet',
          served: 'agent',
          how: 'by registry-token agent',
        },
      ],
    }),
  });
  /** The folder of the test is no part of the picture. */
  function withoutFolder(loaded: typeof runtime.service.loaded): typeof runtime.service.loaded {
    return {
      ...loaded,
      placeOf: (path) => loaded.placeOf(path).replace(site.folder.path, '/etc/registry-token'),
    };
  }
  const listener = listen({ host: '127.0.0.1', port: 0, handle });
  return {
    url: listener.url,
    recent,
    counters,
    report,
    [Symbol.asyncDispose]: async () => {
      await listener.stop(0);
      await runtime.close();
      await site[Symbol.asyncDispose]();
    },
  };
}
