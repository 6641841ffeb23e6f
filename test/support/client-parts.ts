/** A client's surroundings as the tests have them: plain connections, and a clock that moves when it pauses. */
import type { ClientParts, HttpOptions } from '../../src/client/http.ts';

export const plainHttp: HttpOptions = { certificateAuthorities: null, clientCertificate: null };

export interface TestClientParts extends ClientParts {
  /** The pauses so far, in milliseconds. */
  readonly pauses: readonly number[];
}

/** `clock` is read for the time, and put forward by each pause. Epoch seconds. */
export function createClientParts(clock: { now: number }, http: HttpOptions = plainHttp): TestClientParts {
  const pauses: number[] = [];
  return {
    http,
    clock: () => clock.now,
    pause: async (milliseconds) => {
      pauses.push(milliseconds);
      clock.now += milliseconds / 1000;
    },
    pauses,
  };
}
