/** A thread that counts as a worker of the service does, and ends. */
import { Counters } from '../../src/telemetry/counters.ts';

declare const self: Worker;

self.onmessage = ({ data: { memory, plans, rounds } }) => {
  const counters = new Counters(memory);
  counters.announcePlans(plans);
  for (let round = 0; round < rounds; round += 1) {
    counters.issued('enterprise', 0.002);
    counters.rejected('plan-denied', 0.1);
  }
  process.exit();
};
