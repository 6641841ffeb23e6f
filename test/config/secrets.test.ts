/** No message shows a secret, wherever in a configuration somebody put it. */
import { describe, expect, setDefaultTimeout, spyOn, test } from 'bun:test';
import fc from 'fast-check';
import { judge, minimum, sampleText, writeYaml } from './configuration-text.ts';

// Many documents, on a machine that may be busy.
setDefaultTimeout(60_000);

const SECRET = 'hunter2hunter2';

describe('a password', () => {
  test.each([
    ['as a number', { signing: { ...minimum.signing, keyPassword: 20_262_026 } }, '20262026'],
    ['as a list', { signing: { ...minimum.signing, keyPassword: [SECRET] } }, SECRET],
    ['as a mapping', { signing: { ...minimum.signing, keyPassword: { [`x${SECRET}`]: SECRET } } }, SECRET],
    ['under a misspelt key', { signing: { ...minimum.signing, keyPasword: SECRET } }, SECRET],
    ['at the wrong place', { ...minimum, keyPassword: SECRET }, SECRET],
    ['in place of the mapping', { ...minimum, signing: `keyPassword=${SECRET}` }, SECRET],
    [
      'in the URL of Redis',
      { ...minimum, senderConstraint: { replay: { url: [`redis://:${SECRET}@r`] } } },
      SECRET,
    ],
    [
      'in a broken URL of Redis',
      { ...minimum, senderConstraint: { replay: { store: 'redis', url: `:${SECRET}@r` } } },
      SECRET,
    ],
    [
      'of Redis at the wrong place',
      { ...minimum, senderConstraint: { replay: `redis://:${SECRET}@r` } },
      SECRET,
    ],
    ['of Redis at another', { ...minimum, senderConstraint: `redis://:${SECRET}@r` }, SECRET],
    [
      'of Redis as a store',
      { ...minimum, senderConstraint: { replay: { store: `redis://:${SECRET}@r` } } },
      SECRET,
    ],
    [
      'in a realm',
      { ...minimum, registry: { realm: `https://user:${SECRET}@registry.example.com/token` } },
      SECRET,
    ],
    [
      'in one of two realms',
      { ...minimum, registry: { realm: ['https://a.example/', `https://u:${SECRET}@b.example/`] } },
      SECRET,
    ],
    [
      'with a slash in a URL',
      { ...minimum, authority: { ...minimum.authority, metadataUrl: `https://u:a/${SECRET}@b` } },
      SECRET,
    ],
  ])('%s is refused and not shown', (_, value, secret) => {
    const { loaded, message } = judge(writeYaml({ ...minimum, ...value }).text);
    expect(loaded).toBeNull();
    expect(message).not.toInclude(secret);
  });

  test.each([
    ['SIGNING', `{keyPassword: ${SECRET}`],
    ['SIGNING', `{keyPassword: !x ${SECRET}}`],
    ['SIGNING', SECRET],
    ['SENDER_CONSTRAINT__REPLAY', `redis://:${SECRET}@r`],
    ['SENDER_CONSTRAINT', `{replay: redis://:${SECRET}@r}`],
    ['REGISTRY__REALM', `https://u:${SECRET}@r/`],
    ['KEY_PASSWORD', SECRET],
  ])('in the variable %s (case %#) is refused and not shown', (name, value) => {
    const warn = spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      const { loaded, message } = judge(sampleText, { [`REGISTRY_TOKEN_${name}`]: value });
      expect(loaded).toBeNull();
      expect(message).not.toInclude(SECRET);
      expect(warn.mock.calls).toEqual([]);
    } finally {
      warn.mockRestore();
    }
  });

  test('in a key that is a list is not shown, nor warned of on standard error', () => {
    const warn = spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      expect(judge(`signing:\n  keyPassword:\n    ? [${SECRET}]\n    : x\n`).message).not.toInclude(SECRET);
      expect(warn.mock.calls).toEqual([]);
    } finally {
      warn.mockRestore();
    }
  });

  test('is not shown where YAML takes it for a directive', () => {
    for (const before of ['&&}| %', '}|={ %'])
      expect(judge(`signing:\n  keyPassword: ${before}${SECRET}\n`).message).not.toInclude(SECRET);
  });

  test('is not shown where its signs mean something to YAML', () => {
    const signs = fc.string({
      unit: fc.constantFrom(...'!&*|>@`%#"\'[]{},?:-\\/~=<. x'.split('')),
      maxLength: 6,
    });
    const warn = spyOn(process, 'emitWarning').mockImplementation(() => {});
    try {
      fc.assert(
        fc.property(signs, signs, (before, after) => {
          const { message } = judge(`signing:\n  keyPassword: ${before}${SECRET}${after}\n`);
          expect(message).not.toInclude(SECRET);
        }),
        { numRuns: 1000 },
      );
      expect(warn.mock.calls).toEqual([]);
    } finally {
      warn.mockRestore();
    }
  });
});
