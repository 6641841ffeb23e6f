/** Any text in header, query and form: never a fault, and never a token that was not asked for with good credentials. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { type Answer, send } from '../support/ask.ts';
import { createHarness, withCertificate } from '../support/service.ts';
import { decodePart, REALM, SERVICE, sha256 } from '../support/tokens.ts';

const der = Buffer.from('a certificate');
const shown = withCertificate(der);
const harness = await createHarness({ replayStore: MemoryReplayStore.create(100_000, 0) });
const opTok = harness.opTok();
const certified = harness.opTok({ claims: { cnf: { 'x5t#S256': sha256(der) } } });
const runs = { numRuns: 600 };

/** What a header can hold: visible characters, spaces, tabs and Latin-1. */
const headerText = fc.string({
  unit: fc.oneof(
    fc.constantFrom(' ', ',', ':', '"', '=', '.', '\t'),
    fc.integer({ min: 0x20, max: 0xff }).map((code) => String.fromCharCode(code === 0x7f ? 0x20 : code)),
  ),
  maxLength: 60,
});

function expectNoFault({ status, decision }: Answer): void {
  expect(decision.fault).toBeNull();
  expect([200, 400, 401, 403, 413, 415]).toContain(status);
}

test('any Authorization and DPoP headers', async () => {
  let issued = 0;
  const scheme = fc.constantFrom('', 'DPoP ', 'Bearer ', 'Basic ', 'bearer  ', 'DPoP');
  const part = fc.oneof({ weight: 2, arbitrary: fc.constant('') }, { weight: 1, arbitrary: headerText });
  const proofText = fc.option(fc.oneof(headerText, fc.constant('good')), { nil: null });
  await fc.assert(
    fc.asyncProperty(
      scheme,
      part,
      fc.constantFrom('', opTok, certified),
      part,
      proofText,
      async (word, before, token, after, proof) => {
        const authorization = `${word}${before}${token}${after}`;
        const headers = new Headers({ Authorization: authorization });
        if (proof !== null) headers.set('DPoP', proof === 'good' ? harness.proof(opTok) : proof);
        const request = new Request(`${REALM}?service=${SERVICE}`, { headers });
        const answer = await send(harness, request, { opTok: token, proof: null }, shown);
        expectNoFault(answer);
        if (answer.status !== 200) return;
        issued += 1;
        const plain = (headers.get('authorization') ?? '').trim().toLowerCase().replace(/ +/, ' ');
        const expected = [`dpop ${opTok}`, `bearer ${opTok}`, `bearer ${certified}`].map((text) =>
          text.toLowerCase(),
        );
        expect(expected).toContain(plain);
      },
    ),
    runs,
  );
  expect(issued).toBeGreaterThan(0);
});

const parameterName = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('service', 'scope', 'account', 'client_id', 'offline_token', 'Scope', ''),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 10 }) },
);
const parameterValue = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      SERVICE,
      'repository:public/a:pull',
      'repository:public/b:push',
      'registry:catalog:*',
      '',
      ' ',
    ),
  },
  { weight: 1, arbitrary: fc.string({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 20 }) },
);
const parameters = fc.array(fc.tuple(parameterName, parameterValue), { maxLength: 6 });

/** What was granted was asked for, and for the service that was named, once. */
function expectGrantedAsAsked(answer: Answer, asked: URLSearchParams): void {
  expectNoFault(answer);
  if (answer.status !== 200) return;
  expect(asked.getAll('service')).toEqual([SERVICE]);
  const { aud, access } = decodePart(String(answer.body.token), 1);
  expect(aud).toBe(SERVICE);
  const scopes = new Set(
    asked
      .getAll('scope')
      .flatMap((scope) => scope.split(' '))
      .filter((scope) => scope !== ''),
  );
  const granted = (access as { type: string; name: string; actions: string[] }[]).map(
    ({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`,
  );
  expect(new Set(granted)).toEqual(scopes);
  expect(granted.filter((scope) => scope !== 'repository:public/a:pull')).toEqual([]);
}

test('any query', async () => {
  let issued = 0;
  await fc.assert(
    fc.asyncProperty(fc.boolean(), parameters, fc.string({ maxLength: 20 }), async (named, pairs, tail) => {
      const start = named ? `service=${SERVICE}&` : '';
      const raw = encodeURI(tail.toWellFormed()).replaceAll('#', '%23');
      const query = `${start}${new URLSearchParams(pairs)}&${raw}`;
      const headers = { Authorization: `DPoP ${opTok}`, DPoP: harness.proof(opTok) };
      const answer = await send(harness, new Request(`${REALM}?${query}`, { headers }));
      expectGrantedAsAsked(answer, new URLSearchParams(query));
      if (answer.status === 200) issued += 1;
    }),
    runs,
  );
  expect(issued).toBeGreaterThan(20);
});

const post = (body: string | Uint8Array, headers: Record<string, string>) => {
  const all = { 'Content-Type': 'application/x-www-form-urlencoded', ...headers };
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  return send(harness, new Request(REALM, { method: 'POST', headers: all, body: bytes }), undefined, shown);
};

test('any form', async () => {
  let issued = 0;
  const credential = fc.constantFrom<[string, string][]>(
    [],
    [
      ['grant_type', 'password'],
      ['password', certified],
    ],
    [
      ['grant_type', 'refresh_token'],
      ['refresh_token', certified],
    ],
    [
      ['grant_type', 'password'],
      ['password', opTok],
    ],
    [
      ['grant_type', 'password'],
      ['refresh_token', certified],
    ],
    [['password', certified]],
  );
  await fc.assert(
    fc.asyncProperty(credential, parameters, fc.boolean(), async (credentials, pairs, named) => {
      const service: [string, string][] = named ? [['service', SERVICE]] : [];
      const form = new URLSearchParams([...service, ...credentials, ...pairs]);
      const answer = await post(form.toString(), {});
      expectGrantedAsAsked(answer, form);
      if (answer.status !== 200) return;
      issued += 1;
      const grantType = form.get('grant_type') ?? '';
      expect(form.getAll(grantType)).toEqual([certified]);
    }),
    runs,
  );
  expect(issued).toBeGreaterThan(20);
});

test('any bytes for a body, and any media type', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.option(headerText, { nil: undefined }),
      async (body, type) => {
        const proof = harness.proof(opTok, { claims: { htm: 'POST' } });
        const credentials = { Authorization: `DPoP ${opTok}`, DPoP: proof };
        const answer = await post(
          body,
          type === undefined ? credentials : { ...credentials, 'Content-Type': type },
        );
        expectNoFault(answer);
        expect(answer.status).not.toBe(200);
      },
    ),
    runs,
  );
});
