/** The kinds of values that a configuration holds: durations, addresses, URLs. Each says what it allows. */
import { isIP } from 'node:net';
import { z } from 'zod';
import type { Rate } from '../authenticate/rate-limits.ts';
import { type CertificateHeader, certificateFormats, knownCertificateHeaders } from '../request/forwarded.ts';

/** Where a listener binds. */
export interface ListenAddress {
  /** An IP address without brackets, or a host name. */
  readonly host: string;
  readonly port: number;
}

const UNITS: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86400 };

/** `5m`, `90s`, `1h30m`, `00:05:00` or seconds; null for anything else. Returns seconds. */
export function parseDuration(value: string | number): number | null {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : null;
  if (/^\d+(?:\.\d+)?$/.test(value)) return Number(value);
  const [, hours, minutes, seconds] = /^(\d{1,3}):([0-5]\d):([0-5]\d)$/.exec(value) ?? [];
  if (hours !== undefined) return Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  if (!/^(?:\d+(?:ms|s|m|h|d))+$/.test(value)) return null;
  let total = 0;
  for (const [, count, unit] of value.matchAll(/(\d+)(ms|s|m|h|d)/g))
    total += Number(count) * (UNITS[unit ?? ''] ?? 0);
  return total;
}

/** A duration between two bounds in seconds, as seconds. */
export function duration(min: number, max: number) {
  const allowed = `a duration from ${min} s to ${max} s, such as 5m, 90s, 00:05:00 or a number of seconds`;
  return z.union([z.string(), z.number()], { error: `must be ${allowed}` }).transform((value, context) => {
    const seconds = parseDuration(value);
    if (seconds !== null && seconds >= min && seconds <= max) return seconds;
    context.addIssue({ code: 'custom', message: `must be ${allowed}` });
    return z.NEVER;
  });
}

/** Of a single rate, in requests: one for each tenth of a millisecond, when it is for a second. */
const MOST_REQUESTS = 10_000;

/** `50/s`, `100/m` or `1000/h`; null for anything else. */
export function parseRate(text: string): Rate | null {
  const [, count = '', unit = ''] = /^([1-9]\d*)\/([smh])$/.exec(text) ?? [];
  const perSeconds = UNITS[unit];
  if (perSeconds === undefined || Number(count) > MOST_REQUESTS) return null;
  return { count: Number(count), perSeconds };
}

/** How many requests in which time. */
export function rate() {
  const error = `must be a number of requests from 1 to ${MOST_REQUESTS} a second, minute or hour, such as 50/s, 100/m or 1000/h`;
  return z.string({ error }).transform((text, context): Rate => {
    const parsed = parseRate(text);
    if (parsed !== null) return parsed;
    context.addIssue({ code: 'custom', message: error });
    return z.NEVER;
  });
}

/** `host:port`, with brackets around an IPv6 address. */
export function listenAddress() {
  return z.string().transform((text, context): ListenAddress => {
    const address = parseListenAddress(text);
    if (address !== null) return address;
    context.addIssue({ code: 'custom', message: 'must be host:port, such as 127.0.0.1:8085 or [::1]:8085' });
    return z.NEVER;
  });
}

/** A socket in the file system: `unix:PATH`. */
export interface UnixAddress {
  /** As the configuration has it: relative to its file, or absolute. */
  readonly path: string;
}

/** sun_path of unix(7) holds 108 bytes with the NUL at its end. */
const MOST_SOCKET_BYTES = 107;

/** `host:port`, or `unix:` and a path. */
export function telemetryAddress() {
  return z.string().transform((text, context): ListenAddress | UnixAddress => {
    const address = parseTelemetryAddress(text);
    if (address !== null) return address;
    context.addIssue({
      code: 'custom',
      message:
        'must be host:port or unix:PATH, such as 127.0.0.1:9095 or unix:/run/registry-token/telemetry.sock',
    });
    return z.NEVER;
  });
}

export function parseTelemetryAddress(text: string): ListenAddress | UnixAddress | null {
  if (!text.startsWith('unix:')) return parseListenAddress(text);
  const path = text.slice('unix:'.length);
  const isPath = path !== '' && !path.includes('\0') && Buffer.byteLength(path) <= MOST_SOCKET_BYTES;
  return isPath ? { path } : null;
}

export function isUnixAddress(address: ListenAddress | UnixAddress): address is UnixAddress {
  return 'path' in address;
}

export function parseListenAddress(text: string): ListenAddress | null {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const valid = bracketed === undefined || isIP(bracketed) === 6;
  return host !== undefined && valid && Number(port) <= 65535 ? { host, port: Number(port) } : null;
}

/** A network in CIDR notation, or one address. */
export interface IpNetwork {
  readonly address: string;
  readonly prefix: number;
  readonly family: 'ipv4' | 'ipv6';
}

/** `127.0.0.1/32`, `fd00::/8`, or an address alone. */
export function ipNetwork() {
  return z.string().transform((text, context): IpNetwork => {
    const [, address = '', length] = /^([0-9A-Fa-f.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
    const version = isIP(address);
    const bits = version === 4 ? 32 : 128;
    const prefix = length === undefined ? bits : Number(length);
    if (version !== 0 && prefix <= bits) return { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' };
    context.addIssue({ code: 'custom', message: 'must be an IP network such as 10.0.0.0/8 or an address' });
    return z.NEVER;
  });
}

/** A URL of Redis; it may hold a password. */
export function redisUrl() {
  return z.string().refine((text) => /^rediss?:$/.test(URL.parse(text)?.protocol ?? ''), {
    error: 'must be a URL such as redis://127.0.0.1:6379 or rediss://user:password@redis.example.com:6380',
  });
}

/** An absolute http or https URL without user information, as written. */
export function httpUrl() {
  return z.string().refine(
    (text) => {
      const url = URL.parse(text);
      return url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.password === '';
    },
    { error: 'must be an http or https URL without user name and password' },
  );
}

/** The name of a header of RFC 9110 §5.1. */
const headerName = z
  .string()
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/, { error: 'must be the name of a header' });

/** The header that holds a client certificate: its name where that implies a format, or both. */
export function certificateHeader() {
  const format = z.enum(certificateFormats).optional();
  return z
    .union([headerName, z.strictObject({ name: headerName, format })], {
      error: 'must be the name of a header, or { name, format }',
    })
    .transform((header, context): CertificateHeader => {
      const { name, format = undefined } = typeof header === 'string' ? { name: header } : header;
      const known = format ?? knownCertificateHeaders.get(name.toLowerCase());
      if (known !== undefined) return { name, format: known };
      const formats = certificateFormats.join(', ');
      context.addIssue({
        code: 'custom',
        message: `must say its format (${formats}) as { name, format }`,
      });
      return z.NEVER;
    });
}
