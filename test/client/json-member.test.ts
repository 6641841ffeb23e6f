/** A member is set in the text of a JSON object, and no other character changes. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { setJsonMember } from '../../src/client/json-member.ts';

const path = ['auths', 'r.example', 'registrytoken'];

describe('of', () => {
  test.each([
    ['{}', '{\n\t"auths": {\n\t\t"r.example": {\n\t\t\t"registrytoken": "T"\n\t\t}\n\t}\n}'],
    ['{"a": 1}', '{"a": 1, "auths": {"r.example":{"registrytoken":"T"}}}'],
    ['{"auths": null}', '{"auths": {"r.example":{"registrytoken":"T"}}}'],
    [
      '{"auths":{"r.example":{"registrytoken":"old","auth":"x"}}}',
      '{"auths":{"r.example":{"registrytoken":"T","auth":"x"}}}',
    ],
    [
      '{\n  "auths": {\n    "o": {}\n  },\n  "x": 1.0\n}\n',
      '{\n  "auths": {\n    "o": {},\n    "r.example": {\n      "registrytoken": "T"\n    }\n  },\n  "x": 1.0\n}\n',
    ],
    [
      '{\n\t"auths": {\n\t\t"r.example": {}\n\t}\n}',
      '{\n\t"auths": {\n\t\t"r.example": {\n\t\t\t"registrytoken": "T"\n\t\t}\n\t}\n}',
    ],
    [
      '{"auths":{"r.example":{"auth":"}\\""}}}',
      '{"auths":{"r.example":{"auth":"}\\"", "registrytoken": "T"}}}',
    ],
    ['{"auths":1,"auths":{}}', '{"auths":1,"auths":{\n\t"r.example": {\n\t\t"registrytoken": "T"\n\t}\n}}'],
    [
      '{"\\u0061uths":{"r.example":{"registrytoken":"old"}}}',
      '{"\\u0061uths":{"r.example":{"registrytoken":"T"}}}',
    ],
  ])('%j', (before, after) => {
    expect(setJsonMember(before, path, 'T')).toBe(after);
    expect(JSON.parse(after).auths['r.example'].registrytoken).toBe('T');
  });
});

test.each(['[]', '{"auths":[]}', '{"auths":{"r.example":"text"}}', '{"auths":7}'])(
  'nothing is set in %s',
  (text) => {
    expect(setJsonMember(text, path, 'T')).toBeNull();
  },
);

test('for any object the outcome is the object with that one member', () => {
  const value = fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }));
  const indentation = fc.constantFrom(undefined, 2, '\t');
  fc.assert(
    fc.property(value, value, indentation, fc.string(), fc.string(), (rest, auths, indent, host, token) => {
      const before = Object.assign(Object.create(null), rest, { auths });
      const old = auths[host];
      fc.pre(host !== '__proto__' && (old === undefined || old === null || isObject(old)));
      const merged = setJsonMember(
        JSON.stringify(before, null, indent),
        ['auths', host, 'registrytoken'],
        token,
      );
      const expected = {
        ...before,
        auths: { ...auths, [host]: { ...(old as object), registrytoken: token } },
      };
      expect(JSON.parse(merged ?? '')).toEqual(JSON.parse(JSON.stringify(expected)));
    }),
  );
});

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
