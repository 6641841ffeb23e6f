/** One question to the service and everything that is known of its answer. */
import { expect } from 'bun:test';
import type { Reason } from '../../src/refusal.ts';
import type { ClientConnection } from '../../src/request/client-connection.ts';
import type { Decision } from '../../src/service.ts';
import { type Harness, noCertificate } from './service.ts';
import { REALM, SERVICE } from './tokens.ts';
import { loadVectors } from './vectors.ts';

export interface Question {
  readonly method?: 'GET' | 'POST';
  readonly url?: string;
  readonly service?: string | null;
  readonly scopes?: readonly string[];
  /** How the OpTok is brought; default DPoP. */
  readonly scheme?: 'DPoP' | 'Bearer' | 'Basic' | 'form' | 'none';
  /** Default: a good one. */
  readonly opTok?: string;
  /** Default: a good one for the OpTok; null for none. */
  readonly proof?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly connection?: ClientConnection;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly decision: Decision;
  readonly question: { readonly opTok: string; readonly proof: string | null };
}

export async function ask(harness: Harness, question: Question = {}): Promise<Answer> {
  const method = question.method ?? 'GET';
  const opTok = question.opTok ?? harness.opTok();
  const proof =
    question.proof === undefined ? harness.proof(opTok, { claims: { htm: method } }) : question.proof;
  const request = createRequest(question, method, opTok, proof);
  const response = await harness.handle(request, question.connection ?? noCertificate);
  return readAnswer(harness, response, { opTok, proof });
}

/** Sends any request; `secrets` must not come back. */
export async function send(
  harness: Harness,
  request: Request,
  secrets: Answer['question'] = { opTok: '', proof: null },
  connection: ClientConnection = noCertificate,
): Promise<Answer> {
  return readAnswer(harness, await harness.handle(request, connection), secrets);
}

async function readAnswer(
  harness: Harness,
  response: Response,
  question: Answer['question'],
): Promise<Answer> {
  const { status, headers } = response;
  const text = await response.text();
  const decision = harness.decisions.at(-1);
  if (decision === undefined) throw new Error('No decision was recorded.');
  return { status, headers, text, body: JSON.parse(text), decision, question };
}

function createRequest(
  question: Question,
  method: 'GET' | 'POST',
  opTok: string,
  proof: string | null,
): Request {
  const scheme = question.scheme ?? 'DPoP';
  const parameters = new URLSearchParams();
  if (question.service !== null) parameters.set('service', question.service ?? SERVICE);
  for (const scope of question.scopes ?? []) parameters.append('scope', scope);
  const headers = new Headers(question.headers);
  if (scheme === 'DPoP' || scheme === 'Bearer') headers.set('Authorization', `${scheme} ${opTok}`);
  if (scheme === 'Basic') headers.set('Authorization', basic(opTok));
  if (scheme === 'form') {
    parameters.set('grant_type', 'password');
    parameters.set('password', opTok);
  }
  if (proof !== null) headers.set('DPoP', proof);
  const url = question.url ?? REALM;
  return method === 'GET'
    ? new Request(`${url}?${parameters}`, { headers })
    : new Request(url, { method, headers, body: parameters });
}

export function basic(opTok: string, user = 'oauth2accesstoken'): string {
  return `Basic ${Buffer.from(`${user}:${opTok}`).toString('base64')}`;
}

export function expectToken(answer: Answer): void {
  expect({ status: answer.status, reason: answer.decision.refusal?.message ?? null }).toEqual({
    status: 200,
    reason: null,
  });
  expect(typeof answer.body.token).toBe('string');
}

interface RefusalVector {
  readonly reason: Reason;
  readonly status: number;
  readonly error: string | null;
}

/** The status and error of each reason, written down apart from the code. */
export const refusalVectors = loadVectors<RefusalVector>('refusals');

/** The reason is the one in the log, and status, `error` and body are those of the vectors. */
export function expectRefusal(answer: Answer, reason: Reason): void {
  const { refusal, issued, fault } = answer.decision;
  expect({ reason: refusal?.reason, fault, issued }).toEqual({ reason, fault: null, issued: null });
  const expected = refusalVectors.find((vector) => vector.reason === reason);
  expect(answer.status).toBe(expected?.status ?? 0);
  expect(answer.body.error ?? null).toBe(expected?.error ?? null);
  expect(answer.body.reason).toBe(answer.status === 400 || answer.status === 403 ? reason : undefined);
  expectProblem(answer);
}

/** RFC 9457, RFC 6750 and the distribution specification's `errors`; no token, proof or part of one. */
export function expectProblem({ status, headers, text, body, question }: Answer): void {
  expect(headers.get('content-type')).toBe('application/json');
  expect(headers.get('cache-control')).toBe('no-store');
  const [first] = Array.isArray(body.errors) ? body.errors : [];
  const words = [body.type, body.title, body.detail, body.error_description, first?.code, first?.message];
  expect(words.map((word) => typeof word)).toEqual(Array(words.length).fill('string'));
  expect(body.status).toBe(status);
  expect(body.token).toBeUndefined();
  const sent = [question.opTok, question.proof ?? ''].flatMap((jws) => [jws, ...jws.split('.')]);
  const secrets = sent.filter((secret) => secret.length > 20);
  const said = `${text}\n${JSON.stringify([...headers])}`;
  expect(secrets.filter((secret) => said.includes(secret))).toEqual([]);
}

export interface Challenge {
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** The challenges of a 401. Bun's Headers joins repeated fields by a comma, so they are told apart by their scheme. */
export function parseChallenges(headers: Headers): Challenge[] {
  const text = headers.get('www-authenticate') ?? '';
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  for (const [, scheme, name, value = ''] of text.matchAll(
    /(?:([A-Za-z]+) )?([a-z_]+)="((?:[^"\\]|\\.)*)"/g,
  )) {
    if (scheme !== undefined) challenges.push({ scheme, parameters: {} });
    const current = challenges.at(-1);
    if (current !== undefined && name !== undefined) current.parameters[name] = value.replace(/\\(.)/g, '$1');
  }
  return challenges;
}
