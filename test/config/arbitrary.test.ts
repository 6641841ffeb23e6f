/** Whatever the file and the environment hold: a configuration or a list of mistakes, and never anything else. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { authoritiesOf } from '../../src/config/schema.ts';
import { judge, type Outcome, sampleText, writeYaml } from './configuration-text.ts';

const sample = parse(sampleText) as Record<string, unknown>;
const names = [
  ...new Set(sampleText.match(/\b[a-z][A-Za-z]+(?=:)/g)),
  ...['constructor', '__proto__', 'toString', '0', '-1', '', 'null', '<<', 'a b'],
];

/** What YAML is made of, so that random texts come close to it. */
const fragment = fc.oneof(
  fc.constantFrom(
    ...[
      '\n',
      '\n  ',
      '\n    ',
      ' ',
      ': ',
      '- ',
      '? ',
      ', ',
      '[',
      ']',
      '{',
      '}',
      '"',
      "'",
      '|\n',
      '>-\n',
      '#',
      '\t',
      '---\n',
    ],
    ...[
      '&a ',
      '*a',
      '!x ',
      '!!int ',
      '%YAML 1.2\n',
      '...\n',
      '\\',
      '\0',
      '\u2028',
      '\uFEFF',
      '~',
      '1e999',
      '0x1F',
      '.nan',
    ],
  ),
  fc.constantFrom(...names.map((name) => `${name}: `)),
  fc.string({ maxLength: 8 }),
);
const yamlLike = fc.array(fragment, { maxLength: 40 }).map((fragments) => fragments.join(''));

/** The sample with a piece of it replaced by anything. */
const damagedSample = fc
  .tuple(fc.nat(sampleText.length), fc.nat(40), yamlLike)
  .map(([start, length, text]) => `${sampleText.slice(0, start)}${text}${sampleText.slice(start + length)}`);

/** The sample with keys of it set to anything. */
const damagedValue = fc
  .dictionary(fc.constantFrom(...Object.keys(sample)), fc.jsonValue(), { maxKeys: 3 })
  .map((changes) => JSON.stringify({ ...sample, ...changes }));

const deeperValue = fc
  .tuple(fc.constantFrom(...Object.keys(sample)), fc.constantFrom(...names), fc.jsonValue())
  .map(([section, name, value]) => {
    const at = sample[section];
    const changed = typeof at === 'object' && !Array.isArray(at) ? { ...at, [name]: value } : [value];
    return writeYaml({ ...sample, [section]: changed }).text;
  });

const document = fc.oneof(
  fc.string(),
  yamlLike,
  damagedSample,
  damagedValue,
  deeperValue,
  fc.json(),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.constant(sampleText),
);

const part = fc.oneof(fc.constantFrom(...names), fc.string({ maxLength: 6 }), fc.nat(99_999).map(String));
const variable = fc
  .array(part, { maxLength: 5 })
  .chain((parts) =>
    fc.constantFrom(`REGISTRY_TOKEN_${parts.join('__')}`, `registry_token_${parts.join('__')}`),
  );
const environment = fc.dictionary(variable, fc.oneof(yamlLike, fc.json(), fc.string()), { maxKeys: 4 });

test('any document is a configuration or a list of mistakes', () => {
  fc.assert(
    fc.property(document, (text) => expectConfigurationOrMistakes(judge(text))),
    { numRuns: 1500 },
  );
}, 30_000);

test('any environment makes of the sample a configuration or a list of mistakes', () => {
  fc.assert(
    fc.property(environment, (env) => expectConfigurationOrMistakes(judge(sampleText, env))),
    { numRuns: 800 },
  );
}, 30_000);

test('any environment on any document makes a configuration or a list of mistakes', () => {
  fc.assert(
    fc.property(document, environment, (text, env) => expectConfigurationOrMistakes(judge(text, env))),
    { numRuns: 500 },
  );
}, 30_000);

function expectConfigurationOrMistakes({ loaded, mistakes, message }: Outcome): void {
  if (loaded !== null) {
    // Whatever came in, the values that safety depends on are of their kind.
    const { server, signing, senderConstraint } = loaded.configuration;
    const [authority] = authoritiesOf(loaded.configuration);
    expect([
      typeof server.listen.port,
      typeof signing.lifetime,
      typeof authority?.settings.clockSkew,
    ]).toEqual(Array(3).fill('number'));
    expect(['dpop', 'mtls', 'none']).toEqual(expect.arrayContaining(senderConstraint.accept));
    return;
  }
  expect(mistakes.length).toBeGreaterThan(0);
  const lines = message.split('\n');
  expect(lines.length).toBe(mistakes.length);
  for (const line of lines) expect(line).toMatch(/^(?:test\.yaml(?::[1-9]\d*:[1-9]\d*)?|environment): \S/);
}
