/** A thread that takes from a table of rates that it shares, as a worker of the service does. */
import { RateTable } from '../../src/limit/rate-table.ts';

declare const self: Worker;

self.onmessage = ({ data: { memory, thread, threads, ready, caller, rate, now, tries, taken } }) => {
  const table = RateTable.open(memory, thread);
  const key = table.keyOf(caller);
  const counts = new Int32Array(taken);
  const arrived = new Int32Array(ready);
  Atomics.add(arrived, 0, 1);
  while (Atomics.load(arrived, 0) < threads) Bun.sleepSync(1);
  for (let turn = 0; turn < tries; turn += 1)
    if (table.take(key, rate, now) === 0) counts[thread] = (counts[thread] ?? 0) + 1;
  process.exit();
};
