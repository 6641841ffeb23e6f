/** A layer through the agent against a pull from the registry itself, by turns: throughput, and CPU time for a GiB. */
import { writeFile } from 'node:fs/promises';
import { startAgentSetting, writeLargeImage } from '../support/agent-setting.ts';
import { runOrFail } from '../support/processes.ts';
import { REGISTRY_SERVICE, serviceCommand } from '../support/running-service.ts';
import { cpuSeconds, readMemory } from './process-figures.ts';
import { type Spread, spreadOf } from './spread.ts';

export interface AgentOptions {
  readonly mebibytes: number;
  readonly rounds: number;
}

export interface AgentReport {
  readonly mebibytes: number;
  /** MiB a second. */
  readonly direct: Spread;
  readonly throughAgent: Spread;
  /** Of both in one round. */
  readonly ratio: Spread;
  /** Seconds of CPU time of the agent. */
  readonly cpuPerGibibyte: Spread;
  /** The agent's, in MiB. */
  readonly highestMemory: number;
}

const REPOSITORY = 'team-a/large';
const TIMEOUT = { timeoutMs: 600_000 };

export async function measureAgent({ mebibytes, rounds }: AgentOptions): Promise<AgentReport> {
  await using setting = await startAgentSetting();
  const { folder, registry, agent, host, url, service, authority } = setting;
  const image = await writeLargeImage(folder.at('large'), mebibytes);
  const copy = ['skopeo', 'copy', '--insecure-policy', '--dest-tls-verify=false', image.source];
  await runOrFail([...copy, `docker://${host}/${REPOSITORY}:1`], TIMEOUT);
  const client = ['--authority', authority.issuer, '--client-id', 'builder'];
  const token = await runOrFail([
    ...[...serviceCommand, 'token', ...client, '--client-secret-path', folder.at('secret')],
    ...['--realm', service.realm, '--service', REGISTRY_SERVICE],
    ...['--scope', `repository:${REPOSITORY}:pull`],
  ]);
  await writeFile(folder.at('header'), `Authorization: Bearer ${token.trim()}`, { mode: 0o600 });
  const path = `/v2/${REPOSITORY}/blobs/${image.layer.digest}`;
  const pull = async (from: string, ...words: readonly string[]) => {
    const began = performance.now();
    await runOrFail(['curl', '-sf', '-o', '/dev/null', ...words, from + path], TIMEOUT);
    return mebibytes / ((performance.now() - began) / 1000);
  };
  const figures: { direct: number; throughAgent: number; cpu: number }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const direct = await pull(registry.url, '-H', `@${folder.at('header')}`);
    const before = cpuSeconds(agent.pid);
    const throughAgent = await pull(url);
    figures.push({ direct, throughAgent, cpu: (cpuSeconds(agent.pid) - before) / (mebibytes / 1024) });
  }
  return {
    mebibytes,
    direct: spreadOf(figures.map(({ direct }) => direct)),
    throughAgent: spreadOf(figures.map(({ throughAgent }) => throughAgent)),
    ratio: spreadOf(figures.map(({ direct, throughAgent }) => throughAgent / direct)),
    cpuPerGibibyte: spreadOf(figures.map(({ cpu }) => cpu)),
    highestMemory: readMemory(agent.pid).highest,
  };
}

export function formatAgent(report: AgentReport): string {
  const { mebibytes, direct, throughAgent, ratio, cpuPerGibibyte, highestMemory } = report;
  return [
    `a layer of ${mebibytes} MiB: ${direct.median.toFixed(0)} MiB/s from the registry, ${throughAgent.median.toFixed(0)} through the agent`,
    `ratio ${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)}-${ratio.high.toFixed(2)})`,
    `the agent: ${cpuPerGibibyte.median.toFixed(2)} s of CPU for a GiB, ${highestMemory.toFixed(0)} MiB at the highest`,
    '',
  ].join('\n');
}
