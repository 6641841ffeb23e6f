/** `log` beside the service: what logrotate makes of the audit file, the journal, and the terminal that stops reading. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import {
  chmodSync,
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { describeAsRoot, describeWith } from '../support/debian-parts.ts';
import { decisionLine } from '../support/decision-lines.ts';
import { createTemporaryFolder, run, runOrFail, start } from '../support/processes.ts';
import { words } from '../support/service-process.ts';

setDefaultTimeout(60_000);

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

const requestIds = (stdout: string): string[] =>
  stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line).requestId);

const at = (second: number) => new Date(Date.parse('2026-11-29T10:00:00.000Z') + second * 1000).toISOString();

describeWith(['logrotate'], 'with rotated files', () => {
  let service: ConfiguredService;
  beforeAll(async () => {
    service = await startConfiguredService({
      logging: { level: 'warn', format: 'json', auditPath: 'audit.log' },
    });
  });
  afterAll(() => service?.[Symbol.asyncDispose]());

  const configuration = () => service.folder.at('registry-token.yaml');
  const audit = () => service.folder.at('audit.log');
  const asked: string[] = [];

  /** Returns when they are in the file. */
  async function ask(times: number): Promise<void> {
    for (let count = 0; count < times; count += 1) {
      const answer = await service.ask(
        count % 2 === 0 ? 'repository:public/a:pull' : 'repository:secret/a:pull',
      );
      asked.push(answer.headers.get('x-request-id') ?? '');
    }
    const last = asked.at(-1) ?? '';
    for (let tries = 0; !readFileSync(audit(), 'utf8').includes(last); tries += 1) {
      if (tries > 500) throw new Error('The decision is not in the file.');
      await Bun.sleep(20);
    }
  }

  /** By the packaged rules, now. */
  async function rotate(...more: readonly string[]): Promise<void> {
    const packaged = readFileSync(
      new URL('../../etc/systemd/registry-token.logrotate', import.meta.url),
      'utf8',
    );
    const rules = packaged
      .replace('/var/log/registry-token/*.log', audit())
      .replace(/^.*su registry-token adm\n/m, '')
      .replace('missingok', ['missingok', ...more].join('\n'));
    expect(rules).not.toBe(packaged);
    writeFileSync(service.folder.at('rotate.conf'), rules);
    chmodSync(service.folder.at('rotate.conf'), 0o644);
    const inode = statSync(audit()).ino;
    await runOrFail([
      'logrotate',
      '--force',
      '--state',
      service.folder.at('rotate.state'),
      service.folder.at('rotate.conf'),
    ]);
    // The service opens a new file with its next line, a second later at the latest.
    for (
      let tries = 0;
      !readdirSync(service.folder.path).includes('audit.log') || statSync(audit()).ino === inode;
      tries += 1
    ) {
      if (tries > 50) throw new Error('The service opened no new file.');
      const answer = await service.ask('');
      asked.push(answer.headers.get('x-request-id') ?? '');
      await Bun.sleep(100);
    }
  }

  test('every decision is shown once and in order, from the file, the one before and the compressed ones', async () => {
    await ask(6);
    await rotate();
    await ask(6);
    await rotate();
    await ask(6);
    await rotate('dateext', 'dateformat -%Y%m%d-%s');
    await ask(6);
    const files = readdirSync(service.folder.path).filter((name) => name.startsWith('audit.log'));
    expect(files.some((name) => name.endsWith('.gz'))).toBe(true);
    expect(files.some((name) => /-\d{8}/.test(name))).toBe(true);
    expect(files.length).toBeGreaterThanOrEqual(4);
    const { stdout, stderr } = await run([...words, 'log', '--config', configuration(), '--json']);
    expect(stderr).toBe('');
    expect(requestIds(stdout)).toEqual(asked);
    const denied = await runOrFail([
      ...words,
      'log',
      '--config',
      configuration(),
      '--json',
      '--denied',
      '--since',
      '1h',
    ]);
    expect(requestIds(denied)).toHaveLength(12);
  });

  test('--follow shows what comes, also after a rotation', async () => {
    await using follower = start([
      ...words,
      'log',
      '--config',
      configuration(),
      '--json',
      '--follow',
      '--denied',
    ]);
    await follower.waitForLine(new RegExp(asked.at(-1) ?? ''));
    await ask(2);
    await follower.waitForLine(new RegExp(asked.at(-1) ?? ''));
    await rotate();
    await ask(2);
    await follower.waitForLine(new RegExp(asked.at(-1) ?? ''), 30_000);
  });

  test('mistakes elsewhere in the configuration do not keep from reading it', async () => {
    const text = readFileSync(configuration(), 'utf8').replace('"plans"', '"plaans"');
    writeFileSync(service.folder.at('mistaken.yaml'), text);
    const mistaken = await run([...words, 'log', '--config', service.folder.at('mistaken.yaml'), '--json']);
    const { stdout } = await run([...words, 'log', '--config', configuration(), '--json']);
    expect([mistaken.exitCode, mistaken.stdout]).toEqual([0, stdout]);
    expect(requestIds(stdout)).toContain(asked.at(-1) ?? '');
  });

  test('without a configuration the way around it is told', async () => {
    const { exitCode, stderr } = await run([...words, 'log', '--config', service.folder.at('none.yaml')]);
    expect(exitCode).toBe(78);
    expect(stderr).toInclude('--file /var/log/registry-token/audit.log');
  });
});

describeAsRoot([], 'for another user', () => {
  test('an audit file that it may not read is told with the group that may', async () => {
    writeFileSync(folder.at('audit.log'), decisionLine({ time: at(0) }));
    chmodSync(folder.path, 0o755);
    await runOrFail(['chgrp', 'adm', folder.at('audit.log')]);
    chmodSync(folder.at('audit.log'), 0o640);
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
    const { exitCode, stderr } = await run([...asNobody, ...words, 'log', '--file', folder.at('audit.log')]);
    expect([exitCode, stderr]).toEqual([1, expect.stringContaining('audit.log cannot be read (EACCES)')]);
    expect(stderr).toInclude('as a member of adm: usermod -aG adm USER');
  });
});

describeWith(['systemd-journal-remote', 'journalctl'], 'with a journal', () => {
  test('the lines of the service are read from it, and other messages are no decisions', async () => {
    const lines = [0, 1, 2].map((second) =>
      decisionLine({ time: at(second), subject: `user-${second}` }).trimEnd(),
    );
    const messages = [
      'Started registry-token.service.',
      ...lines,
      '{"level":"info","time":"2026-11-29T10:00:09.000Z","message":"ready"}',
    ];
    // systemd's export format.
    const entries = messages.map((message, index) => {
      const time = (Date.parse(at(index)) * 1000).toString();
      return [
        `__REALTIME_TIMESTAMP=${time}`,
        `_BOOT_ID=${'a'.repeat(32)}`,
        `__MONOTONIC_TIMESTAMP=${index + 1}`,
        '_SYSTEMD_UNIT=registry-token.service',
        `MESSAGE=${message}`,
        '',
        '',
      ].join('\n');
    });
    writeFileSync(folder.at('export'), entries.join(''));
    const journal = folder.at('registry-token.journal');
    await runOrFail(['/lib/systemd/systemd-journal-remote', `--output=${journal}`, folder.at('export')]);
    const { stdout, stderr } = await run([...words, 'log', '--json', '--file', journal]);
    expect(stdout).toBe(`${lines.join('\n')}\n`);
    expect(stderr).toInclude('1 line is no JSON');
  });
});

test('of a million lines every one is searched, and the last are shown', async () => {
  const [issued, refused] = [
    decisionLine({ time: at(0), subject: 'SUBJECT', license: 'LICENCE', requestId: 'REQUEST' }),
    decisionLine({
      time: at(0),
      subject: 'SUBJECT',
      license: 'LICENCE',
      requestId: 'REQUEST',
      reason: 'plan-denied',
    }),
  ];
  const path = folder.at('million.log');
  const file = openSync(path, 'w');
  const PART = 20_000;
  for (let part = 0; part < 1_000_000; part += PART) {
    const lines = Array.from({ length: PART }, (_, index) => {
      const number = part + index;
      return (number % 4 === 0 ? refused : issued)
        .replace(at(0), new Date(Date.parse(at(0)) + number * 10).toISOString())
        .replace('SUBJECT', `user-${number % 1000}`)
        .replace('LICENCE', `LIC-${number % 10_000}`)
        .replace('REQUEST', `request-${number}`);
    });
    writeSync(file, lines.join(''));
  }
  closeSync(file);
  const log = (...options: readonly string[]) => run([...words, 'log', '--file', path, ...options]);
  const all = await log('--last', '2');
  expect(all.stderr).toInclude('The last 2 of 1000000');
  expect(all.stdout).toInclude('request-999999');
  expect(requestIds((await log('--json', '--license', 'LIC-77')).stdout)).toHaveLength(100);
  expect((await log('--denied', '--plan', 'community')).stderr).toInclude('The last 1000 of 250000');
  expect((await log('--subject', 'nobody')).stderr).toInclude('Searched 1000000 lines');
  unlinkSync(path);
}, 240_000);

test('who stops reading ends it without a word', async () => {
  const text = Array.from({ length: 20_000 }, (_, index) => decisionLine({ time: at(index) })).join('');
  writeFileSync(folder.at('long.log'), text);
  const pipe = ['bash', '-c', '"$@" | head --lines=1; echo $PIPESTATUS', 'bash'];
  const { stdout, stderr } = await run([...pipe, ...words, 'log', '--json', '--file', folder.at('long.log')]);
  expect(stderr).toBe('');
  expect(stdout.trimEnd().split('\n').at(-1)).toBe('0');
});

test('an output that cannot be written is a failure, told once', async () => {
  const toFull = ['bash', '-c', '"$@" > /dev/full', 'bash', ...words];
  for (const command of [['version'], ['log', '--json', '--file', folder.at('long.log')]]) {
    const { exitCode, stderr } = await run([...toFull, ...command]);
    expect([command, exitCode]).toEqual([command, 1]);
    expect(stderr.match(/cannot write the output: .*ENOSPC/g)).toHaveLength(1);
  }
});

test('a time without a zone is that of the machine, and the table says which that is', async () => {
  writeFileSync(folder.at('zone.log'), decisionLine({ time: at(0) }) + decisionLine({ time: at(3600) }));
  const command = [...words, 'log', '--file', folder.at('zone.log')];
  const env = { TZ: 'Europe/Berlin' };
  const { stdout } = await run([...command, '--since', '2026-11-29T11:00', '--wide'], { env });
  expect(stdout).toInclude('2026-11-29 (UTC+01:00)');
  expect(stdout).toInclude('11:00:00  issued');
  expect(stdout).toInclude('12:00:00  issued');
  const later = await run([...command, '--since', '2026-11-29T11:00:01', '--json'], { env });
  expect(requestIds(later.stdout)).toHaveLength(1);
  const utc = await run([...command, '--since', '2026-11-29T11:00', '--utc'], { env });
  expect(utc.stdout).toInclude('2026-11-29 11:00:00 UTC  issued');
});
