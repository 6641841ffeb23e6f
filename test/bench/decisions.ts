/**
 * The cost of a decision without HTTP: `bun decisions.ts FILE PLANS PATTERNS CALLS` loads a configuration as the service
 * does, and prints as JSON the nanoseconds of CPU time of one `authorize`, and of a whole request with a new OpTok and a
 * proof, for callers of any plan.
 */
import { FileReader } from '../../src/assemble/files.ts';
import { openRevokedLicenses } from '../../src/assemble/material.ts';
import { createPolicy } from '../../src/assemble/options.ts';
import type { Caller } from '../../src/authenticate/authenticate.ts';
import { authorize } from '../../src/authorize/authorize.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { MemoryReplayStore } from '../../src/replay/memory-replay-store.ts';
import { formatScope, type ResourceActions } from '../../src/request/resource-scope.ts';
import { createHarness, NOW, noCertificate } from '../support/service.ts';
import { REALM, SERVICE } from '../support/tokens.ts';
import { nameOf, planName, TENANT } from './scale-files.ts';

/** In the first third the code is compiled; of the others the middle one counts. */
const ROUNDS = 15;

const [file = '', ...numbers] = process.argv.slice(2);
const [plans = 1, patterns = 1, calls = 1] = numbers.map(Number);
const loaded = loadConfiguration(file, {});
const licenses = await openRevokedLicenses(loaded, new FileReader(loaded));
const policy = createPolicy(loaded.configuration, licenses);

interface Asked {
  readonly claims: Readonly<Record<string, string>>;
  readonly resource: ResourceActions;
}

/** Everybody has a licence, which is not revoked, and asks for a repository of the own plan. */
function askAnything(index: number): Asked {
  const plan = Math.floor(Math.random() * plans);
  const pattern = Math.floor(Math.random() * patterns);
  return {
    claims: {
      'stellaops:plan': planName(plan),
      'stellaops:license': `LIC-good-${index}-4f1c-9a7d-0b52e6c8d3f1`,
      tid: TENANT,
    },
    resource: { type: 'repository', name: nameOf(plan, pattern), actions: ['pull', 'push'] },
  };
}

async function costOf(count: number, work: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return ((user + system) * 1000) / count;
}

function middle(costs: readonly number[]): number {
  const settled = costs.slice(costs.length / 3).sort((a, b) => a - b);
  return settled[Math.floor(settled.length / 2)] ?? Number.NaN;
}

async function measureAuthorize(): Promise<number> {
  const asked = Array.from({ length: calls }, (_, index) => {
    const { claims, resource } = askAnything(index);
    const caller: Caller = {
      kind: 'verified',
      authority: 'default',
      clientId: null,
      opTokJti: null,
      subject: 'bench',
      claims,
    };
    return { caller, access: [resource] };
  });
  const costs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1)
    costs.push(
      await costOf(calls, () => {
        for (const { caller, access } of asked) authorize(caller, SERVICE, access, policy);
      }),
    );
  return middle(costs);
}

async function measureRequest(): Promise<number> {
  const count = Math.ceil(calls / 20);
  const replayStore = MemoryReplayStore.create(Math.max(count * ROUNDS, 1000), NOW - 86_400);
  const harness = await createHarness({ policy, replayStore });
  const costs: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const requests = Array.from({ length: count }, (_, index) => {
      const { claims, resource } = askAnything(index);
      const opTok = harness.opTok({ claims });
      const query = new URLSearchParams({ service: SERVICE, scope: formatScope(resource) });
      const headers = { Authorization: `DPoP ${opTok}`, DPoP: harness.proof(opTok) };
      return new Request(`${REALM}?${query}`, { headers });
    });
    const answer = async () => {
      for (const request of requests) {
        const { status } = await harness.handle(request, noCertificate);
        if (status !== 200) throw new Error(`The answer is ${status}.`);
      }
    };
    costs.push(await costOf(count, answer));
  }
  return middle(costs);
}

const costs = { authorize: await measureAuthorize(), request: await measureRequest() };
process.stdout.write(`${JSON.stringify(costs)}\n`);
