/** The kinds of values: durations, addresses, networks, URLs. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  certificateHeader,
  duration,
  httpUrl,
  ipNetwork,
  listenAddress,
  parseDuration,
  parseRate,
  rate,
} from '../../src/config/values.ts';
import type { CertificateFormat } from '../../src/request/forwarded.ts';

describe('a duration', () => {
  test.each<[string | number, number]>([
    ['5m', 300],
    ['90s', 90],
    ['00:05:00', 300],
    ['1:00:00', 3600],
    ['00:00:01', 1],
    ['0', 0],
    ['300', 300],
    [300, 300],
    [0.5, 0.5],
    ['0.5', 0.5],
    ['1500ms', 1.5],
    ['1h', 3600],
    ['1d', 86_400],
    ['1h30m', 5400],
    ['1m30s', 90],
    ['0s', 0],
  ])('%j is %d seconds', (text, seconds) => {
    expect(parseDuration(text)).toBe(seconds);
  });

  test.each(
    [
      '',
      ' ',
      '5',
      '5 m',
      ' 5m',
      '5m ',
      '5M',
      'm',
      '-5m',
      '-5',
      '+5',
      '1e3',
      '0x10',
      '5min',
      '5m5',
      '1.5m',
      '5,5',
      '٥m',
      '00:05',
      '00:60:00',
      '00:00:60',
      '1000:00:00',
      '00:05:00.5',
      '::',
      'PT5M',
      'soon',
      'Infinity',
      'NaN',
      '5\n',
      '5m\n',
      '1y',
      '1w',
    ].filter((text) => text !== '5'),
  )('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, -1, -0.001])('the number %p is none', (value) => {
    expect(parseDuration(value)).toBeNull();
  });

  test('is the same however it is written', () => {
    fc.assert(
      fc.property(fc.nat(359_999), (seconds) => {
        const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
        const clock = parts.map((part) => String(part).padStart(2, '0')).join(':');
        const units = `${parts[0]}h${parts[1]}m${parts[2]}s`;
        for (const text of [clock, units, `${seconds}s`, `${seconds}`, seconds])
          expect(parseDuration(text)).toBe(seconds);
      }),
    );
  });

  test('is refused beyond its bounds, which the message names', () => {
    const schema = duration(1, 3600);
    expect(['1s', '1h', 1, '3600'].map((text) => schema.parse(text))).toEqual([1, 3600, 1, 3600]);
    for (const value of ['0s', '999ms', '3601s', '2h', 0, -1, 'x', null, true, [], {}]) {
      const { error } = schema.safeParse(value);
      expect(error?.issues[0]?.message).toBe(
        'must be a duration from 1 s to 3600 s, such as 5m, 90s, 00:05:00 or a number of seconds',
      );
    }
  });
});

describe('a rate', () => {
  test.each([
    ['50/s', { count: 50, perSeconds: 1 }],
    ['100/m', { count: 100, perSeconds: 60 }],
    ['1000/h', { count: 1000, perSeconds: 3600 }],
    ['1/h', { count: 1, perSeconds: 3600 }],
    ['10000/s', { count: 10_000, perSeconds: 1 }],
  ])('%s is so many in so many seconds', (text, expected) => {
    expect(parseRate(text)).toEqual(expected);
  });

  test.each([
    '',
    '50',
    '/s',
    '50/',
    '0/s',
    '00/s',
    '050/s',
    '10001/s',
    '1e3/s',
    '-1/s',
    '+1/s',
    '0.5/s',
    '50/d',
    '50/S',
    '50/ms',
    '50/sec',
    '50 / s',
    ' 50/s',
    '50/s\n',
    '50/s/s',
    '50s',
    '50/1s',
    '٥/s',
    'unlimited',
    '99999999999999999999/s',
  ])('%j is none', (text) => {
    expect(parseRate(text)).toBeNull();
  });

  test('is refused with what is allowed, whatever stands there', () => {
    for (const value of ['50', '50/day', '0/s', 50, null, true, [], {}])
      expect(rate().safeParse(value).error?.issues[0]?.message).toBe(
        'must be a number of requests from 1 to 10000 a second, minute or hour, such as 50/s, 100/m or 1000/h',
      );
  });
});

describe('a listen address', () => {
  test.each([
    ['127.0.0.1:8085', { host: '127.0.0.1', port: 8085 }],
    ['0.0.0.0:0', { host: '0.0.0.0', port: 0 }],
    ['localhost:65535', { host: 'localhost', port: 65_535 }],
    ['[::1]:8085', { host: '::1', port: 8085 }],
    ['[::]:443', { host: '::', port: 443 }],
    ['registry.example.com:443', { host: 'registry.example.com', port: 443 }],
  ])('%s is host and port', (text, address) => {
    expect(listenAddress().parse(text)).toEqual(address);
  });

  test.each([
    '',
    '8085',
    ':8085',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:-1',
    '127.0.0.1:80x',
    '::1:8085',
    '[::1]',
    '[::1]8085',
    '[127.0.0.1]:80',
    '[localhost]:80',
    '[::g]:80',
    'http://127.0.0.1:80',
    'a:b:80',
    'a:80\n',
    'a:123456',
  ])('%j is none', (text) => {
    expect(listenAddress().safeParse(text).success).toBe(false);
  });
});

describe('a network', () => {
  test.each([
    ['10.0.0.0/8', { address: '10.0.0.0', prefix: 8, family: 'ipv4' }],
    ['127.0.0.1', { address: '127.0.0.1', prefix: 32, family: 'ipv4' }],
    ['0.0.0.0/0', { address: '0.0.0.0', prefix: 0, family: 'ipv4' }],
    ['fd00::/8', { address: 'fd00::', prefix: 8, family: 'ipv6' }],
    ['::1', { address: '::1', prefix: 128, family: 'ipv6' }],
  ])('%s is address and prefix', (text, network) => {
    expect(ipNetwork().parse(text)).toEqual(network as ReturnType<ReturnType<typeof ipNetwork>['parse']>);
  });

  test.each([
    '',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0/8',
    '256.0.0.0/8',
    '::/129',
    'localhost',
    '10.0.0.0/8/8',
    '10.0.0.0 /8',
    '10.0.0.0/255.0.0.0',
    'fe80::1%eth0',
    '10.0.0.0/8\n',
  ])('%j is none', (text) => {
    expect(ipNetwork().safeParse(text).success).toBe(false);
  });
});

describe('a URL', () => {
  test.each([
    'https://registry.example.com/token',
    'http://127.0.0.1:8085/token',
    'https://[::1]/token',
    'HTTPS://Registry.Example.com',
  ])('%s is kept as written', (text) => {
    expect(httpUrl().parse(text)).toBe(text);
  });

  test.each([
    '',
    'registry.example.com',
    '/token',
    '//registry.example.com/token',
    'ftp://a/',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'https://',
    'https://user@a.example/',
    'https://user:pass@a.example/',
    'https://:p@a.example/',
    'https://a b/',
    'https://a.example:99999/',
  ])('%j is none', (text) => {
    expect(httpUrl().safeParse(text).success).toBe(false);
  });
});

describe('the header of a forwarded client certificate', () => {
  test.each<[unknown, string, CertificateFormat]>([
    ['Client-Cert', 'Client-Cert', 'rfc9440'],
    ['ssl-client-cert', 'ssl-client-cert', 'pem-escaped'],
    ['X-SSL-CLIENT-CERT', 'X-SSL-CLIENT-CERT', 'pem-escaped'],
    ['X-Forwarded-Tls-Client-Cert', 'X-Forwarded-Tls-Client-Cert', 'der-base64'],
    ['x-forwarded-client-cert', 'x-forwarded-client-cert', 'xfcc'],
    [{ name: 'Client-Cert' }, 'Client-Cert', 'rfc9440'],
    [{ name: 'Client-Cert', format: 'der-base64' }, 'Client-Cert', 'der-base64'],
    [{ name: 'X-Cert', format: 'xfcc' }, 'X-Cert', 'xfcc'],
  ])('%j has the name %s and the format %s', (value, name, format) => {
    expect(certificateHeader().parse(value)).toEqual({ name, format });
  });

  test.each<unknown>([
    '',
    'X-Cert',
    'X Cert',
    'X-Cert:',
    'x'.repeat(65),
    7,
    null,
    {},
    { name: 'X-Cert' },
    { format: 'xfcc' },
    { name: 'X-Cert', format: 'pem' },
    { name: 'X-Cert', format: 'xfcc', encoding: 'none' },
  ])('%j is none', (value) => {
    expect(certificateHeader().safeParse(value).success).toBe(false);
  });
});
