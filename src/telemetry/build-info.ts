/** What was built: constants that `build.ts` writes into the executable. */
import manifest from '../../package.json' with { type: 'json' };

declare const BUILD_COMMIT: string | undefined;
declare const BUILD_VERSION: string | undefined;

export interface BuildInfo {
  readonly version: string;
  /** `source` if the program runs from its sources. */
  readonly commit: string;
  readonly bun: string;
}

export function buildInfo(): BuildInfo {
  const commit = typeof BUILD_COMMIT === 'string' ? BUILD_COMMIT : 'source';
  const version = typeof BUILD_VERSION === 'string' ? BUILD_VERSION : manifest.version;
  return { version, commit, bun: Bun.version };
}
