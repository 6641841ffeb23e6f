/** A process as Linux counts it. */
import { readFileSync } from 'node:fs';

/** Of /proc: USER_HZ, which Linux has at 100 on every architecture that Bun runs on. */
const TICKS_PER_SECOND = 100;

/** Seconds of CPU time so far, user and system, of all threads; or of one of them, by its number. */
export function cpuSeconds(pid: number, thread?: number): number {
  const folder = thread === undefined ? `/proc/${pid}` : `/proc/${pid}/task/${thread}`;
  return parseCpuSeconds(readFileSync(`${folder}/stat`, 'utf8'));
}

/** Keeps all threads of a process, and what it starts from now on, on these cores: `0`, or `0-3`. */
export function runOn(cores: string, pid: number): void {
  const words = ['taskset', '--all-tasks', '--pid', '--cpu-list', cores, String(pid)];
  if (Bun.spawnSync(words).exitCode !== 0) throw new Error(`${words.join(' ')} (util-linux) failed.`);
}

/** The name in brackets may hold spaces and brackets of its own, so what counts comes after the last. */
export function parseCpuSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [fields[11], fields[12]].map(Number);
  return ((user ?? Number.NaN) + (system ?? Number.NaN)) / TICKS_PER_SECOND;
}

/** Resident memory in MiB: now, and at its highest so far. */
export function readMemory(pid: number): { readonly now: number; readonly highest: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const mebibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) / 1024;
  return { now: mebibytes('VmRSS'), highest: mebibytes('VmHWM') };
}
