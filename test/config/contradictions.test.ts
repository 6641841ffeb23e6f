/** Rules between keys are told whatever else is wrong with the file: all mistakes at once. */
import { expect, test } from 'bun:test';
import { authoritiesOf } from '../../src/config/schema.ts';
import { changedAt, judge, type KeyPath, loadText, minimum, writeYaml } from './configuration-text.ts';

const complete = { ...minimum, logging: {}, senderConstraint: { replay: {} }, defaultPlan: 'community' };

const table: [key: string, changes: readonly (readonly [KeyPath, unknown])[], message: string][] = [
  ['defaultPlan', [[['defaultPlan'], 'pro']], 'must be the name of a plan (community), not "pro"'],
  ['anonymousPlan', [[['anonymousPlan'], 'pro']], 'must be the name of a plan (community), not "pro"'],
  [
    'authority.planRules[1].plan',
    [
      [
        ['authority', 'planRules'],
        [
          { when: { ref: 'x' }, plan: 'community' },
          { when: {}, plan: 'pro' },
        ],
      ],
    ],
    'must be the name of a plan (community), not "pro"',
  ],
  [
    'signing.keyPasswordPath',
    [
      [['signing', 'keyPassword'], 'a'],
      [['signing', 'keyPasswordPath'], 'b'],
    ],
    'cannot be combined with keyPassword: set one of them',
  ],
  [
    'senderConstraint.replay.url',
    [[['senderConstraint', 'replay', 'url'], 'redis://127.0.0.1:6379']],
    'is only for store: redis',
  ],
  [
    'senderConstraint.replay.url',
    [[['senderConstraint', 'replay', 'store'], 'redis']],
    'is missing: store: redis needs url, or sentinels and master, or cluster',
  ],
  [
    'senderConstraint.replay.cluster',
    [
      [
        ['senderConstraint', 'replay'],
        { store: 'redis', url: 'redis://127.0.0.1:6379', cluster: ['127.0.0.1:7000'] },
      ],
    ],
    'cannot be combined with url: set one of them',
  ],
  [
    'senderConstraint.replay.cluster',
    [
      [
        ['senderConstraint', 'replay'],
        { store: 'redis', sentinels: ['127.0.0.1:26379'], master: 'm', cluster: ['127.0.0.1:7000'] },
      ],
    ],
    'cannot be combined with sentinels: set one of them',
  ],
  [
    'senderConstraint.replay.master',
    [[['senderConstraint', 'replay'], { store: 'redis', sentinels: ['127.0.0.1:26379'] }]],
    'is missing: the name by which the sentinels know the master',
  ],
  [
    'senderConstraint.replay.master',
    [[['senderConstraint', 'replay'], { store: 'redis', cluster: ['127.0.0.1:7000'], master: 'm' }]],
    'is only for sentinels',
  ],
  [
    'senderConstraint.replay.minReplicas',
    [[['senderConstraint', 'replay'], { minReplicas: 1 }]],
    'is only for store: redis',
  ],
  [
    'senderConstraint.replay.passwordPath',
    [
      [
        ['senderConstraint', 'replay'],
        { store: 'redis', url: 'redis://:hush@127.0.0.1:6379', passwordPath: 'redis.password' },
      ],
    ],
    'cannot be combined with a password in url: set one of them',
  ],
  [
    'senderConstraint.replay.caPath',
    [[['senderConstraint', 'replay'], { store: 'redis', url: 'redis://127.0.0.1:6379', caPath: 'ca.pem' }]],
    'needs TLS: write the url with rediss://',
  ],
];

test.each(table)('%s is told alone, and beside other mistakes', (key, changes, message) => {
  let value: object = complete;
  for (const [path, change] of changes) value = changedAt(value, path, change);
  expect(judge(writeYaml(value).text).mistakes).toMatchObject([{ key, message }]);
  const others = [
    ['logging', 'level'],
    ['authority', 'issuer'],
    ['senderConstraint', 'replay', 'capacity'],
    ['signing', 'lifetime'],
  ];
  for (const path of others) value = changedAt(value, path, 'wrong');
  const { mistakes } = judge(writeYaml(value).text);
  expect(mistakes.map((mistake) => mistake.key).sort()).toEqual(
    [key, ...others.map((path) => path.join('.'))].sort(),
  );
});

test('a plan that has a mistake of its own is there', () => {
  const { text } = writeYaml({ ...complete, plans: { community: { catalog: 'wrong' } } });
  expect(judge(text).mistakes.map(({ key }) => key)).toEqual(['plans.community.catalog']);
});

test('a value of a wrong kind is told as that alone', () => {
  for (const [path, key] of [
    [['defaultPlan'], 'defaultPlan'],
    [['signing', 'keyPasswordPath'], 'signing.keyPasswordPath'],
    [['plans'], 'plans'],
  ] as const)
    expect(
      judge(writeYaml(changedAt(complete, path, 7)).text).mistakes.map((mistake) => mistake.key),
    ).toEqual([key]);
});

test('what fits together is no mistake', () => {
  for (const replay of [{}, { store: 'memory' }, { store: 'redis', url: 'redis://127.0.0.1:6379' }])
    expect(loadText(JSON.stringify({ ...complete, senderConstraint: { replay } }))).toBeDefined();
});

test('the environment takes part', () => {
  const { message } = judge(JSON.stringify(complete), {
    REGISTRY_TOKEN_DEFAULT_PLAN: 'pro',
    REGISTRY_TOKEN_LOGGING__LEVEL: 'loud',
  });
  expect(message).toInclude('environment: REGISTRY_TOKEN_DEFAULT_PLAN: must be the name of a plan');
  expect(message).toInclude('environment: REGISTRY_TOKEN_LOGGING__LEVEL: must be one of');
});

const one = { issuer: 'https://a.example', audiences: ['registry'] };

test.each<[key: string, authorities: object, message: string]>([
  ['authority', {}, 'is missing; must be a mapping'],
  [
    'authority',
    { authority: one, authorities: { a: { ...one, issuer: 'https://b.example' } } },
    'cannot be combined with authorities: authority is the short form for a single one',
  ],
  ['authorities', { authorities: {} }, 'is empty; add an Authority'],
  [
    'authorities.b.issuer',
    { authorities: { a: one, b: one, c: { ...one, issuer: 'https://a.example/' } } },
    'must be unique, because the iss of a token selects the Authority; authorities.a has the same: put the rules of both into one, not "https://a.example"',
  ],
  [
    'authorities.a b',
    { authorities: { 'a b': one } },
    'is not a valid name: use 1 to 64 letters, digits, _ and -',
  ],
  [
    'authorities.a.planRules[0].plan',
    { authorities: { a: { ...one, planRules: [{ when: {}, plan: 'pro' }] } } },
    'must be the name of a plan (community), not "pro"',
  ],
])('Authorities: %s of %j is a mistake', (key, authorities, message) => {
  const { authority, ...rest } = complete;
  const { mistakes } = judge(writeYaml({ ...rest, ...authorities }).text);
  expect(mistakes).toMatchObject([{ key: key.replace('a b', '"a b"'), message }]);
});

test('several Authorities are no mistake, also where their issuers differ by a slash alone', () => {
  const { authority, ...rest } = complete;
  const authorities = { a: one, b: { ...one, issuer: 'https://a.example/', accept: ['none'] } };
  const { configuration } = loadText(writeYaml({ ...rest, authorities }).text);
  expect(authoritiesOf(configuration).map(({ name, path }) => [name, path.join('.')])).toEqual([
    ['a', 'authorities.a'],
    ['b', 'authorities.b'],
  ]);
});
