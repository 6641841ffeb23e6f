/** A thread that counts as a worker of the service does, and ends. */
import { Tally } from '../../src/telemetry/tally.ts';

declare const self: Worker;

self.onmessage = ({ data: { memory, plans, rounds } }) => {
  const tally = new Tally(memory);
  tally.announcePlans(plans);
  for (let round = 0; round < rounds; round += 1) {
    tally.issued('enterprise', 0.002);
    tally.rejected('plan-denied', 0.1);
  }
  process.exit();
};
