/** What the tests need of a real OAuth server, whichever it is. */
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface OAuthServer extends AsyncDisposable {
  readonly issuer: string;
  /** Of its certificate; null over plain http. */
  readonly caPath: string | null;
}

/** Where `.ci/java-parts` leaves what it has built. */
export const javaParts = join(
  process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
  'registry-token-tests',
);
