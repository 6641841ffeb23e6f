/** A mistake names file, line, column, key, what was found and what is allowed; all of them at once. */
import { describe, expect, test } from 'bun:test';
import {
  changedAt,
  dotted,
  judge,
  type KeyPath,
  loadText,
  minimum,
  writeYaml,
} from './configuration-text.ts';

/** The minimum with one more or other value, and the message about it. */
function messageOf(path: KeyPath, value: unknown): string {
  const full = { server: {}, senderConstraint: { dpop: {}, replay: {} }, logging: {}, ...minimum };
  return judge(writeYaml(changedAt(full, path, value)).text).message;
}

describe('a value that is not allowed', () => {
  test.each<[KeyPath, unknown, string]>([
    [['server', 'listen'], 7, 'must be text, not 7'],
    [['server', 'listen'], '8085', 'must be host:port, such as 127.0.0.1:8085 or [::1]:8085, not "8085"'],
    [['server', 'workers'], 'many', 'must be a number from 1 to 256, or auto, not "many"'],
    [['server', 'trustedProxies'], '10.0.0.0/8', 'must be a list, not "10.0.0.0/8"'],
    [
      ['server', 'clientCertificateHeader'],
      'X-Cert',
      'must say its format (rfc9440, pem-escaped, der-base64, xfcc) as { name, format }, not "X-Cert"',
    ],
    [['server', 'clientCertificateHeader'], 'X Cert', 'must be the name of a header, not "X Cert"'],
    [['server', 'forwardedHeader'], 'Via', 'must be one of X-Forwarded-For, Forwarded, not "Via"'],
    [
      ['server', 'shutdownGrace'],
      'soon',
      'must be a duration from 0 s to 3600 s, such as 5m, 90s, 00:05:00 or a number of seconds, not "soon"',
    ],
    [['server'], [], 'must be a mapping, not an empty list'],
    [['server'], ['x'], 'must be a mapping, not a list'],
    [['server'], null, 'must be a mapping, not null'],
    [
      ['authority', 'issuer'],
      'authority',
      'must be an http or https URL without user name and password, not "authority"',
    ],
    [
      ['authority', 'issuer'],
      'ftp://a.example',
      'must be an http or https URL without user name and password, not "ftp://a.example"',
    ],
    [['authority', 'audiences'], [], 'must be at least 1 long, not an empty list'],
    [['authority', 'audiences'], {}, 'must be a list, not a mapping'],
    [['signing', 'lifetime'], '2h', 'must be a duration from 1 s to 3600 s'],
    [['signing', 'keyPath'], '', 'must not be empty'],
    [['signing', 'issuer'], null, 'must be text, not null'],
    [['signing', 'issuer'], true, 'must be text, not true'],
    [['registry', 'grant'], 'lenient', 'must be one of strict, intersection, not "lenient"'],
    [
      ['registry', 'realm'],
      7,
      'must be an http or https URL without user name and password, or a list of them, not 7',
    ],
    [['plans'], 'community', 'must be a mapping, not "community"'],
    [['plans', 'community'], 'pull', 'must be a mapping, not "pull"'],
    [['senderConstraint', 'replay', 'capacity'], 10, 'must be at least 1000, not 10'],
    [['senderConstraint', 'replay', 'capacity'], 1e9, 'must be at most 50000000, not 1000000000'],
    [['senderConstraint', 'replay', 'capacity'], 1000.5, 'must be a whole number, not 1000.5'],
    [['logging', 'level'], 'verbose', 'must be one of debug, info, warn, error, not "verbose"'],
  ])('%p: %j is told with its key, what was found and what is allowed', (path, value, message) => {
    const { text, places } = writeYaml(
      changedAt(
        { server: {}, senderConstraint: { dpop: {}, replay: {} }, logging: {}, ...minimum },
        path,
        value,
      ),
    );
    const place = places.get(JSON.stringify(path));
    const line = judge(text).message;
    expect(line).toStartWith(`test.yaml:${place?.line}:${place?.column}: ${dotted(path)}: ${message}`);
  });

  test.each<[KeyPath, unknown, string]>([
    [['authority', 'audiences', 0], 7, 'authority.audiences[0]: must be text, not 7'],
    [['authority', 'algorithms'], ['HS256'], 'authority.algorithms[0]: must be one of ES256, ES384,'],
    [['authority', 'algorithms'], ['none'], 'authority.algorithms[0]: must be one of ES256, ES384,'],
    [
      ['authority', 'requiredScopes'],
      ['a b'],
      'authority.requiredScopes[0]: must not hold spaces, not "a b"',
    ],
    [
      ['senderConstraint', 'accept'],
      ['dpop', 'both'],
      'senderConstraint.accept[1]: must be one of dpop, mtls, none',
    ],
    [
      ['server', 'trustedProxies'],
      ['10.0.0.0/8', 'localhost'],
      'server.trustedProxies[1]: must be an IP network',
    ],
    [
      ['authority', 'planRules'],
      [{ when: { user_id: 9007199254740992 }, plan: 'community' }],
      'authority.planRules[0].when.user_id: must be in quotes: the integer is too large to be read exactly, not 9007199254740992',
    ],
    [
      ['authority', 'planRules'],
      [{ when: { user_id: [7, 9007199254740992] }, plan: 'community' }],
      'authority.planRules[0].when.user_id[1]: must be in quotes: the integer is too large to be read exactly, not 9007199254740992',
    ],
    [
      ['registry', 'realm'],
      ['https://a.example/token', 'b'],
      'registry.realm[1]: must be an http or https URL',
    ],
    [
      ['plans', 'community', 'repositories', 0, 'pattern'],
      'a//b',
      'plans.community.repositories[0].pattern: ',
    ],
    [
      ['plans', 'community', 'repositories', 0, 'actions'],
      ['pull', 'PUSH'],
      'plans.community.repositories[0].actions[1]: must be lower-case letters, or *, not "PUSH"',
    ],
  ])('inside a list is told with its index: %p', (path, value, message) => {
    expect(messageOf(path, value)).toInclude(message);
  });

  test('that is long is cut', () => {
    const message = messageOf(['logging', 'level'], 'x'.repeat(5000));
    expect(message.length).toBeLessThan(250);
    expect(message).toInclude(`"${'x'.repeat(50)}`);
  });
});

describe('a name that is not known', () => {
  test.each<[KeyPath, string, string]>([
    [[], 'signin', 'unknown key; did you mean `signing`?'],
    [[], 'senderConstraints', 'unknown key; did you mean `senderConstraint`?'],
    [['signing'], 'keyPasword', 'unknown key; did you mean `keyPassword`?'],
    [['signing'], 'key_path', 'unknown key; did you mean `keyPath`?'],
    [['plans', 'community'], 'repository', 'unknown key; did you mean `repositories`?'],
    [['plans', 'community', 'repositories', 0], 'action', 'unknown key; did you mean `actions`?'],
    [['registry'], 'qqqqqqqqqq', 'unknown key; allowed are realm, allowedServices, grant'],
  ])('under %p: %s: %s', (path, name, message) => {
    const { text, places } = writeYaml(changedAt(minimum, [...path, name], 'x'));
    const place = places.get(JSON.stringify([...path, name]));
    expect(judge(text).message).toBe(
      `test.yaml:${place?.line}:${place?.column}: ${dotted([...path, name])}: ${message}`,
    );
  });

  test('that is odd is quoted, and one that is long is cut', () => {
    expect(messageOf([''], 1)).toInclude(': "": unknown key');
    expect(messageOf([' '], 1)).toInclude(': " ": unknown key');
    expect(messageOf(['x'.repeat(5000)], 1).length).toBeLessThan(500);
  });

  test('of a plan is printable, without spaces and at most 64 characters long', () => {
    for (const name of ['a b', '', 'ü', 'x'.repeat(65), 'a\u0007'])
      expect(messageOf(['plans'], { [name]: {} })).toInclude(
        'is not a valid name: use 1 to 64 printable ASCII',
      );
    for (const name of ['x'.repeat(64), 'constructor', 'a.b:c/d'])
      expect(
        loadText(JSON.stringify({ ...minimum, plans: { [name]: {} } })).configuration.plans.get(name),
      ).toEqual({
        catalog: false,
        repositories: [],
      });
  });

  test.each(['defaultPlan', 'anonymousPlan'])('of %s is in the catalogue', (key) => {
    expect(messageOf([key], 'pro')).toEndWith(`${key}: must be the name of a plan (community), not "pro"`);
    expect(messageOf([key], 'constructor')).toInclude('must be the name of a plan');
  });
});

describe('a key that must be there', () => {
  test.each<[KeyPath, string]>([
    [['authority'], 'a mapping'],
    [['authority', 'issuer'], 'text'],
    [['authority', 'audiences'], 'a list'],
    [['signing'], 'a mapping'],
    [['signing', 'issuer'], 'text'],
    [['signing', 'keyPath'], 'text'],
    [['registry'], 'a mapping'],
    [['plans'], 'a mapping'],
    [['plans', 'community', 'repositories', 0, 'pattern'], 'text'],
  ])('%p is told as missing, with what it must be', (path, kind) => {
    const { text } = writeYaml(changedAt(minimum, path, undefined));
    expect(judge(text).message).toMatch(
      new RegExp(`^test\\.yaml:\\d+:\\d+: ${RegExp.escape(dotted(path))}: is missing; must be ${kind}$`, 'm'),
    );
  });

  test('registry.realm too', () => {
    const { text } = writeYaml(changedAt(minimum, ['registry', 'realm'], undefined));
    expect(judge(text).message).toMatch(/^test\.yaml:\d+:\d+: registry\.realm: .*an http or https URL/);
  });
});

describe('mistakes', () => {
  test('are all told at once, one a line', () => {
    const { text } = writeYaml({
      ...minimum,
      server: { listen: 'x', shutdownGrace: -1 },
      signing: { isuer: 'x', keyPath: 7, lifetime: '1d' },
      plans: { a: { catalog: 'yes' }, 'b c': {}, d: { repositories: [{ pattern: '**x' }, {}] } },
      logging: { level: 'loud', format: 'xml' },
    });
    const { mistakes, message } = judge(text);
    const keys = [
      'server.listen',
      'server.shutdownGrace',
      'signing.issuer',
      'signing.isuer',
      'signing.keyPath',
    ];
    const more = ['signing.lifetime', 'plans.a.catalog', 'plans."b c"', 'plans.d.repositories[0].pattern'];
    const most = ['plans.d.repositories[1].pattern', 'logging.level', 'logging.format'];
    expect(mistakes.map(({ key }) => key).sort()).toEqual([...keys, ...more, ...most].sort());
    expect(message.split('\n').length).toBe(mistakes.length);
  });

  test('of the rules between keys are told with the key to change', () => {
    const { text, places } = writeYaml({
      ...minimum,
      signing: { ...minimum.signing, keyPassword: 'a', keyPasswordPath: 'b' },
      defaultPlan: 'pro',
    });
    const { message } = judge(text);
    const line = places.get(JSON.stringify(['signing', 'keyPasswordPath']))?.line;
    expect(message).toInclude(
      `test.yaml:${line}:3: signing.keyPasswordPath: cannot be combined with keyPassword: set one of them`,
    );
    expect(message).toInclude(': defaultPlan: must be the name of a plan');
  });

  test('keep to one line each, whatever a key is called', () => {
    const { mistakes, message } = judge(JSON.stringify({ ...minimum, 'a\nb\u001b[2Jc': 1 }));
    expect(mistakes).toHaveLength(1);
    expect(message).toInclude('"a\\nb\\u001b[2Jc": unknown key');
  });

  test('count columns in characters and lines whatever ends them', () => {
    const text = JSON.stringify({ ...minimum, ünknown: 1 }).replaceAll(',', ',\r\n ');
    const line = text.slice(0, text.indexOf('ünknown')).split('\n').length;
    expect(judge(text).message).toStartWith(`test.yaml:${line}:2: "ünknown": unknown key`);
  });
});
