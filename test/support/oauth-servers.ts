/** What the tests need of a real OAuth server, whichever it is. */
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface OAuthServer extends AsyncDisposable {
  readonly issuer: string;
  /** Of its certificate; null over plain http. */
  readonly caPath: string | null;
}

/** Where the scripts of `.ci` leave what they have built or got. */
export const cachedParts = join(
  process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
  'registry-token-tests',
);
