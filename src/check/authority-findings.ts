/** The Authority and the realm, asked over the network: reachable, the right ones, and of the same time. */
import { metadataUrls } from '../assemble/options.ts';
import { fetchKeySet, fetchMetadata } from '../authority/discovery.ts';
import { parseKeySet } from '../authority/key-set.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { errorCode } from '../platform/errors.ts';
import { fetchProxy } from '../platform/proxy.ts';
import type { Finding } from './finding.ts';

const TIMEOUT_MS = 5000;

/** Asks the Authority for its metadata and keys, unless the keys come from a file. `now` in epoch seconds. */
export async function findAuthorityFaults(
  loaded: LoadedConfiguration,
  certificateAuthorities: string | null,
  now: () => number,
): Promise<Finding[]> {
  const { authority } = loaded.configuration;
  if (authority.jwksPath !== undefined) return [];
  const urls = metadataUrls(loaded.configuration);
  const findings: Finding[] = [];
  try {
    const http = { certificateAuthorities };
    const metadata = await fetchMetadata(urls, authority.issuer, http);
    const { warnings } = parseKeySet(await fetchKeySet(metadata.jwks_uri, http));
    findings.push(...warnings.map((fault) => keySetFinding(loaded, fault)));
  } catch (cause) {
    return [
      {
        severity: 'error',
        code: 'authority',
        place: loaded.placeOf(['authority', authority.metadataUrl === undefined ? 'issuer' : 'metadataUrl']),
        fault: `Cannot fetch the Authority's keys: ${cause instanceof Error ? cause.message : 'unknown fault'}`,
        mend: 'Correct authority.issuer or metadataUrl, or the network in between; until then the service answers every request with 503. Air-gapped: authority.jwksPath.',
      },
    ];
  }
  return [...findings, ...(await findClockFault(loaded, urls[0], certificateAuthorities, now))];
}

function keySetFinding(loaded: LoadedConfiguration, fault: string): Finding {
  return {
    severity: 'warning',
    code: 'authority-keys',
    place: loaded.placeOf(['authority', 'issuer']),
    fault,
    mend: 'The Authority must publish public keys only; whoever has read the private ones can sign OpToks.',
  };
}

/** Compares the clocks by the Authority's `Date`. */
async function findClockFault(
  loaded: LoadedConfiguration,
  url: string,
  certificateAuthorities: string | null,
  now: () => number,
): Promise<Finding[]> {
  const date = await dateOf(url, certificateAuthorities);
  if (date === null) return [];
  const ahead = Math.round(date - now());
  if (Math.abs(ahead) <= Math.max(2, loaded.configuration.authority.clockSkew / 2)) return [];
  return [
    {
      severity: 'warning',
      code: 'clock',
      place: loaded.placeOf(['authority', 'clockSkew']),
      fault: `The Authority's clock is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} this machine's.`,
      mend: 'Synchronize the clocks (NTP): otherwise tokens are not yet valid, or expire too early.',
    },
  ];
}

async function dateOf(url: string, ca: string | null): Promise<number | null> {
  try {
    const response = await ask(url, ca, 'HEAD');
    const time = Date.parse(response.headers.get('date') ?? '');
    return Number.isNaN(time) ? null : time / 1000;
  } catch {
    return null;
  }
}

/** Asks each realm as a client without credentials would: it answers 401 with our challenge, or a token for nobody. */
export async function findRealmFaults(loaded: LoadedConfiguration, ca: string | null): Promise<Finding[]> {
  const { registry, signing, anonymousPlan } = loaded.configuration;
  const service = registry.allowedServices?.[0] ?? 'registry';
  const findings: Finding[] = [];
  for (const [index, realm] of registry.realm.entries()) {
    const fault = await askRealm(
      `${realm}${realm.includes('?') ? '&' : '?'}service=${encodeURIComponent(service)}`,
      signing.issuer,
      anonymousPlan !== undefined,
      ca,
    );
    if (fault === null) continue;
    const place = loaded.placeOf(['registry', 'realm', index]);
    findings.push({
      severity: 'warning',
      code: 'realm',
      place,
      fault: `${realm} ${fault}`,
      mend: 'Is the service running, and does the proxy in front of it send this path to it?',
    });
  }
  return findings;
}

async function askRealm(
  url: string,
  issuer: string,
  anonymous: boolean,
  ca: string | null,
): Promise<string | null> {
  let response: Response;
  try {
    response = await ask(url, ca, 'GET');
  } catch (cause) {
    const code = errorCode(cause, 'no answer');
    return `does not answer (${code}).`;
  }
  await response.body?.cancel();
  const challenge = response.headers.get('www-authenticate') ?? '';
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  if (response.status === 200 ? anonymous && isJson : challenge.includes(`realm="${issuer}"`)) return null;
  return `answers ${response.status}, but not as this service does.`;
}

function ask(url: string, ca: string | null, method: 'GET' | 'HEAD'): Promise<Response> {
  return fetch(url, {
    method,
    redirect: 'manual',
    signal: AbortSignal.timeout(TIMEOUT_MS),
    ...fetchProxy(new URL(url), undefined),
    ...(ca === null ? {} : { tls: { ca } }),
  });
}
