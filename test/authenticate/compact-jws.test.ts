import { describe, expect, test } from 'bun:test';
import { isBase64url, parseCompactJws } from '../../src/authenticate/compact-jws.ts';

describe('strict base64url (RFC 4648 §3.5, §5)', () => {
  test('accepts exactly what encoding gives back, for all of one and two bytes', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (const a of alphabet) {
      for (const b of alphabet) {
        const two = `${a}${b}`;
        expect(isBase64url(two)).toBe(Buffer.from(two, 'base64url').toString('base64url') === two);
        const three = `A${two}`;
        expect(isBase64url(three)).toBe(Buffer.from(three, 'base64url').toString('base64url') === three);
      }
    }
  });

  test.each(['', 'A', 'AAAAA', 'AA==', 'AA=', ' AA', 'AA ', 'A A', 'A\nA', 'AA\n', '++//', 'AÄ', 'A.A'])(
    'refuses %j',
    (text) => {
      expect(isBase64url(text)).toBe(false);
    },
  );
});

describe('a compact JWS', () => {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

  test('is taken apart', () => {
    const text = `${part({ a: 1 })}.${part({ b: 2 })}.AAAA`;
    expect(parseCompactJws(text, 100)).toEqual({
      text,
      encodedHeader: part({ a: 1 }),
      header: { a: 1 },
      payload: { b: 2 },
    });
  });

  test('is nothing where it is longer than allowed', () => {
    const text = `${part({ a: 1 })}.${part({ b: 2 })}.AAAA`;
    expect(parseCompactJws(text, text.length)).not.toBeNull();
    expect(parseCompactJws(text, text.length - 1)).toBeNull();
  });

  test('is nothing with a byte order mark, a lone surrogate byte or text after the JSON', () => {
    for (const header of [
      Buffer.from('{"a":"\xed\xa0\x80"}', 'latin1'),
      Buffer.from('{"a":1} x'),
      Buffer.from('{"a":1}{"b":2}'),
    ])
      expect(parseCompactJws(`${header.toString('base64url')}.${part({})}.AAAA`, 1000)).toBeNull();
  });
});
