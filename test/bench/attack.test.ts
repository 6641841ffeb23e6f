/** `bun run bench --attack` in short: the rules that hold over time hold while everything changes. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, run } from '../support/processes.ts';

setDefaultTimeout(300_000);

const SCRIPT = new URL('run.ts', import.meta.url).pathname;

describeWith(['redis-server', 'redis-sentinel'], 'bun run bench --attack', () => {
  test('ends with no proof accepted twice, no token for a revoked licence, no 500 and no request unanswered', async () => {
    await using folder = await createTemporaryFolder();
    const file = folder.at('attack.json');
    const { exitCode, stdout, stderr } = await run(
      [process.execPath, SCRIPT, '--attack', '--smoke', '--json', file],
      { env: { PATH: process.env.PATH ?? '' }, timeoutMs: 290_000 },
    );
    if (exitCode !== 0) throw new Error(`${stdout}${stderr.slice(-2000)}`);
    expect(stdout).toInclude('Every rule held.');
    const { campaigns } = JSON.parse(readFileSync(file, 'utf8'));
    expect(campaigns.map(({ store }: { store: string }) => store)).toEqual(['memory', 'redis']);
    // So much must have happened for the run to say anything.
    for (const { events, answers, lines } of campaigns) {
      expect(
        Math.min(events.revocations, events['workers killed'], events['steps of key rotation']),
      ).toBeGreaterThan(0);
      expect(Math.min(lines.reloaded, lines.issued)).toBeGreaterThan(0);
      expect(answers['replay, at the end']['401']).toBeGreaterThan(0);
    }
  });
});
