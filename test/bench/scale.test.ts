/** The bench of large configurations: that it measures what it says and leaves nothing behind; no timings. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { createPolicy } from '../../src/assemble/options.ts';
import { ClaimTexts } from '../../src/authorize/claim-texts.ts';
import { matchingRules } from '../../src/authorize/rules.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { createTemporaryFolder, run, type TemporaryFolder } from '../support/processes.ts';
import { nameOf, planName, TENANT, writeScaleFiles } from './scale-files.ts';
import type { ScaleReport } from './scale-report.ts';

setDefaultTimeout(60_000);

const SCRIPT = new URL('scale.ts', import.meta.url).pathname;

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await createTemporaryFolder();
});
afterAll(() => folder[Symbol.asyncDispose]());

test('bun run bench:scale --smoke writes a table and JSON', async () => {
  const json = folder.at('scale.json');
  const { exitCode, stdout, stderr } = await run([process.execPath, SCRIPT, '--smoke', '--json', json]);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 0,
    stderr: '2 plans, 0 licences…\n20 plans, 1000 licences…\n',
  });
  const { rows, machine } = JSON.parse(readFileSync(json, 'utf8')) as ScaleReport;
  expect(machine.cores).toBeGreaterThan(0);
  expect(rows.map(({ plans, licenses }) => [plans, licenses])).toEqual([
    [2, 0],
    [20, 1000],
  ]);
  for (const { readyMs, memory, decision, request } of rows)
    for (const figure of [readyMs, memory.idle, memory.highest, decision.nanoseconds, request.ratio])
      expect(figure).toBeGreaterThan(0);
  expect(stdout).toMatch(/^ +2 +10 +0 .*1\.00$/m);
});

test.each([
  [['--starts', '0'], '--starts is a whole number from 1 to 20, not 0'],
  [['--fast'], "Unknown option '--fast'"],
])('the bench does not start with the words %p', async (words, message) => {
  const { exitCode, stderr, stdout } = await run([process.execPath, SCRIPT, ...words]);
  expect([exitCode, stdout]).toEqual([2, '']);
  expect(stderr).toInclude(message);
  expect(stderr).toInclude('Usage: bun run bench:scale');
});

test('each name that is asked for is allowed by one pattern of its plan, anywhere in it', async () => {
  const file = await writeScaleFiles(folder, { plans: 3, patterns: 20, licenses: 2 }, 1);
  const { plans } = createPolicy(loadConfiguration(file, {}).configuration, new Set());
  expect(plans.size).toBe(3);
  for (let plan = 0; plan < 3; plan += 1) {
    const { rules = [] } = plans.get(planName(plan)) ?? {};
    for (let pattern = 0; pattern < 20; pattern += 1)
      expect(
        matchingRules(rules, nameOf(plan, pattern), new ClaimTexts({ tid: TENANT })).map(
          ({ index }) => index,
        ),
      ).toEqual([pattern]);
  }
  expect(readFileSync(folder.at('revoked.txt'), 'utf8').split('\n')).toHaveLength(3);
});
