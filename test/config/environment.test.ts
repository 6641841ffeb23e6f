/** Every key can be overridden by a variable that spells its path. */
import { describe, expect, test } from 'bun:test';
import { type Environment, judge, loadText, minimum, sampleText } from './configuration-text.ts';

const load = (env: Environment) => loadText(sampleText, env).configuration;

describe('a variable', () => {
  test.each<[string, string, string, unknown]>([
    [
      'of the contract',
      'SIGNING__KEY_PATH',
      '/run/signing.pem',
      { signing: { keyPath: '/run/signing.pem' } },
    ],
    ['without underscores', 'SIGNING__KEYPATH', 'a.pem', { signing: { keyPath: 'a.pem' } }],
    [
      'with more of them',
      'SENDER_CONSTRAINT__DPOP__MAX_AGE',
      '4m',
      { senderConstraint: { dpop: { maxAge: 240 } } },
    ],
    ['of the top level', 'DEFAULT_PLAN', 'enterprise', { defaultPlan: 'enterprise' }],
    ['of a list item', 'AUTHORITY__AUDIENCES__0', 'a', { authority: { audiences: ['a'] } }],
    [
      'of the next list item',
      'AUTHORITY__AUDIENCES__1',
      'b',
      { authority: { audiences: ['registry', 'b'] } },
    ],
    ['of a list in flow', 'AUTHORITY__AUDIENCES', '[a, b]', { authority: { audiences: ['a', 'b'] } }],
    ['of a list in JSON', 'AUTHORITY__AUDIENCES', '["a","b"]', { authority: { audiences: ['a', 'b'] } }],
    ['of an empty list', 'AUTHORITY__REQUIRED_SCOPES', '[]', { authority: { requiredScopes: [] } }],
    [
      'of a text or a list',
      'REGISTRY__REALM',
      'https://a.example/token',
      { registry: { realm: ['https://a.example/token'] } },
    ],
    [
      'of a list or a text',
      'REGISTRY__REALM',
      '[https://a.example/t, https://b.example/t]',
      { registry: { realm: ['https://a.example/t', 'https://b.example/t'] } },
    ],
    [
      'of an item of it',
      'REGISTRY__REALM__1',
      'https://b.example/t',
      { registry: { realm: ['http://localhost:8085/token', 'https://b.example/t'] } },
    ],
    [
      'of a whole mapping',
      'AUTHORITY__CLAIMS',
      '{plan: p, license: l}',
      { authority: { claims: { plan: 'p', license: 'l' } } },
    ],
    [
      'of a number',
      'SENDER_CONSTRAINT__REPLAY__CAPACITY',
      '5000',
      { senderConstraint: { replay: { capacity: 5000 } } },
    ],
    [
      'of a truth value',
      'PLANS__enterprise__CATALOG',
      'false',
      { plans: { enterprise: { catalog: false } } },
    ],
    ['of a duration in seconds', 'SIGNING__LIFETIME', '90', { signing: { lifetime: 90 } }],
    ['of a duration as a clock', 'SIGNING__LIFETIME', '00:05:30', { signing: { lifetime: 330 } }],
    ['of an address', 'SERVER__LISTEN', '[::1]:1', { server: { listen: { host: '::1', port: 1 } } }],
    [
      'of a plan that is there',
      'PLANS__COMMUNITY__CATALOG',
      'true',
      { plans: { community: { catalog: true } } },
    ],
    [
      'of a plan that is new',
      'PLANS__pro__REPOSITORIES__0__PATTERN',
      'pro/*',
      { plans: { pro: { repositories: [{ pattern: 'pro/*', actions: ['pull'] }] } } },
    ],
    [
      'of a rule that is new',
      'PLANS__community__REPOSITORIES__1',
      '{pattern: a/*, actions: [push]}',
      { plans: { community: { repositories: [{}, { pattern: 'a/*', actions: ['push'] }] } } },
    ],
  ])('%s sets its key: %s', (_, name, value, expected) => {
    const { plans, ...others } = load({ [`REGISTRY_TOKEN_${name}`]: value });
    expect({ ...others, plans: Object.fromEntries(plans) }).toMatchObject(expected as object);
  });

  test.each([
    '42',
    '1e3',
    '0x10',
    'true',
    'null',
    '~',
    'off',
    '[a]',
    '{a: b}',
    '"quoted"',
    '*a',
    '!b',
    '# no comment',
    ' a ',
  ])('of a text is that text, letter by letter: %j', (value) => {
    expect(load({ REGISTRY_TOKEN_SIGNING__KEY_ID: value }).signing.keyId).toBe(value);
    const { authority } = load({ REGISTRY_TOKEN_AUTHORITY__AUDIENCES__0: value });
    expect(authority?.audiences).toEqual([value]);
  });

  test.each([
    'registry_token_signing__key_id',
    'Registry_Token_Signing__KeyId',
    'REGISTRY_TOKEN_SIGNING__K_E_Y_ID',
  ])('may be written %s', (name) => {
    expect(load({ [name]: 'libtrust' }).signing.keyId).toBe('libtrust');
  });

  test('keeps the letter case of a new name, and finds an old one in any', () => {
    const { plans } = load({
      REGISTRY_TOKEN_PLANS__Pro_Max__CATALOG: 'true',
      REGISTRY_TOKEN_PLANS__ENTERPRISE__LIFETIME: '1m',
    });
    expect([...plans.keys()]).toEqual(['community', 'enterprise', 'Pro_Max']);
    expect(plans.get('enterprise')?.lifetime).toBe(60);
  });

  test('is in force over the file, and an inner key over the outer one', () => {
    const env = {
      REGISTRY_TOKEN_SIGNING: '{issuer: outer, keyPath: outer.pem}',
      REGISTRY_TOKEN_SIGNING__ISSUER: 'inner',
      registry_token_authority__audiences: '[outer]',
      REGISTRY_TOKEN_AUTHORITY__AUDIENCES__1: 'inner',
    };
    expect(load(env)).toMatchObject({
      signing: { issuer: 'inner', keyPath: 'outer.pem' },
      authority: { audiences: ['outer', 'inner'] },
    });
  });

  test('of list items are taken in the order of their numbers', () => {
    const names = Array.from({ length: 12 }, (_, index) => [
      `REGISTRY_TOKEN_AUTHORITY__AUDIENCES__${index}`,
      `a${index}`,
    ]);
    const { authority } = load(Object.fromEntries(names.toReversed()));
    expect(authority?.audiences).toEqual(names.map(([, value]) => value ?? ''));
  });

  test('supplies what the file lacks', () => {
    const { signing, ...rest } = minimum;
    const env = {
      REGISTRY_TOKEN_SIGNING__ISSUER: signing.issuer,
      REGISTRY_TOKEN_SIGNING__KEY_PATH: signing.keyPath,
    };
    expect(loadText(JSON.stringify(rest), env).configuration.signing).toMatchObject(signing);
  });

  test('that is undefined, or of another program, is not looked at', () => {
    const env = {
      REGISTRY_TOKEN_NOTHING: undefined,
      REGISTRY_TOKENS_X: 'x',
      REGISTRY_TOKE: 'x',
      PATH: '/bin',
    };
    expect(load(env)).toEqual(load({}));
  });

  test('REGISTRY_TOKEN_CONFIG is no key', () => {
    expect(load({ REGISTRY_TOKEN_CONFIG: '/x.yaml' })).toEqual(load({}));
  });
});

describe('what Kubernetes adds for a Service', () => {
  test.each([
    'REGISTRY_TOKEN_SERVICE_HOST',
    'REGISTRY_TOKEN_SERVICE_PORT',
    'REGISTRY_TOKEN_SERVICE_PORT_HTTP',
    'REGISTRY_TOKEN_PORT',
    'REGISTRY_TOKEN_PORT_8085_TCP',
    'REGISTRY_TOKEN_PORT_8085_TCP_ADDR',
    'REGISTRY_TOKEN_PORT_8085_TCP_PORT',
    'REGISTRY_TOKEN_PORT_8085_TCP_PROTO',
    'REGISTRY_TOKEN_REDIS_SERVICE_HOST',
    'REGISTRY_TOKEN_REDIS_PORT',
    'REGISTRY_TOKEN_REDIS_PORT_6379_TCP_ADDR',
    'REGISTRY_TOKEN_METRICS_PORT_53_UDP',
  ])('is no key: %s', (name) => {
    expect(load({ [name]: 'tcp://10.0.0.1:8085' })).toEqual(load({}));
  });

  test.each([
    'REGISTRY_TOKEN_SERVER__PORT',
    'REGISTRY_TOKEN_PORTS',
    'REGISTRY_TOKEN_SERVICE',
    'REGISTRY_TOKEN_PORT_X_TCP',
  ])('is not %s, which is a mistake', (name) => {
    expect(judge(sampleText, { [name]: '1' }).message).toInclude(`environment: ${name}: is not a key`);
  });
});

describe('a mistake in the environment', () => {
  test.each<[string, string, string]>([
    ['SIGNING__KEYPAHT', 'x', 'is not a key of the configuration; did you mean `keyPath`?'],
    ['SIGNIN__KEY_PATH', 'x', 'is not a key of the configuration; did you mean `signing`?'],
    [
      'FOO',
      'x',
      'is not a key of the configuration; allowed are server, authority, authorities, senderConstraint',
    ],
    [
      'SIGNING_KEY_PATH',
      'x',
      'is not a key of the configuration; did you mean REGISTRY_TOKEN_SIGNING__KEY_PATH? Two underscores separate levels',
    ],
    [
      'Server__Tls_CertPath',
      'x',
      'is not a key of the configuration; did you mean REGISTRY_TOKEN_Server__Tls__CertPath?',
    ],
    [
      'PLANS_my_plan_REPOSITORIES_0_PATTERN',
      'x',
      'is not a key of the configuration; did you mean REGISTRY_TOKEN_PLANS__my_plan__REPOSITORIES__0__PATTERN?',
    ],
    ['', 'x', 'is not a key of the configuration; allowed are server'],
    ['SIGNING__', 'x', 'is not a key of the configuration; allowed are issuer'],
    [
      'SERVER__LISTEN',
      'nowhere',
      'must be host:port, such as 127.0.0.1:8085 or [::1]:8085, not "nowhere" (server.listen)',
    ],
    [
      'SIGNING__LIFETIME',
      '2h',
      'must be a duration from 1 s to 3600 s, such as 5m, 90s, 00:05:00 or a number of seconds, not "2h" (signing.lifetime)',
    ],
    ['SIGNING__KEY_PATH', '', 'must not be empty (signing.keyPath)'],
    [
      'SENDER_CONSTRAINT__REPLAY__CAPACITY',
      '12x',
      'must be a number, not "12x" (senderConstraint.replay.capacity)',
    ],
    ['AUTHORITY__AUDIENCES', 'registry', 'must be a list, not "registry" (authority.audiences)'],
    ['AUTHORITY__AUDIENCES', '[a', 'must be a list, not "[a" (authority.audiences)'],
    ['AUTHORITY__AUDIENCES', '[8085]', 'must be text, not 8085 (authority.audiences[0])'],
    ['AUTHORITY__AUDIENCES__X', 'a', 'goes deeper than the configuration does, at X'],
    ['AUTHORITY__AUDIENCES__-1', 'a', 'goes deeper than the configuration does, at -1'],
    ['AUTHORITY__AUDIENCES__2', 'a', 'is item 2 of a list whose next is 1'],
    ['AUTHORITY__AUDIENCES__99999', 'a', 'is item 99999 of a list whose next is 1'],
    ['SIGNING__KEY_PATH__0', 'a', 'goes deeper than the configuration does, at 0'],
    [
      'PLANS__pro__REPOSITORIES__0__PATTERN',
      'a//b',
      'has an empty path segment, not "a//b" (plans.pro.repositories[0].pattern)',
    ],
    ['PLANS__pro', 'yes', 'must be a mapping, not "yes" (plans.pro)'],
    ['PLANS__pro__CATALOG', 'yes', 'must be true or false, not "yes" (plans.pro.catalog)'],
    [
      'PLANS',
      '{a b: {}}',
      'is not a valid name: use 1 to 64 printable ASCII characters without spaces (plans."a b")',
    ],
    ['DEFAULT_PLAN', 'pro', 'must be the name of a plan (community, enterprise), not "pro" (defaultPlan)'],
    ['SIGNING', '{issuer: a}', 'is missing; must be text (signing.keyPath)'],
    ['LOGGING__LEVEL', 'INFO', 'must be one of debug, info, warn, error, not "INFO" (logging.level)'],
  ])('names the variable: %s=%s', (name, value, message) => {
    const lines = judge(sampleText, { [`REGISTRY_TOKEN_${name}`]: value }).message.split('\n');
    const start = `environment: REGISTRY_TOKEN_${name}: ${message}`;
    expect(lines.filter((line) => line.startsWith(start))).toHaveLength(1);
  });

  test('is blamed on the innermost of two variables', () => {
    const env = { REGISTRY_TOKEN_SIGNING: '{issuer: a, keyPath: b}', REGISTRY_TOKEN_SIGNING__LIFETIME: 'x' };
    expect(judge(sampleText, env).message).toStartWith('environment: REGISTRY_TOKEN_SIGNING__LIFETIME: ');
  });

  test('is that two variables set one key', () => {
    const env = { REGISTRY_TOKEN_SIGNING__KEY_PATH: 'a', REGISTRY_TOKEN_SIGNING__KEYPATH: 'b' };
    expect(judge(sampleText, env).message).toBe(
      'environment: REGISTRY_TOKEN_SIGNING__KEY_PATH: sets the same key as REGISTRY_TOKEN_SIGNING__KEYPATH: unset one of them',
    );
  });

  test('is told beside those of the file', () => {
    const env = { REGISTRY_TOKEN_SERVER__LISTEN: 'x', REGISTRY_TOKEN_FOO: 'y' };
    const { message } = judge(sampleText.replace('grant: strict', 'grant: lax'), env);
    expect(message.split('\n')).toHaveLength(3);
    expect(message).toMatch(
      /^test\.yaml:\d+:3: registry\.grant: must be one of strict, intersection, not "lax"$/m,
    );
  });

  test('of a name from the prototype of objects is like any other', () => {
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(judge(sampleText, { [`REGISTRY_TOKEN_${name}`]: 'x' }).loaded).toBeNull();
      expect(judge(sampleText, { [`REGISTRY_TOKEN_SIGNING__${name}`]: 'x' }).loaded).toBeNull();
    }
    const env = { REGISTRY_TOKEN_PLANS__constructor__CATALOG: 'true' };
    expect(load(env).plans.get('constructor')).toMatchObject({
      catalog: true,
      repositories: { length: 0 },
    });
  });
});
