/** The name that was meant, where it is near enough to be of help. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { nearestName } from '../../src/document/issues.ts';

const names = ['keyPath', 'keyPassword', 'keyPasswordPath', 'issuer', 'lifetime', 'certificatePath'];

test.each([
  ['keypath', 'keyPath'],
  ['key_path', 'keyPath'],
  ['keyPahT', 'keyPath'],
  ['isuer', 'issuer'],
  ['isssuer', 'issuer'],
  ['livetime', 'lifetime'],
  ['keyPasword', 'keyPassword'],
  ['certificatePatch', 'certificatePath'],
  ['certPath', null],
  ['zzzzzz', null],
  ['', null],
])('%j was meant to be %j', (found, meant) => {
  expect(nearestName(found, names)).toBe(meant);
});

test('the nearer of two is meant, and nothing where there are no names', () => {
  expect(nearestName('keyPasswordPat', names)).toBe('keyPasswordPath');
  expect(nearestName('keyPasswor', names)).toBe('keyPassword');
  expect(nearestName('keyPath', [])).toBeNull();
});

test('a name with one letter too few, too many or another is recognised', () => {
  const mutation = fc.record({
    name: fc.constantFrom(...names),
    at: fc.nat(5),
    kind: fc.constantFrom('remove', 'insert', 'replace'),
  });
  fc.assert(
    fc.property(mutation, ({ name, at, kind }) => {
      const rest = name.slice(kind === 'insert' ? at : at + 1);
      const found = `${name.slice(0, at)}${kind === 'remove' ? '' : 'q'}${rest}`;
      expect(nearestName(found, names)).toBe(name);
    }),
  );
});

test('a very long name takes no time', () => {
  const started = performance.now();
  for (let round = 0; round < 20; round += 1) nearestName('x'.repeat(1_000_000), names);
  expect(performance.now() - started).toBeLessThan(1000);
});
