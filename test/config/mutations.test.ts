/**
 * The sample with each of its keys removed, of a wrong type, misspelt, or twice: always a list of mistakes with the
 * key and its place, never another exception.
 */
import { describe, expect, test } from 'bun:test';
import { parse } from 'yaml';
import {
  changedAt,
  dotted,
  judge,
  type KeyPath,
  type Outcome,
  sampleText,
  type Written,
  writeYaml,
} from './configuration-text.ts';

const sample = parse(sampleText) as object;
const keys = keysOf(sample);

/** Whose absence is a mistake; the absence of any other key is none. */
const required = [
  'authority',
  'authority.issuer',
  'authority.audiences',
  'signing',
  'signing.issuer',
  'signing.keyPath',
  'registry',
  'registry.realm',
  'plans',
  'plans.community.repositories[0].pattern',
  'plans.enterprise.repositories[0].pattern',
  'plans.enterprise.repositories[1].pattern',
];
/** Keys that name what another key refers to. */
const referred = ['plans.community'];

test('the sample has the keys that this is about', () => {
  expect(keys.length).toBeGreaterThan(40);
  expect(keys.map(dotted)).toEqual(expect.arrayContaining([...required, ...referred]));
});

describe.each(keys.map((path) => [dotted(path), path] as const))('%s', (key, path) => {
  test('is told as missing where it must be there, and not missed otherwise', () => {
    const { text } = writeYaml(changedAt(sample, path, undefined));
    const outcome = judge(text);
    if (required.includes(key)) expectMistake(outcome, key, null);
    else if (referred.includes(key)) expectMistake(outcome, 'defaultPlan', null);
    else expect(outcome.message).toBe('');
  });

  const isClaim = dotted(path).startsWith('authority.claims.');
  // A claim may be a path: a list of names.
  const wrong = wrongTypes(valueAt(sample, path)).filter(
    (value) => !isClaim || JSON.stringify(value) !== '["x"]',
  );
  test.each(wrong.map((value) => [value]))('is refused as %j', (value) => {
    const written = writeYaml(changedAt(sample, path, value));
    const outcome = judge(written.text);
    expectMistake(outcome, key, placeIn(written, path));
    expect(outcome.message).toMatch(/must be|is a name/);
  });

  test('is recognised where it is misspelt', () => {
    const name = String(path.at(-1));
    for (const misspelt of [`${name}x`, name.slice(1), `${name.slice(0, 2)}_${name.slice(2)}`]) {
      const parent = path.slice(0, -1);
      const renamed = changedAt(
        changedAt(sample, path, undefined),
        [...parent, misspelt],
        valueAt(sample, path),
      );
      const written = writeYaml(renamed);
      const outcome = judge(written.text);
      if (dotted(parent) === 'plans') {
        // A plan may have any name.
        if (referred.includes(key)) expectMistake(outcome, 'defaultPlan', null);
        else expect(outcome.message).toBe('');
        continue;
      }
      expectMistake(outcome, dotted([...parent, misspelt]), placeIn(written, [...parent, misspelt]));
      expect(outcome.message).toInclude(`unknown key; did you mean \`${name}\`?`);
    }
  });

  test('is refused where it stands twice', () => {
    const written = writeYaml(sample);
    const { line, column } = placeIn(written, path);
    const lines = written.text.split('\n');
    const block = blockAt(lines, line - 1);
    lines.splice(line - 1 + block.length, 0, ...block);
    const { loaded, message } = judge(lines.join('\n'));
    expect(loaded).toBeNull();
    expect(message).toBe(
      `test.yaml:${line + block.length}:${column}: ${path.at(-1)}: is set twice in the same mapping`,
    );
  });
});

/** The paths of all keys of mappings, at any depth. */
function keysOf(value: unknown, path: KeyPath = []): KeyPath[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const inner = [...path, Array.isArray(value) ? Number(name) : name];
    return [...(Array.isArray(value) ? [] : [inner]), ...keysOf(member, inner)];
  });
}

function valueAt(value: unknown, path: KeyPath): unknown {
  return path.reduce((at, part) => (at as Record<string | number, unknown>)[part], value);
}

/** Values that no key with this value can take. */
function wrongTypes(value: unknown): unknown[] {
  if (Array.isArray(value)) return [7, true, { a: 1 }, null, [{}], [[]]];
  if (typeof value === 'object') return ['x', 7, true, [], null];
  if (typeof value === 'boolean') return ['true', 1, [], {}, null];
  if (typeof value === 'number') return ['x', true, [], {}, null, -1, 1.5];
  return [true, [], {}, ['x'], { a: 'x' }, null];
}

function placeIn({ places }: Written, path: KeyPath): { line: number; column: number } {
  const place = places.get(JSON.stringify(path));
  if (place === undefined) throw new Error(`There is no ${dotted(path)}.`);
  return place;
}

/** A line and those that are indented more than it. */
function blockAt(lines: readonly string[], start: number): string[] {
  const indent = /^ */.exec(lines[start] ?? '')?.[0].length ?? 0;
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => (/^ */.exec(line)?.[0].length ?? 0) <= indent);
  return [lines[start] ?? '', ...rest.slice(0, end)];
}

/** A mistake about this key or an item of it is among those told, and each has a place and is no stack trace. */
function expectMistake(
  { loaded, mistakes, message }: Outcome,
  key: string,
  place: { line: number; column: number } | null,
): void {
  expect(loaded).toBeNull();
  const about = mistakes.find(
    (mistake) => mistake.key === key || [`${key}[`, `${key}.`].some((inner) => mistake.key.startsWith(inner)),
  );
  expect(about, message).toBeDefined();
  if (place !== null && about?.key === key) expect(about).toMatchObject(place);
  for (const line of message.split('\n')) expect(line).toMatch(/^test\.yaml:[1-9]\d*:[1-9]\d*: \S/);
  expect(message).not.toMatch(/\n\s+at |Error\b/);
}
