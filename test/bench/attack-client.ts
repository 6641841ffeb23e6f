/** The clients of an attack, good and bad, and what they hold against the service. */
import { randomBytes } from 'node:crypto';
import { createKey, type TestKey } from '../support/keys.ts';
import { openSocket } from '../support/raw-client.ts';
import { opTokMembers, proofMembers, SERVICE, signWith } from '../support/tokens.ts';
import { type AttackedService, between, licenseOf, pick } from './attack-service.ts';

export interface AttackClients {
  /** One request of a random kind. Resolves when it is answered or lost. */
  readonly act: () => Promise<void>;
  /** A request of a client that did nothing wrong: the status, or why there is none. */
  readonly askOnce: () => Promise<string>;
  /** Sends the last proofs that were accepted once more. */
  readonly replayLast: (count: number) => Promise<void>;
  /** From now until the returned function is called, answers may be missing and 503. */
  readonly disturb: () => () => void;
  readonly fault: (rule: string, example: string) => void;
  readonly ledger: Ledger;
}

export interface Ledger {
  /** By kind of request and status; `lost`: no answer during a disturbance. */
  readonly answers: Record<string, Record<string, number>>;
  readonly faults: Record<string, { readonly count: number; readonly examples: readonly string[] }>;
}

interface Sent {
  readonly opTok: string;
  readonly proof: string;
  readonly license: number;
  accepted: number;
}

interface Answer {
  readonly status: number;
  readonly nonce: string | null;
  readonly token: string | null;
}

const CLIENTS = 5;
const ANSWER_MS = 30_000;
const OP_TOK_MS = 120_000;
/** Of what is answered late because of a disturbance that has just ended. */
const AFTERMATH_MS = 3000;
/** Of a header, in which base64url makes 7 KB of it; a proof has at most 8. */
const JUNK_LENGTH = 5200;
const EXPECTED = new Set([200, 401, 403]);
/** 204 is Bun's answer where the thread that was to answer has died. */
const DISTURBED = new Set([204, 503]);
const SCOPE = 'repository:public/a:pull';
const FORM = 'application/x-www-form-urlencoded';

/** `longestBodyMs`: how long the body of a POST takes at most. */
export async function createAttackClients(
  service: AttackedService,
  longestBodyMs: number,
  signal: AbortSignal,
): Promise<AttackClients> {
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => createKey('ES256')));
  const ledger: Ledger = { answers: {}, faults: {} };
  const used: Sent[] = [];
  const opToks = new Map<string, { readonly text: string; readonly until: number }>();
  const nonces: string[] = [];
  const published = new Set<string>();
  let disturbances = 0;
  let disturbedUntil = 0;

  const count = (kind: string, status: string | number) => {
    const answers = ledger.answers[kind] ?? {};
    ledger.answers[kind] = { ...answers, [status]: (answers[status] ?? 0) + 1 };
  };
  const fault = (rule: string, example: string) => {
    const { count, examples } = ledger.faults[rule] ?? { count: 0, examples: [] };
    ledger.faults[rule] = { count: count + 1, examples: [...examples, example].slice(0, 5) };
  };
  // A Redis that has no turn within a second on a busy machine is lost too, and the log says so.
  const isDisturbed = (since: number) =>
    disturbances > 0 || Math.max(disturbedUntil, service.storeLostAt() + AFTERMATH_MS) > since;

  const opTokOf = (client: TestKey, license: number): string => {
    const name = `${client.thumbprint} ${license}`;
    const known = opToks.get(name);
    if (known !== undefined && known.until > performance.now()) return known.text;
    const members = opTokMembers(service.authorityKey, client, Date.now() / 1000);
    const text = signWith(members, service.authorityKey, {
      claims: { 'stellaops:license': licenseOf(license) },
    });
    opToks.set(name, { text, until: performance.now() + OP_TOK_MS });
    return text;
  };
  const make = (client: TestKey, license: number, header = {}, claims = {}): Sent => {
    const opTok = opTokOf(client, license);
    const now = Date.now() / 1000;
    const members = proofMembers(client, opTok, now);
    return {
      opTok,
      license,
      proof: signWith(members, client, {
        header: { ...members.header, ...header },
        // Ahead by more than some configurations accept, and others accept later.
        claims: { iat: Math.floor(now + between(-5, pick([0, 0, 20, 55]))), ...claims },
      }),
      accepted: 0,
    };
  };
  /** Half of them revoked, and more often lately than long ago. */
  const someLicense = () => {
    const revoked = service.revoked();
    if (revoked === 0 || Math.random() < 0.6) return revoked + 1 + Math.floor(Math.random() * 20);
    return revoked - Math.min(revoked - 1, Math.floor(Math.random() ** 2 * 30));
  };

  /** Of an earlier answer, mostly the last one; also of a life of the service that is over. */
  const someNonce = (probability: number) => {
    if (nonces.length === 0 || Math.random() > probability) return {};
    return { nonce: Math.random() < 0.7 ? nonces.at(-1) : pick(nonces) };
  };

  const judge = async (
    kind: string,
    sent: Sent,
    inForce: number,
    since: number,
    ask: () => Promise<Answer>,
  ) => {
    const began = performance.now();
    let answer: Answer;
    try {
      answer = await ask();
    } catch (cause) {
      if (signal.aborted) return null;
      count(kind, 'lost');
      if (!isDisturbed(since))
        fault(
          'every request is answered',
          `${kind}: ${String(cause)} after ${Math.round(performance.now() - began)} ms`,
        );
      return null;
    }
    const { status, token } = answer;
    count(kind, status);
    const isExpected = EXPECTED.has(status) || (DISTURBED.has(status) && isDisturbed(since));
    if (!isExpected) fault('every answer is one of this service in good order', `${kind}: ${status}`);
    if (status !== 200) return answer;
    sent.accepted += 1;
    if (sent.accepted === 1) used.push(sent);
    else fault('no proof is accepted twice', `${kind}: ${sent.accepted} times`);
    if (sent.license <= inForce)
      fault(
        'no token for a licence that was revoked',
        `${kind}: ${licenseOf(sent.license)}, ${inForce} in force`,
      );
    if (token !== null) await checkPublished(token);
    return answer;
  };
  const checkPublished = async (token: string) => {
    const { kid } = JSON.parse(Buffer.from(token.split('.', 1)[0] ?? '', 'base64url').toString());
    if (published.has(kid)) return;
    const since = performance.now();
    try {
      const answer = await fetch(`${service.url}/.well-known/jwks.json`, { keepalive: false });
      for (const key of ((await answer.json()) as { keys: { kid: string }[] }).keys) published.add(key.kid);
      if (!published.has(kid)) fault('every key that signs is published', kid);
    } catch (cause) {
      if (!isDisturbed(since)) fault('every request is answered', `jwks: ${String(cause)}`);
    }
  };
  const get = (kind: string, sent: Sent) =>
    judge(kind, sent, service.revokedInForce(), performance.now(), () => getToken(service.url, sent));

  /** As RFC 9449 clients do: once more with the nonce of the answer. */
  const askGood = async (kind: string, header = {}): Promise<Answer | null> => {
    const client = pick(clients);
    const license = someLicense();
    const answer = await get(kind, make(client, license, header, someNonce(0.2)));
    if (answer?.status !== 401 || answer.nonce === null) return answer;
    nonces.push(answer.nonce);
    return get(`${kind}, with nonce`, make(client, license, header, { nonce: answer.nonce }));
  };
  const replay = async (kind: string, sent: Sent | undefined) => {
    if (sent !== undefined) await get(kind, sent);
  };

  const kinds: readonly (readonly [number, () => Promise<unknown>])[] = [
    [50, () => askGood('good')],
    [
      10,
      () => askGood('junk in the header', { junk: randomBytes(JUNK_LENGTH * 0.75).toString('base64url') }),
    ],
    [
      10,
      () => {
        const sent = make(pick(clients), someLicense(), {}, someNonce(0.7));
        return Promise.all(Array.from({ length: 3 }, () => get('same proof at once', sent)));
      },
    ],
    [15, () => replay('replay, soon', used[used.length - 1 - Math.floor(Math.random() * 300)])],
    [10, () => replay('replay, whenever', used[Math.floor(Math.random() * used.length)])],
    [
      3,
      () => {
        const { opTok, license } = make(pick(clients), someLicense());
        const proof = randomBytes(between(1, 6000)).toString('base64url');
        return get('no proof at all', { opTok, license, proof, accepted: 0 });
      },
    ],
    [
      2,
      () => {
        const client = pick(clients);
        const sent = make(
          client,
          service.revoked() + 1 + Math.floor(Math.random() * 2),
          {},
          { htm: 'POST', ...someNonce(0.7) },
        );
        const since = performance.now();
        let inForce = 0;
        const finishing = () => {
          inForce = service.revokedInForce();
        };
        return judge('slow body', sent, 0, since, async () => {
          const answer = await postSlowly(service.url, sent, between(0, longestBodyMs), finishing);
          if (answer.status === 200 && sent.license <= inForce)
            fault(
              'no token for a licence that was revoked',
              `slow body: ${licenseOf(sent.license)}, ${inForce} in force`,
            );
          return answer;
        });
      },
    ],
  ];
  const whole = kinds.reduce((sum, [weight]) => sum + weight, 0);

  return {
    ledger,
    fault,
    act: async () => {
      let rest = Math.random() * whole;
      for (const [weight, run] of kinds) {
        rest -= weight;
        if (rest < 0) return void (await run());
      }
    },
    askOnce: async () => {
      try {
        const client = pick(clients);
        const iat = Math.floor(Date.now() / 1000);
        const first = await getToken(service.url, make(client, service.revoked() + 1000, {}, { iat }));
        if (first.status !== 401 || first.nonce === null) return String(first.status);
        const again = make(client, service.revoked() + 1000, {}, { iat, nonce: first.nonce });
        return String((await getToken(service.url, again)).status);
      } catch (cause) {
        return cause instanceof Error ? cause.name : 'unknown fault';
      }
    },
    replayLast: async (most) => {
      const last = used.slice(-most);
      for (let index = 0; index < last.length && !signal.aborted; index += 10)
        await Promise.all(last.slice(index, index + 10).map((sent) => get('replay, at the end', sent)));
    },
    disturb: () => {
      disturbances += 1;
      let hasEnded = false;
      return () => {
        if (hasEnded) return;
        hasEnded = true;
        disturbances -= 1;
        disturbedUntil = performance.now() + AFTERMATH_MS;
      };
    },
  };
}

async function getToken(url: string, { opTok, proof }: Sent): Promise<Answer> {
  const query = new URLSearchParams({ service: SERVICE, scope: SCOPE });
  const response = await fetch(`${url}/token?${query}`, {
    headers: { Authorization: `DPoP ${opTok}`, DPoP: proof },
    keepalive: false,
    signal: AbortSignal.timeout(ANSWER_MS),
  });
  const text = await response.text();
  const token = response.status === 200 ? (JSON.parse(text) as { token: string }).token : null;
  return { status: response.status, nonce: response.headers.get('dpop-nonce'), token };
}

/** The last byte of the body comes `pauseMs` after the others; `finishing` is called just before it. */
function postSlowly(
  url: string,
  { opTok, proof }: Sent,
  pauseMs: number,
  finishing: () => void,
): Promise<Answer> {
  const body = new URLSearchParams({ service: SERVICE, scope: SCOPE }).toString();
  const head = [
    'POST /token HTTP/1.1',
    `Host: ${new URL(url).host}`,
    `Authorization: DPoP ${opTok}`,
    `DPoP: ${proof}`,
    `Content-Type: ${FORM}`,
    `Content-Length: ${body.length}`,
    'Connection: close',
  ].join('\r\n');
  return new Promise((resolve, reject) => {
    const socket = openSocket({ port: Number(new URL(url).port), tls: false });
    let received = '';
    const last = setTimeout(() => {
      finishing();
      socket.write(body.slice(-1));
    }, pauseMs);
    const limit = setTimeout(() => socket.destroy(), ANSWER_MS);
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
    });
    socket.write(`${head}\r\n\r\n${body.slice(0, -1)}`);
    socket.once('close', () => {
      clearTimeout(last);
      clearTimeout(limit);
      const status = Number(/^HTTP\/1\.1 (\d+)/.exec(received)?.[1] ?? 0);
      if (status === 0) reject(new Error('closed without an answer'));
      else resolve({ status, nonce: /^dpop-nonce: (.*)$/im.exec(received)?.[1] ?? null, token: null });
    });
  });
}
