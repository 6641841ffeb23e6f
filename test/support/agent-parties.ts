/** An agent on a port, and the parties around it made up: a registry that a test scripts, its realm, an Authority. */
import { type Agent, createAgent } from '../../src/client/agent/agent.ts';
import type { AgentRefusal } from '../../src/client/agent/check-request.ts';
import { type AgentListener, identityOf, listenForClients } from '../../src/client/agent/listen.ts';
import type { TransferListener } from '../../src/client/agent/transfers.ts';
import { generateDpopKey } from '../../src/client/dpop.ts';
import type { NewOpTok } from '../../src/client/op-tok.ts';
import { createClientParts } from './client-parts.ts';
import { type FakeServer, type Heard, startFakeServer } from './fake-server.ts';
import { findFreePort } from './processes.ts';

export interface AgentParties extends AsyncDisposable {
  readonly agent: Agent;
  readonly listener: AgentListener;
  readonly url: string;
  readonly port: number;
  /** What the agent reads the time from; moved by the test. Epoch seconds. */
  readonly clock: { now: number };
  readonly realm: FakeServer;
  readonly registryUrl: string;
  readonly stopRegistry: () => Promise<void>;
  /** The OpToks that were asked for so far. */
  readonly opToks: () => number;
  readonly refusals: readonly AgentRefusal[];
  /** The services that were believed, one after the other. */
  readonly tokenServices: readonly { readonly realm: string; readonly service: string }[];
}

export interface AgentPartiesOptions {
  /** The registry's answer to a request that has a good token, or to every one where `open`. */
  readonly registry: (request: Request) => Response | Promise<Response>;
  /** Asks for no token. */
  readonly open?: boolean;
  /** The challenge for a request without a good token; it names `SCOPE` of the path where not given. */
  readonly challenge?: (realm: string, request: Request) => string;
  /** The realm's answer; a new token that lives 300 s where not given. */
  readonly answerToken?: (heard: Heard, before: number) => Response | Promise<Response> | null;
  /** Tokens that the registry does not take. */
  readonly spoilt?: Set<string>;
  /** What the OpToks are like; bound by DPoP and kept where not given. */
  readonly opTok?: Partial<Pick<NewOpTok, 'dpopKey' | 'isBearer' | 'isReusable'>>;
  readonly onTransfer?: TransferListener;
  readonly pins?: { readonly realm?: string; readonly service?: string };
}

export const TOKEN_LIFETIME = 300;
export const OP_TOK_LIFETIME = 600;
export const FAKE_SERVICE = 'registry.test';

export async function startAgentParties(options: AgentPartiesOptions): Promise<AgentParties> {
  const { registry, open = false, spoilt = new Set(), pins = {} } = options;
  const clock = { now: 1_800_000_000 };
  const given = new Set<string>();
  const realm = startFakeServer(async (heard, before) => {
    const own = await options.answerToken?.(heard, before);
    if (own) return own;
    const token = `registry.token.${given.size + 1}`;
    given.add(token);
    return Response.json({ token, expires_in: TOKEN_LIFETIME });
  });
  const realmUrl = `${realm.url}/token`;
  const challenge = options.challenge ?? usualChallenge;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    fetch: (request) => {
      const token = request.headers.get('authorization')?.replace('Bearer ', '') ?? '';
      if (open || (given.has(token) && !spoilt.has(token))) return registry(request);
      const headers = { 'WWW-Authenticate': challenge(realmUrl, request) };
      return Response.json({ errors: [{ code: 'UNAUTHORIZED', message: '' }] }, { status: 401, headers });
    },
  });
  const registryUrl = `http://127.0.0.1:${server.port}`;

  let opToks = 0;
  const dpopKey = await generateDpopKey();
  const refusals: AgentRefusal[] = [];
  const tokenServices: AgentParties['tokenServices'][number][] = [];
  const port = await findFreePort();
  const address = { host: '127.0.0.1', port, tls: null };
  const agent = createAgent({
    registry: new URL(registryUrl),
    identity: identityOf(address),
    parts: createClientParts(clock),
    requestOpTok: async () => {
      opToks += 1;
      const expiresAt = clock.now + OP_TOK_LIFETIME;
      await Bun.sleep(5);
      return {
        accessToken: `op.tok.${opToks}`,
        dpopKey,
        expiresAt,
        isBearer: false,
        isReusable: true,
        ...options.opTok,
      };
    },
    realm: pins.realm ?? null,
    service: pins.service ?? null,
    onTokenService: ({ realm, service }) => void tokenServices.push({ realm, service }),
    onRefusal: (_, refusal) => void refusals.push(refusal),
    onTransfer: options.onTransfer ?? null,
  });
  const listener = listenForClients(address, agent);
  return {
    agent,
    listener,
    url: `http://127.0.0.1:${port}`,
    port,
    clock,
    realm,
    registryUrl,
    stopRegistry: () => server.stop(true),
    opToks: () => opToks,
    refusals,
    tokenServices,
    [Symbol.asyncDispose]: async () => {
      await listener.stop(0);
      await server.stop(true);
      await realm[Symbol.asyncDispose]();
    },
  };
}

function usualChallenge(realm: string, request: Request): string {
  const name = /^\/v2\/(.+)\/(?:blobs|manifests|tags)\//.exec(new URL(request.url).pathname)?.[1];
  const action = request.method === 'GET' || request.method === 'HEAD' ? 'pull' : 'pull,push';
  const scope = name === undefined ? '' : `,scope="repository:${name}:${action}"`;
  return `Bearer realm="${realm}",service="${FAKE_SERVICE}"${scope}`;
}
