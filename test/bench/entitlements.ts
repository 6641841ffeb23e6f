/**
 * A bundle of 2,000 plans with 20 rules each and 200,000 revoked licences: how long signing takes, how soon the service is ready
 * with it, and how long a reload keeps the thread that answers requests. `bun test/bench/entitlements.ts` prints the figures.
 */
import { closeSync, copyFileSync, openSync, readFileSync, readSync, writeFileSync } from 'node:fs';
import { keygen } from '../../src/cli/keygen.ts';
import { createInstallation } from '../assemble/installation.ts';
import { findFreePort, runOrFail, start } from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';
import { BINARY } from '../support/running-service.ts';

const PLANS = 2000;
const RULES = 20;
const LICENSES = 200_000;
const RELOADS = 5;

const site = await createInstallation();
const { folder } = site;
await runCommand(keygen, ['--out', folder.at('vendor')]);

const plans = Array.from({ length: PLANS }, (_, plan) => {
  const rules = Array.from(
    { length: RULES },
    (__, rule) => `      - { pattern: customers/acme-${plan}/project-${rule}/*, actions: [pull, push] }\n`,
  );
  return `  plan-${plan}:\n    repositories:\n${rules.join('')}`;
});
/** Signs the bundle of this serial, and returns the seconds that it took. */
async function sign(serial: number): Promise<number> {
  const licenses = Array.from(
    { length: LICENSES },
    (_, index) => `  - LIC-${serial}-${index}-4f1c9a7d0b52\n`,
  );
  writeFileSync(folder.at('plans.yaml'), `plans:\n${plans.join('')}revokedLicenses:\n${licenses.join('')}`);
  const started = performance.now();
  await runOrFail([
    ...[BINARY, 'entitlements', 'sign', '--key', folder.at('vendor/registry-signing.pem')],
    ...['--in', folder.at('plans.yaml'), '--serial', String(serial), '--site', '*', '--expires', '35d'],
    ...['--out', folder.at(`${serial}.jws`)],
  ]);
  return (performance.now() - started) / 1000;
}
const signing: number[] = [];
for (let serial = 1; serial <= RELOADS + 1; serial += 1) signing.push(await sign(serial));

site.configure({
  server: { listen: `127.0.0.1:${await findFreePort()}` },
  plans: {},
  defaultPlan: undefined,
  entitlements: { path: 'bundle.jws', keysPath: 'vendor/registry-jwks.json' },
});
copyFileSync(folder.at('1.jws'), folder.at('bundle.jws'));
const started = performance.now();
const service = start([BINARY, 'serve', '--config', folder.at('registry-token.yaml')]);
await service.waitForLine(/"message":"ready"/);
const ready = (performance.now() - started) / 1000;
const memory = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))?.[1] ?? '0';
await service.stop();

/** CPU milliseconds of this thread: what others do on the machine does not count. */
const schedstat = openSync('/proc/thread-self/schedstat', 'r');
const text = Buffer.alloc(64);
const cpu = () => Number(text.toString('latin1', 0, readSync(schedstat, text, 0, 64, 0)).split(' ', 1)) / 1e6;

const runtime = await site.open();
const longest: number[] = [];
for (let serial = 2; serial <= RELOADS + 1; serial += 1) {
  copyFileSync(folder.at(`${serial}.jws`), folder.at('bundle.jws'));
  let isRunning = true;
  let most = 0;
  let before = cpu();
  const look = () => {
    const now = cpu();
    most = Math.max(most, now - before);
    before = now;
    if (isRunning) setImmediate(look);
  };
  setImmediate(look);
  const mistakes = await runtime.reload();
  isRunning = false;
  await Bun.sleep(10);
  if (mistakes.length > 0) throw new Error(JSON.stringify(mistakes));
  longest.push(most);
}
await runtime.close();
closeSync(schedstat);
await site[Symbol.asyncDispose]();

const list = (values: readonly number[], digits: number) =>
  values.map((value) => value.toFixed(digits)).join(', ');
process.stdout.write(`${PLANS} plans of ${RULES} rules, ${LICENSES} revoked licences
signed in                ${list(signing, 2)} s
ready after exec in      ${list([ready], 2)} s, with ${(Number(memory) / 1000).toFixed(0)} MB at most
a reload keeps the thread for at most ${list(longest, 1)} ms of CPU time
`);
// What the platform keeps open for a while is not waited for.
process.exit(0);
