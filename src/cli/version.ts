/** `version`: what was built, from what, with what. */
import { buildInfo } from '../telemetry/build-info.ts';
import type { Command } from './command.ts';

export const version: Command = {
  name: 'version',
  summary: 'prints version, commit and Bun version',
  help: `Usage: registry-token version

Prints one line: the version, the commit that it was built from, and its Bun version.

Example:
  registry-token version
`,
  run: async ({ print }) => {
    const { version, commit, bun } = buildInfo();
    print(`registry-token ${version} (commit ${commit}, Bun ${bun})\n`);
    return 0;
  },
};
