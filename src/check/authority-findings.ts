/** The Authorities and the realm, asked over the network: reachable, the right ones, and of the same time. */
import { readCertificateAuthorities } from '../assemble/authority.ts';
import { FileReader } from '../assemble/files.ts';
import { acceptedBy, metadataUrls } from '../assemble/options.ts';
import { dateOf, fetchKeySet, fetchMetadata, type Metadata } from '../authority/discovery.ts';
import { type AuthorityKeySet, parseKeySet } from '../authority/key-set.ts';
import type { LoadedConfiguration } from '../config/load.ts';
import { authoritiesOf, type NamedAuthority } from '../config/schema.ts';
import { explainError } from '../platform/errors.ts';
import { excerpt } from '../platform/escape.ts';
import { fetchProxy } from '../platform/proxy.ts';
import type { Finding } from './finding.ts';

const TIMEOUT_MS = 5000;

/** Asks each Authority whose keys are fetched for its metadata and keys. `now` in epoch seconds. */
export async function findAuthorityFaults(
  loaded: LoadedConfiguration,
  now: () => number,
): Promise<Finding[]> {
  const files = new FileReader(loaded);
  const findings = authoritiesOf(loaded.configuration)
    .filter(({ settings }) => settings.jwksPath === undefined)
    .map((authority) => findFaultsOf(authority, readCertificateAuthorities(authority, files), loaded, now));
  return (await Promise.all(findings)).flat();
}

async function findFaultsOf(
  authority: NamedAuthority,
  certificateAuthorities: string | null,
  loaded: LoadedConfiguration,
  now: () => number,
): Promise<Finding[]> {
  const { path, settings } = authority;
  const urls = metadataUrls(settings);
  const http = { certificateAuthorities };
  let metadata: Metadata;
  let keySet: AuthorityKeySet;
  try {
    metadata = await fetchMetadata(urls, settings.issuer, http);
    keySet = parseKeySet(await fetchKeySet(metadata.jwks_uri, http));
  } catch (cause) {
    const fault = cause instanceof Error ? cause.message : 'unknown fault';
    const key = settings.metadataUrl === undefined ? 'issuer' : 'metadataUrl';
    return [
      {
        severity: 'error',
        code: 'authority',
        place: loaded.placeOf([...path, key]),
        fault: `Cannot fetch the keys of ${path.join('.')}: ${fault}`,
        mend: mendOf(fault, path.join('.'), certificateAuthorities !== null),
      },
    ];
  }
  return [
    ...keySet.warnings.map((fault) => keySetWarning(loaded.placeOf([...path, 'issuer']), fault)),
    ...findHopelessTokens(authority, metadata, keySet, loaded),
    ...(await findClockFault(authority, urls[0], certificateAuthorities, loaded, now)),
  ];
}

function keySetWarning(place: string, fault: string): Finding {
  const mend =
    'The Authority must publish public keys only. Anyone who has read the private keys can sign OpToks.';
  return { severity: 'warning', code: 'authority-keys', place, fault, mend };
}

/** Of key sets in files. */
export function findKeySetWarnings(
  loaded: LoadedConfiguration,
  warnings: readonly { readonly authority: string; readonly warning: string }[],
): Finding[] {
  const places = new Map(authoritiesOf(loaded.configuration).map(({ name, path }) => [name, path]));
  return warnings.map(({ authority, warning }) =>
    keySetWarning(loaded.placeOf([...(places.get(authority) ?? []), 'jwksPath']), warning),
  );
}

/** What to change where keys cannot be fetched. */
function mendOf(fault: string, place: string, hasCa: boolean): string {
  if (/ALTNAME/.test(fault))
    return `The certificate of the Authority is for another host name than that of ${place}.issuer: use the name that it is for.`;
  if (/CERT|LEAF_SIGNATURE/.test(fault))
    return hasCa
      ? `${place}.caPath does not hold the certificate authority that signed the certificate of this server.`
      : `Write the certificate authority that signed the certificate of this server into a PEM file, and name it in ${place}.caPath.`;
  return `Correct ${place}.issuer or metadataUrl, or the network in between. Until then the service answers every request with its OpToks with 503. Air-gapped: ${place}.jwksPath.`;
}

/** Settings here and there with which no token of the Authority can pass. */
function findHopelessTokens(
  { path, settings }: NamedAuthority,
  metadata: Metadata,
  keySet: AuthorityKeySet,
  loaded: LoadedConfiguration,
): Finding[] {
  const { senderConstraint } = loaded.configuration;
  const accept = acceptedBy(settings, senderConstraint);
  const findings: Finding[] = [];
  const add = (
    severity: Finding['severity'],
    code: string,
    key: readonly string[],
    fault: string,
    mend: string,
  ) => findings.push({ severity, code, place: loaded.placeOf(key), fault, mend });
  if (!keySet.fits(settings.algorithms))
    add(
      'error',
      'authority-algorithms',
      [...path, 'algorithms'],
      `No key of the Authority is for an algorithm of [${settings.algorithms.join(', ')}]: it has ${keySet.describe()}.`,
      'Add the algorithm of its access tokens, or let the Authority sign with one of the list.',
    );
  const proofAlgorithms = namesIn(metadata.dpop_signing_alg_values_supported);
  const announcesMtls = metadata.tls_client_certificate_bound_access_tokens === true;
  const own = senderConstraint.dpop.algorithms;
  if (accept.includes('none')) return findings;
  if (accept.includes('dpop') && proofAlgorithms !== null && !overlaps(proofAlgorithms, own))
    add(
      accept.includes('mtls') && announcesMtls ? 'warning' : 'error',
      'proof-algorithms',
      ['senderConstraint', 'dpop', 'algorithms'],
      `The Authority accepts proofs signed with ${excerpt(proofAlgorithms.join(', '), 200)}, the service with ${own.join(', ')}: no key works for both.`,
      "Add one of the Authority's algorithms.",
    );
  const announced = [...(proofAlgorithms === null ? [] : ['dpop']), ...(announcesMtls ? ['mtls'] : [])];
  if (!announced.some((constraint) => accept.includes(constraint as 'dpop' | 'mtls')))
    add(
      'warning',
      'authority-binding',
      [...path, 'issuer'],
      `The metadata of the Authority announces ${announced.length === 0 ? 'neither DPoP nor certificate-bound tokens' : announced.join()}; its OpToks must be bound by ${accept.join(' or ')}. Unless it binds them anyway, none is accepted.`,
      'Switch DPoP (RFC 9449) or certificate binding (RFC 8705) on at the Authority.',
    );
  return findings;
}

function namesIn(value: unknown): readonly string[] | null {
  return Array.isArray(value) ? value.filter((name) => typeof name === 'string') : null;
}

/** RFC 9864: EdDSA and Ed25519 are two names of one algorithm. */
function overlaps(theirs: readonly string[], ours: readonly string[]): boolean {
  const plain = (name: string) => (name === 'EdDSA' ? 'Ed25519' : name);
  const names = new Set(ours.map(plain));
  return theirs.some((name) => names.has(plain(name)));
}

/** Compares the clocks by the Authority's `Date`. */
async function findClockFault(
  { path, settings }: NamedAuthority,
  url: string,
  certificateAuthorities: string | null,
  loaded: LoadedConfiguration,
  now: () => number,
): Promise<Finding[]> {
  const date = await askForDate(url, certificateAuthorities);
  if (date === null) return [];
  const ahead = Math.round(date - now());
  if (Math.abs(ahead) <= Math.max(2, settings.clockSkew / 2)) return [];
  return [
    {
      severity: 'warning',
      code: 'clock',
      place: loaded.placeOf([...path, 'clockSkew']),
      fault: `The Authority's clock is ${Math.abs(ahead)} s ${ahead > 0 ? 'ahead of' : 'behind'} this machine's.`,
      mend: 'Synchronize the clocks (NTP): otherwise tokens are not yet valid, or expire too early.',
    },
  ];
}

async function askForDate(url: string, ca: string | null): Promise<number | null> {
  try {
    return dateOf((await ask(url, ca, 'HEAD')).headers);
  } catch {
    return null;
  }
}

/** Asks each realm as a client without credentials would: it answers 401 with our challenge, or a token for nobody. */
export async function findRealmFaults(loaded: LoadedConfiguration): Promise<Finding[]> {
  // A realm's certificate is often of the same certificate authority.
  const files = new FileReader(loaded);
  const certificates = authoritiesOf(loaded.configuration).map((one) =>
    readCertificateAuthorities(one, files),
  );
  const ca = certificates.find((pem) => pem !== null) ?? null;
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
    return `does not answer: ${explainError(cause, 'connect')}.`;
  }
  await response.body?.cancel();
  const challenge = response.headers.get('www-authenticate') ?? '';
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true;
  if (response.status === 200 ? anonymous && isJson : challenge.includes(`realm="${issuer}"`)) return null;
  return `answers ${response.status}, but not like this service.`;
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
