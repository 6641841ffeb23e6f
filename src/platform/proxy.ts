/** The proxy that a request goes through, by the usual environment variables, and how it is told apart from the server. */
import { errorCode } from './errors.ts';
import { excerpt } from './escape.ts';
import { isLoopback } from './loopback.ts';

export interface Proxy {
  /** The variable that names it: `HTTPS_PROXY`. */
  readonly variable: string;
  /** May hold a user name and a password. */
  readonly url: string;
}

/** null for a request that goes straight to the server. */
export type Proxies = (target: URL) => Proxy | null;

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * As curl reads them: `HTTPS_PROXY` for https, `HTTP_PROXY` for http, else `ALL_PROXY`, but for the hosts of `NO_PROXY`: names,
 * which count for the names below them too, addresses, each with or without a port, or `*`. Either case of each variable, the
 * lower one first. Never for loopback: what is on this machine is not the proxy's business.
 */
export function proxiesOf(env: Environment): Proxies {
  const excluded = (readVariable(env, 'NO_PROXY')?.value ?? '')
    .split(/[\s,]+/)
    .filter((entry) => entry !== '');
  return (target) => {
    if (isLoopback(target.hostname) || excluded.some((entry) => covers(entry, target))) return null;
    const found =
      readVariable(env, target.protocol === 'http:' ? 'HTTP_PROXY' : 'HTTPS_PROXY') ??
      readVariable(env, 'ALL_PROXY');
    if (found === null) return null;
    const { variable, value } = found;
    return { variable, url: /^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}` };
  };
}

/** Each proxy variable that is set, for the log: without user names and passwords. */
export function describeProxies(env: Environment): readonly string[] {
  return ['HTTPS_PROXY', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY'].flatMap((name) => {
    const found = readVariable(env, name);
    if (found === null) return [];
    const { variable, value } = found;
    return [`${variable}=${name === 'NO_PROXY' ? excerpt(value) : shownProxy(value)}`];
  });
}

/** For `fetch`. Without `proxies` Bun reads the variables itself, loopback excepted. */
export function fetchProxy(target: URL, proxies: Proxies | undefined): { readonly proxy?: string | false } {
  if (proxies === undefined) return isLoopback(target.hostname) ? { proxy: false } : {};
  return { proxy: proxies(target)?.url ?? false };
}

const PROXY_FAULTS = [
  'ECONNREFUSED',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'UnsupportedProxyProtocol',
  'ERR_INVALID_ARG_VALUE',
];

/** The beginning of a sentence about a request that got no answer: who failed, as far as that can be told. */
export function whoFailed(target: string, proxy: Proxy | null, cause: unknown): string {
  if (proxy === null) return `${target} did not answer`;
  const name = `the proxy ${shownProxy(proxy.url)} (${proxy.variable})`;
  const code = errorCode(cause, '');
  // An https server behind a proxy is reached through a tunnel, so an answer to this is the proxy's own.
  if (code === 'ERR_PROXY_TUNNEL' && cause instanceof Error)
    return `${name} opened no connection to ${target} (${excerpt(cause.message.replace(/^.*: /s, ''), 60)})`;
  if (PROXY_FAULTS.includes(code)) return `${name}, through which ${target} is asked, cannot be used`;
  return `${target} did not answer through ${name}`;
}

function shownProxy(value: string): string {
  const url = URL.parse(/^[a-z][a-z\d+.-]*:\/\//i.test(value) ? value : `http://${value}`);
  return url === null || url.host === '' ? 'that is not a URL' : excerpt(`${url.protocol}//${url.host}`);
}

function readVariable(
  env: Environment,
  name: string,
): { readonly variable: string; readonly value: string } | null {
  for (const variable of [name.toLowerCase(), name]) {
    const value = env[variable]?.trim() ?? '';
    if (value !== '') return { variable, value };
  }
  return null;
}

function covers(entry: string, { protocol, port, hostname }: URL): boolean {
  if (entry === '*') return true;
  const [, name = '', entryPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
  const usual = protocol === 'http:' ? '80' : '443';
  if (name === '' || (entryPort !== undefined && entryPort !== (port === '' ? usual : port))) return false;
  const domain = name.replace(/^\*?\./, '');
  return hostname === domain || hostname.endsWith(`.${domain}`);
}
