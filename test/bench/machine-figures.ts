/** The machine as Linux counts it: how much of its time the host took away. */
import { readFileSync } from 'node:fs';

export interface MachineTicks {
  readonly all: number;
  /** Time in which a core of this virtual machine was ready and the host ran something else. */
  readonly stolen: number;
}

export function readMachineTicks(): MachineTicks {
  return parseMachineTicks(readFileSync('/proc/stat', 'utf8'));
}

/** The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; what follows is in them. */
export function parseMachineTicks(stat: string): MachineTicks {
  const ticks = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').slice(0, 8).map(Number);
  return { all: ticks.reduce((sum, count) => sum + count, 0), stolen: ticks[7] ?? Number.NaN };
}

/** The part of the time between two looks that was stolen, 0 to 1. */
export function stolenBetween(before: MachineTicks, after: MachineTicks): number {
  return (after.stolen - before.stolen) / Math.max(1, after.all - before.all);
}
