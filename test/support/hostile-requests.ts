/** What a stranger may send: plain descriptions, made by fast-check of a seed, and turned into requests when sent. */
import fc from 'fast-check';
import {
  makeOpTok,
  makeProof,
  type OpTokKind,
  opTokKinds,
  type ProofKind,
  proofKinds,
  type Stranger,
} from './hostile-credentials.ts';
import { SERVICE } from './tokens.ts';

/** A request in words: the credentials are made when it is sent, because they hold the time. */
export interface HostileRequest {
  readonly method: string;
  readonly target: string;
  readonly scheme: string;
  readonly opTok: OpTokKind;
  readonly proof: ProofKind;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string | null;
  readonly address: string;
  readonly certificate: Uint8Array | null;
  readonly garbage: string;
}

const visible = fc
  .string({ unit: 'binary-ascii', maxLength: 60 })
  .map((text) => text.replace(/[^\x20-\x7e]/g, '~'));
const text = fc.string({ unit: 'binary', maxLength: 40 });
const repeated = (unit: string, longest: number) => fc.nat(longest).map((count) => unit.repeat(count));

const paths = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('/token', '/auth/token') },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[
        '//token',
        '/token/',
        '/TOKEN',
        '/%74oken',
        '/token;a=b',
        '/./token',
        '/x/../token',
        '/token%00',
        '/',
      ],
      ...['/healthz', '/readyz', '/metrics', '/.well-known/jwks.json', '/favicon.ico', '/v2/'],
    ),
  },
  { weight: 1, arbitrary: visible.map((path) => `/${path}`) },
  { weight: 1, arbitrary: repeated('/a', 2000) },
);

const scope = fc.oneof(
  fc.constantFrom(
    ...['repository:public/a:pull', 'repository:public/a:pull,push', 'registry:catalog:*', 'a:b', '::', ''],
    ...[
      'repository(plugin):public/a:pull',
      'repository:../../etc:pull',
      'repository:PUBLIC/a:pull',
      'repository:a:*',
    ],
  ),
  text,
  repeated('repository:public/a:pull ', 200),
  repeated('a/', 1000).map((name) => `repository:${name}a:pull`),
  fc.nat(200).map((count) => Array.from({ length: count }, (_, at) => `repository:r${at}:pull`).join(' ')),
);

const parameter = fc.oneof(
  { weight: 4, arbitrary: fc.constant(['service', SERVICE] as const) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('service'), fc.oneof(text, visible)) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('scope'), scope) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constantFrom('grant_type', 'password', 'refresh_token', 'account', 'client_id', 'offline_token'),
      fc.oneof(fc.constantFrom('password', 'refresh_token', 'true', ''), text),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(text, text) },
);

const query = fc.oneof(
  { weight: 5, arbitrary: fc.array(parameter, { maxLength: 5 }).map(encodeParameters) },
  { weight: 1, arbitrary: visible },
  { weight: 1, arbitrary: fc.constantFrom('%', '%zz', 'service=%ff%fe', '&&&&', '?', 'service', '=') },
);

const addresses = fc.constantFrom(
  '192.0.2.7',
  '203.0.113.1',
  '2001:db8::1',
  '::ffff:192.0.2.7',
  '127.0.0.1',
  'unknown',
);

const header = fc.oneof(
  fc.tuple(
    fc.constantFrom('Client-Cert', 'X-SSL-Client-Cert', 'Client-Cert-Chain'),
    fc.oneof(
      visible,
      fc.base64String({ maxLength: 200 }).map((value) => `:${value}:`),
    ),
  ),
  fc.tuple(
    fc.constantFrom('X-Forwarded-For', 'Forwarded', 'X-Real-IP', 'X-Forwarded-Proto'),
    fc.oneof(addresses, visible),
  ),
  fc.tuple(
    fc.constantFrom(
      'Content-Type',
      'Accept',
      'Accept-Encoding',
      'Origin',
      'Cookie',
      'Range',
      'If-None-Match',
    ),
    fc.oneof(
      fc.constantFrom(
        'application/x-www-form-urlencoded',
        'application/json',
        'multipart/form-data; boundary=a',
        '*/*',
      ),
      visible,
    ),
  ),
  fc.tuple(fc.stringMatching(/^[A-Za-z][A-Za-z-]{0,20}$/), visible),
  fc.tuple(fc.constantFrom('DPoP-Nonce', 'WWW-Authenticate', '__proto__', 'constructor'), visible),
);

const body = fc.oneof(
  fc.constant(null),
  fc.array(parameter, { maxLength: 6 }).map(encodeParameters),
  text,
  fc.constantFrom('\u00ff\u00fe', '{"service":"a"}', '&=&=&', 'service=%ff'),
  fc.constantFrom(60_000, 66_000, 200_000).map((size) => `service=${'a'.repeat(size)}`),
);

const methods = fc.oneof(
  { weight: 8, arbitrary: fc.constant('GET') },
  { weight: 5, arbitrary: fc.constant('POST') },
  { weight: 2, arbitrary: fc.constantFrom('HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH') },
);

const credentials = {
  scheme: fc.oneof(
    { weight: 8, arbitrary: fc.constant('DPoP') },
    { weight: 4, arbitrary: fc.constantFrom('Bearer', 'Basic', 'dpop', 'BEARER') },
    { weight: 1, arbitrary: fc.constantFrom('Digest', 'Negotiate', '', 'DPoP,', 'Bearer Bearer', ':') },
  ),
  opTok: fc.oneof(
    { weight: 2, arbitrary: fc.constant<OpTokKind>('stolen') },
    { weight: 3, arbitrary: fc.constantFrom(...opTokKinds) },
  ),
  proof: fc.constantFrom(...proofKinds),
  garbage: fc.oneof(visible, fc.base64String({ maxLength: 300 })),
  address: addresses,
  certificate: fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 300 })),
};

/** Only the credentials are bad, so that they are what is looked at. */
const tidyRequest: fc.Arbitrary<HostileRequest> = fc
  .record({
    ...credentials,
    method: fc.constantFrom('GET', 'GET', 'POST'),
    path: fc.constantFrom('/token', '/auth/token'),
    scope: fc.constantFrom(
      '',
      '&scope=repository:public/a:pull',
      '&scope=repository:public/a:pull%20registry:catalog:*',
    ),
  })
  .map(({ method, path, scope, ...rest }) => {
    const parameters = `service=${SERVICE}${scope}`;
    const target = method === 'GET' ? `${path}?${parameters}` : path;
    return { ...rest, method, target, headers: [], body: method === 'GET' ? null : parameters };
  });

/** Everything may be bad. */
const wildRequest: fc.Arbitrary<HostileRequest> = fc.record({
  ...credentials,
  method: methods,
  target: fc.tuple(paths, query).map(([path, parameters]) => `${path}?${parameters}`),
  headers: fc.array(header, { maxLength: 4 }),
  body,
});

const hostileRequest = fc.oneof({ weight: 2, arbitrary: tidyRequest }, { weight: 1, arbitrary: wildRequest });

/** The same requests for the same seed. */
export function createHostileRequests(seed: number, count: number): HostileRequest[] {
  return fc.sample(hostileRequest, { seed, numRuns: count });
}

/** The header fields with their credentials, in order; the same name may come twice. */
export function fieldsOf(request: HostileRequest, stranger: Stranger): [name: string, value: string][] {
  const { method, garbage } = request;
  const opTok = makeOpTok(request.opTok, garbage, stranger);
  const proof = makeProof(request.proof, { method, garbage, opTok: opTok ?? stranger.stolenOpTok }, stranger);
  const fields: [string, string][] = request.headers.map(([name, value]) => [name, value.trim()]);
  if (method === 'POST') fields.unshift(['Content-Type', 'application/x-www-form-urlencoded']);
  if (opTok !== null) fields.push(['Authorization', authorizationOf(request.scheme, opTok)]);
  if (proof !== null) fields.push(['DPoP', proof]);
  return fields;
}

/** The body as it is sent; null for methods that have none. */
export function bodyOf(request: HostileRequest): Buffer | null {
  if (request.body === null || request.method === 'GET' || request.method === 'HEAD') return null;
  return Buffer.from(request.body, 'latin1');
}

function authorizationOf(scheme: string, opTok: string): string {
  return scheme === 'Basic'
    ? `Basic ${Buffer.from(`user:${opTok}`).toString('base64')}`
    : `${scheme} ${opTok}`.trim();
}

function encodeParameters(parameters: readonly (readonly [string, string])[]): string {
  const pair = ([name, value]: readonly [string, string]) =>
    `${encodeURIComponent(name.toWellFormed())}=${encodeURIComponent(value.toWellFormed())}`;
  return parameters.map(pair).join('&');
}
