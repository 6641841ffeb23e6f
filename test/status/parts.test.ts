/** The report: a snapshot of a service to what a person needs to know of each part. */
import { describe, expect, test } from 'bun:test';
import { describeStatus } from '../../src/status/parts.ts';
import { renderReport } from '../../src/status/render.ts';
import type { PartState } from '../../src/status/report.ts';
import type {
  AuthorityState,
  CertificateState,
  EntitlementsState,
  Snapshot,
} from '../../src/status/snapshot.ts';

const NOW = 1_800_000_000;
const DAY = 86_400;

const authority: AuthorityState = {
  name: 'default',
  key: 'authority',
  issuer: 'https://authority.example.com',
  source: { url: 'https://authority.example.com/.well-known/openid-configuration' },
  caFile: '/etc/registry-token/ca.pem',
  fetchedAt: NOW - 40,
  lastFetch: { at: NOW - 40, fault: null, clockAhead: 0 } as AuthorityState['lastFetch'],
  keysMaxAge: 300,
  failing: null,
  clockAhead: 0,
  clockSkew: 30,
};

const certificate: CertificateState = {
  use: 'signing',
  key: 'signing.certificatePath',
  file: '/etc/registry-token/registry-signing.crt',
  subject: 'registry-token',
  endsAt: NOW + 800 * DAY,
};

const healthy: Snapshot = {
  now: NOW,
  version: '0.2.0',
  startedAt: NOW - DAY,
  unit: 'registry-token',
  configuration: {
    file: '/etc/registry-token/registry-token.yaml',
    generation: 12,
    loadedAt: NOW - 3600,
    overrides: [],
    changedFiles: [],
    lastReload: { at: NOW - 3600, mistakes: [], count: 0, fault: null },
  },
  signingKey: {
    algorithm: 'ES256',
    keyId: 'A'.repeat(43),
    thumbprint: 'A'.repeat(43),
    file: '/etc/registry-token/registry-signing.pem',
    onDisk: [{ file: '/etc/registry-token/registry-signing.pem', thumbprint: 'A'.repeat(43), fault: null }],
    rotation: null,
  },
  certificates: [certificate],
  authorities: [authority],
  replayStore: { kind: 'memory', entries: 5, capacity: 1000, fault: null, rememberedSince: NOW - DAY },
  revocations: { count: 3, list: { file: '/etc/registry-token/revoked.txt', modifiedAt: NOW - 60 } },
  entitlements: null,
  clock: { setBack: null },
  listeners: [{ name: 'server', address: 'http://127.0.0.1:8085' }],
  workers: [
    { worker: 1, isListening: true, generation: 12, deaths: 0 },
    { worker: 2, isListening: true, generation: 12, deaths: 0 },
  ],
  auditFile: { file: '/var/log/registry-token/audit.log', dropped: 0, fault: null },
  descriptors: { limit: 65536, open: 40, level: 'enough' },
};

const list = '/etc/registry-token/revoked.txt';

const entitlements: EntitlementsState = {
  file: '/etc/registry-token/entitlements.jws',
  serial: 7,
  issuer: 'vendor.example.com',
  keyId: 'V'.repeat(43),
  issuedAt: NOW - 3 * DAY,
  expiresAt: NOW + 30 * DAY,
  onExpiry: 'keep',
  note: null,
  plans: 2,
  revokedLicenses: 3,
  revocationsSerial: null,
  serialFault: null,
};

/** What is wrong, by part: its state, what its sentence says, and what its command holds. */
const ailing: readonly [string, Partial<Snapshot>, string, PartState, string, string | null][] = [
  [
    'a reload that failed',
    {
      configuration: {
        ...healthy.configuration,
        lastReload: {
          at: NOW - 60,
          mistakes: [
            {
              source: '/etc/registry-token/registry-token.yaml',
              text: 'registry-token.yaml:3:1: sever: unknown key',
            },
          ],
          count: 1,
          fault: null,
        },
      },
    },
    'configuration',
    'error',
    'still runs generation 12',
    'check --mistakes',
  ],
  [
    'a file that changed since',
    { configuration: { ...healthy.configuration, changedFiles: [list] } },
    'configuration',
    'warning',
    `${list} changed since: reload`,
    'systemctl reload registry-token',
  ],
  [
    'a reload that not every worker took',
    {
      configuration: {
        ...healthy.configuration,
        lastReload: { at: NOW, mistakes: [], count: 0, fault: 'worker 2 does not start' },
      },
    },
    'configuration',
    'error',
    'worker 2 does not start',
    'systemctl restart registry-token',
  ],
  [
    'another key on disk than in use',
    {
      signingKey: {
        ...healthy.signingKey,
        onDisk: [
          { file: '/etc/registry-token/registry-signing.crt', thumbprint: 'B'.repeat(43), fault: null },
        ],
      },
    },
    'signing-key',
    'error',
    '/etc/registry-token/registry-signing.crt now holds BBBBBBBBBBBB',
    'systemctl restart registry-token',
  ],
  [
    'another key on disk that the next reload takes',
    {
      configuration: {
        ...healthy.configuration,
        changedFiles: ['/etc/registry-token/registry-signing.pem'],
      },
      signingKey: {
        ...healthy.signingKey,
        onDisk: [
          {
            file: '/etc/registry-token/registry-signing.pem',
            thumbprint: 'B'.repeat(43),
            fault: null,
          },
        ],
      },
    },
    'signing-key',
    'warning',
    'the next reload takes it',
    'systemctl reload registry-token',
  ],
  [
    'a rotation that was forgotten',
    {
      signingKey: {
        ...healthy.signingKey,
        rotation: { folder: '/etc/registry-token', next: 'finish', since: NOW - 8 * DAY },
      },
    },
    'signing-key',
    'warning',
    'is not finished',
    'registry-token keygen --out /etc/registry-token --finish',
  ],
  [
    'a certificate that ends within 30 days',
    { certificates: [{ ...certificate, endsAt: NOW + 29.5 * DAY }] },
    'signing-certificate',
    'warning',
    'in 29 days',
    'keygen --out /etc/registry-token --rotate',
  ],
  [
    'a certificate that ended',
    { certificates: [{ ...certificate, use: 'tls', key: 'server.tls.certPath', endsAt: NOW }] },
    'tls-certificate',
    'error',
    'clients refuse to connect',
    'systemctl reload registry-token',
  ],
  [
    'one of two client authorities that ended',
    {
      certificates: [
        { ...certificate, use: 'client-ca', key: 'server.tls.clientCaPath', endsAt: NOW - 1 },
        { ...certificate, use: 'client-ca', key: 'server.tls.clientCaPath' },
      ],
    },
    'client-ca',
    'warning',
    'ended on',
    'systemctl reload registry-token',
  ],
  [
    'keys that cannot be fetched because the certificate is of another authority',
    {
      authorities: [
        {
          ...authority,
          lastFetch: {
            at: NOW,
            fault: 'https://authority.example.com did not answer: UNABLE_TO_VERIFY_LEAF_SIGNATURE.',
          },
        },
      ],
    },
    'authority',
    'warning',
    '/etc/registry-token/ca.pem (authority.caPath) does not hold',
    'openssl s_client -showcerts -connect authority.example.com:443',
  ],
  [
    'no keys at all',
    {
      authorities: [
        { ...authority, fetchedAt: null, failing: 'x', lastFetch: { at: NOW, fault: 'It answered 500.' } },
      ],
    },
    'authority',
    'error',
    'It answered 500. Until they can be fetched',
    'curl',
  ],
  [
    'a clock ten minutes behind the Authority',
    { authorities: [{ ...authority, clockAhead: 600 }] },
    'clock',
    'error',
    'clock is 10 min behind that of authority',
    'timedatectl',
  ],
  [
    'a clock that was set back',
    { clock: { setBack: { at: NOW - 10, seconds: 300 } } },
    'clock',
    'warning',
    'set back by 5 min',
    'timedatectl',
  ],
  [
    'Redis gone',
    {
      replayStore: {
        kind: 'redis',
        entries: null,
        capacity: null,
        fault: 'no connection to Redis',
        rememberedSince: null,
      },
    },
    'replay-store',
    'error',
    'answered 503: no connection to Redis',
    'systemctl start redis-server',
  ],
  [
    'a memory of proofs that is nearly full',
    { replayStore: { ...healthy.replayStore, entries: 950 } },
    'replay-store',
    'warning',
    '950 of 1000',
    null,
  ],
  [
    'a revocation list with a mistake',
    {
      configuration: {
        ...healthy.configuration,
        lastReload: {
          at: NOW,
          mistakes: [{ source: list, text: `${list}:7:1: no final line end` }],
          count: 1,
          fault: null,
        },
      },
    },
    'revocations',
    'error',
    `The former list with 3 revoked licences stays in force: ${list}:7:1`,
    'check --mistakes',
  ],
  [
    'a bundle that ends soon',
    { entitlements: { ...entitlements, expiresAt: NOW + 6 * DAY } },
    'entitlements',
    'warning',
    'Serial 7 of vendor.example.com (key VVVVVVVVVVVV), 3 days old',
    'registry-token entitlements verify --config',
  ],
  [
    'a bundle that has expired',
    { entitlements: { ...entitlements, expiresAt: NOW - 1, onExpiry: 'deny' } },
    'entitlements',
    'error',
    'every request is answered 503',
    'entitlements verify',
  ],
  [
    'a serial that is not kept',
    { entitlements: { ...entitlements, serialFault: 'it cannot be written: the disk is full (ENOSPC)' } },
    'entitlements',
    'error',
    'a restart would accept an older one: it cannot be written',
    'entitlements verify',
  ],
  [
    'a newer bundle with a mistake',
    {
      entitlements,
      configuration: {
        ...healthy.configuration,
        lastReload: {
          at: NOW,
          mistakes: [
            {
              source: `${entitlements.file}#/serial`,
              text: `${entitlements.file}#/serial: must be a number`,
            },
          ],
          count: 1,
          fault: null,
        },
      },
    },
    'entitlements',
    'error',
    'stays in force: /etc/registry-token/entitlements.jws#/serial: must be a number',
    'entitlements verify',
  ],
  [
    'a worker that is down',
    {
      workers: [
        { worker: 1, isListening: true, generation: 12, deaths: 0 },
        { worker: 2, isListening: false, generation: 12, deaths: 1 },
      ],
    },
    'workers',
    'error',
    '1 of 2 do not answer: 2',
    'systemctl restart registry-token',
  ],
  [
    'a worker of an older configuration',
    { workers: [{ worker: 1, isListening: true, generation: 11, deaths: 0 }] },
    'workers',
    'error',
    'older configuration: 1',
    'systemctl restart registry-token',
  ],
  [
    'a full disk',
    {
      auditFile: {
        file: '/var/log/registry-token/audit.log',
        dropped: 7,
        fault: 'the disk is full (ENOSPC)',
      },
    },
    'audit-file',
    'error',
    'cannot be written: the disk is full (ENOSPC). Lines wait in memory. 7 decisions lost',
    'df -h /var/log/registry-token/audit.log',
  ],
  [
    'descriptors out',
    { descriptors: { limit: 1024, open: 1020, level: 'none' } },
    'descriptors',
    'error',
    '1020 of 1024 in use: no connection is accepted',
    'LimitNOFILE',
  ],
];

describe('the report', () => {
  test('of a healthy service has nothing but parts that are ok, and no command', () => {
    const report = describeStatus(healthy);
    expect(report.parts.filter(({ state, command }) => state !== 'ok' || command !== null)).toEqual([]);
    expect(report).toMatchObject({ state: 'ok', version: '0.2.0', generation: 12 });
    expect(report.parts.map(({ name }) => name)).toEqual([
      'configuration',
      'signing-key',
      'signing-certificate',
      'authority',
      'replay-store',
      'revocations',
      'workers',
      'audit-file',
      'descriptors',
      'clock',
      'listeners',
    ]);
  });

  test('of a service with a bundle tells its serial, age, source and signer', () => {
    const part = describeStatus({ ...healthy, entitlements }).parts.find(
      ({ name }) => name === 'entitlements',
    );
    expect(part).toMatchObject({
      state: 'ok',
      sentence:
        'Serial 7 of vendor.example.com (key VVVVVVVVVVVV), 3 days old, from /etc/registry-token/entitlements.jws; expires at 2027-02-14T08:00:00Z.',
      facts: { serial: 7, ageDays: 3, keyId: 'V'.repeat(43), issuedAt: '2027-01-12T08:00:00Z' },
    });
  });

  test.each(ailing)('says %s, why, and what to run', (_, change, name, state, sentence, command) => {
    const report = describeStatus({ ...healthy, ...change });
    const part = report.parts.find((candidate) => candidate.name === name);
    expect(part).toMatchObject({ name, state, sentence: expect.stringContaining(sentence) });
    if (command === null) expect(part?.command).toBeNull();
    else expect(part?.command).toContain(command);
    expect(report.state).toBe(state);
  });

  test('names what the environment overrides', () => {
    const overrides = [{ key: 'signing.keyPath', variable: 'REGISTRY_TOKEN_SIGNING__KEY_PATH' }];
    const report = describeStatus({ ...healthy, configuration: { ...healthy.configuration, overrides } });
    expect(report.configuration.overrides).toEqual(overrides);
    expect(report.parts[0]?.sentence).toContain(
      'the environment sets signing.keyPath (REGISTRY_TOKEN_SIGNING__KEY_PATH)',
    );
  });
});

const plain = { hasColors: false, columns: null };

describe('the table', () => {
  const report = describeStatus({
    ...healthy,
    authorities: [{ ...authority, lastFetch: { at: NOW, fault: 'bad \u001b[31mred\nline.' } }],
  });

  test('has the worst last, with its command under it, and ends with a summary', () => {
    const lines = renderReport(report, plain).trimEnd().split('\n');
    expect(lines.at(-1)).toBe('1 warning');
    expect(lines.at(-4)).toStartWith('warning  authority');
    expect(lines.at(-3)).toMatch(/^ +\$ curl /);
  });

  test('shows text from outside escaped', () => {
    const text = renderReport(report, plain);
    expect(text).toContain('bad \\u001b[31mred\\u000aline.');
    expect(text).not.toContain('\u001b');
  });

  test('has colours only where it is asked to', () => {
    expect(renderReport(report, { hasColors: true, columns: 200 })).toContain('\u001b[33mwarning');
  });

  test('breaks sentences at the width of the terminal, and neither paths nor commands', () => {
    const narrow = renderReport(
      describeStatus({ ...healthy, certificates: [{ ...certificate, endsAt: NOW }] }),
      {
        hasColors: false,
        columns: 80,
      },
    );
    const lines = narrow.split('\n').slice(2);
    expect(lines.filter((line) => line.length > 80 && !line.includes('$ '))).toEqual([]);
    expect(narrow).toContain('/etc/registry-token/registry-signing.crt');
    expect(lines.find((line) => line.includes('$ '))?.trim()).toBe(
      '$ registry-token keygen --out /etc/registry-token --rotate',
    );
    expect(narrow.replace(/\s+/g, ' ')).toContain('registries refuse every token that carries it.');
  });
});
