/** logging.auditPath: the service, one thread or several, and its file of decisions. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readFileSync, renameSync, statSync, symlinkSync, unlinkSync } from 'node:fs';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { createTemporaryFolder, run, runOrFail } from '../support/processes.ts';
import { findSecret } from '../support/secret-watch.ts';
import { words } from '../support/service-process.ts';

setDefaultTimeout(30_000);

const logging = (auditPath: string) => ({ level: 'warn', format: 'json', auditPath });

function decisionsIn(path: string): Record<string, unknown>[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  expect(lines.at(-1)).toBe('');
  return lines.slice(0, -1).map((line) => JSON.parse(line));
}

async function until(what: string, look: () => boolean): Promise<void> {
  for (let tries = 0; !look(); tries += 1) {
    if (tries > 500) throw new Error(`No ${what} in 10 seconds.`);
    await Bun.sleep(20);
  }
}

describe.each([1, 2])('with %d workers', (workers) => {
  let service: ConfiguredService;

  beforeAll(async () => {
    service = await startConfiguredService({ server: { workers }, logging: logging('audit.log') });
  });

  afterAll(() => service?.[Symbol.asyncDispose]());

  /** The names of so many requests, half of which are refused. */
  async function ask(times: number): Promise<(string | null)[]> {
    const asked = Array.from({ length: times }, (_, index) =>
      service.ask(index % 2 === 0 ? 'repository:public/a:pull' : 'repository:secret/a:pull'),
    );
    return (await Promise.all(asked)).map((answer) => answer.headers.get('x-request-id'));
  }

  test('each decision is one line under the name that its answer has, and no secret in any', async () => {
    const path = service.folder.at('audit.log');
    const names = await ask(100);
    await until('decisions', () => decisionsIn(path).length === 100);
    const decisions = decisionsIn(path);
    expect(decisions.map(({ requestId }) => String(requestId)).sort()).toEqual(names.map(String).sort());
    expect(new Set(decisions.map(({ message }) => message))).toEqual(new Set(['issued', 'refused']));
    for (const decision of decisions)
      expect(decision).toMatchObject({ time: expect.any(String), level: 'info', subject: 'alice' });
    expect(findSecret(readFileSync(path, 'utf8'))).toBeNull();
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect(service.child.stderr()).not.toContain('"issued"');
    expect(await service.metric('registry_token_audit_dropped_total')).toBe(0);
  });

  test('after a rename and SIGHUP they go to a new file, and none is lost between', async () => {
    const path = service.folder.at('audit.log');
    const before = decisionsIn(path).length;
    const first = ask(50);
    renameSync(path, `${path}.1`);
    service.child.signal('SIGHUP');
    await service.untilReloads('success', 1);
    await Promise.all([first, ask(50)]);
    await until(
      'decisions',
      () => decisionsIn(`${path}.1`).length + decisionsIn(path).length === before + 100,
    );
    expect(decisionsIn(path).length).toBeGreaterThanOrEqual(50);
  });

  test('a full disk is told once and refuses no request; what waited is written when there is room', async () => {
    const path = service.folder.at('audit.log');
    unlinkSync(path);
    symlinkSync('/dev/full', path);
    service.child.signal('SIGHUP');
    const answers = await Promise.all(
      Array.from({ length: 60 }, () => service.ask('repository:public/a:pull')),
    );
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    await until('warning', () => service.child.stderr().includes('cannot write the audit file'));
    expect(service.child.stderr()).toContain('"fault":"the disk is full (ENOSPC)');
    await ask(40);
    unlinkSync(path);
    await until('decisions', () => decisionsIn(path).length === 100);
    await until('recovery', () => service.child.stderr().includes('the audit file can be written again'));
    expect(service.child.stderr().match(/cannot write the audit file/g)).toHaveLength(1);
    expect(await service.metric('registry_token_audit_dropped_total')).toBe(0);
  });

  test('what was decided before the stop is in it after the stop', async () => {
    const path = service.folder.at('audit.log');
    const before = decisionsIn(path).length;
    await ask(50);
    expect(await service.child.stop()).toBe(0);
    expect(decisionsIn(path)).toHaveLength(before + 50);
  });
});

test.each([
  ['in a folder that is not there', 'none/audit.log', /the folder \S+none does not exist; create it/],
  ['that is a folder', '.', /\S+ is a folder, a pipe or a socket: name a file/],
  ['that is a pipe', 'pipe', /\S+pipe is a folder, a pipe or a socket: name a file/],
  ['that is a socket', 'socket', /\S+socket is a folder, a pipe or a socket: name a file/],
])('a path %s is a mistake in the configuration, for check and for serve', async (_, name, message) => {
  await using service = await startConfiguredService();
  await using elsewhere = await createTemporaryFolder();
  await runOrFail(['mkfifo', elsewhere.at('pipe')]);
  using _socket = Bun.listen({ unix: elsewhere.at('socket'), socket: { data: () => {} } });
  service.configure({ logging: logging(elsewhere.at(name)) });
  const file = service.folder.at('registry-token.yaml');
  for (const command of [['serve'], ['check', '--offline']]) {
    const { exitCode, stderr } = await run([...words, ...command, '--config', file]);
    expect([exitCode, stderr]).toEqual([78, expect.stringMatching(message)]);
    expect(stderr).toMatch(/^\S+registry-token\.yaml:\d+:\d+: logging\.auditPath: /);
  }
});
