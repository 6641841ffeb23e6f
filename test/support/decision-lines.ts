/** Lines of an audit file, as the service writes them. */

import { ClaimTexts } from '../../src/authorize/claim-texts.ts';
import { type Reason, Refusal } from '../../src/refusal.ts';
import { parseScopes } from '../../src/request/resource-scope.ts';
import type { Decision } from '../../src/service.ts';
import { createLog, logDecision } from '../../src/telemetry/log.ts';

export interface DecisionLine {
  /** ISO, UTC. */
  readonly time: string;
  readonly subject?: string | null;
  readonly clientId?: string;
  readonly plan?: string;
  readonly license?: string | null;
  readonly claims?: Readonly<Record<string, string>>;
  readonly scope?: string;
  readonly service?: string;
  readonly reason?: Reason;
  readonly detail?: string;
  readonly requestId?: string;
  readonly address?: string;
  readonly jti?: string;
  /** Seconds. */
  readonly lifetime?: number;
  readonly generation?: number;
}

/** A line with its line end, through the service's own code; only the time is put in. */
export function decisionLine(values: DecisionLine): string {
  const {
    subject = 'alice',
    clientId = 'alice-cli',
    plan = 'community',
    license = null,
    claims = {},
  } = values;
  const { time, scope = 'repository:public/a:pull', reason, lifetime = 300 } = values;
  const access = parseScopes([scope]);
  const named = new ClaimTexts(claims, new Map(Object.keys(claims).map((name) => [name, [name]])));
  const refusal = reason === undefined ? null : new Refusal(reason, values.detail ?? 'It was refused.');
  const decision = {
    requestId: values.requestId ?? crypto.randomUUID(),
    address: values.address ?? '192.0.2.7',
    unreadableAddress: null,
    request: { service: values.service ?? 'registry.example.com', access },
    caller:
      subject === null
        ? null
        : { kind: 'verified', authority: 'default', subject, clientId, opTokJti: 'op-1', claims: {} },
    entitlement:
      subject === null ? null : { plan: { name: plan }, license, claims: named, chosenBy: 'claim' },
    claimed: null,
    grant: refusal === null ? { patterns: ['public/*'] } : null,
    issued:
      refusal === null
        ? {
            jti: values.jti ?? crypto.randomUUID(),
            access,
            issuedAt: Math.floor(Date.parse(time) / 1000),
            lifetime,
          }
        : null,
    refusal,
    fault: null,
    generation: values.generation ?? 1,
    durationMs: 1.5,
  } as unknown as Decision;
  let line = '';
  logDecision(
    createLog('info', 'json', (text) => {
      line = text;
    }),
    decision,
  );
  return line.replace(/"time":"[^"]*"/, `"time":"${time}"`);
}
