/** `dev` from its sources: started, its commands pasted, stopped. docker-registry and skopeo come in test/e2e. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dev } from '../../src/cli/dev.ts';
import {
  type Child,
  createTemporaryFolder,
  findFreePort,
  isPortFree,
  run,
  start,
} from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';
import { decodePart } from '../support/tokens.ts';

setDefaultTimeout(60_000);

const main = new URL('../../src/main.ts', import.meta.url).pathname;
const program = [process.execPath, 'run', main];
const lastLine = /^ +oci:.*pulled:latest$/;

async function freePorts() {
  return { service: await findFreePort(), authority: await findFreePort(), registry: await findFreePort() };
}

function optionsFor(ports: Awaited<ReturnType<typeof freePorts>>): string[] {
  return [
    `--listen=127.0.0.1:${ports.service}`,
    `--authority-listen=127.0.0.1:${ports.authority}`,
    `--registry=127.0.0.1:${ports.registry}`,
  ];
}

/** What stands below `# N.`, pasted into a shell that then prints the token it has. */
function paste(guide: string, step: number) {
  const script = guide.split(/^# \d\..*$/m)[step] ?? 'false';
  return run(['sh', '-e', '-c', `${script}\nprintf '%s' "$TOKEN"`], { cwd: '/' });
}

async function stop(child: Child): Promise<void> {
  child.signal('SIGINT');
  expect(await child.exited).toBe(0);
}

test.each([
  [2, 'this program'],
  [3, 'curl'],
])('the commands of step %d get a token to pull and push by %s', async (step) => {
  await using folder = await createTemporaryFolder();
  await using child = start([...program, 'dev', ...optionsFor(await freePorts())], {
    env: { TMPDIR: folder.path },
  });
  await child.waitForLine(lastLine);
  const pasted = await paste(child.stdout(), step);
  expect(pasted).toMatchObject({ exitCode: 0 });
  expect(decodePart(pasted.stdout, 1)).toMatchObject({
    sub: 'dev',
    aud: 'registry.localhost',
    access: [{ type: 'repository', name: 'stella-ops/hello', actions: ['pull', 'push'] }],
  });
  expect(child.stderr()).toContain('access token issued by the development Authority');
  expect(child.stderr()).toContain('repository:stella-ops/hello:pull,push');
  expect(child.stderr()).not.toContain(pasted.stdout.slice(-40));
});

test('is ready when it has printed the commands, whatever HTTP_PROXY says', async () => {
  await using folder = await createTemporaryFolder();
  const ports = await freePorts();
  await using child = start([...program, 'dev', ...optionsFor(ports)], {
    env: { TMPDIR: folder.path, http_proxy: 'http://127.0.0.1:9', HTTP_PROXY: 'http://127.0.0.1:9' },
  });
  await child.waitForLine(lastLine);
  expect((await fetch(`http://127.0.0.1:${ports.service}/readyz`)).status).toBe(200);
});

test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  '%s leaves neither port nor folder, and the next start finds everything free',
  async (signal) => {
    await using folder = await createTemporaryFolder();
    const ports = await freePorts();
    for (const _time of ['first', 'second']) {
      await using child = start([...program, 'dev', ...optionsFor(ports)], { env: { TMPDIR: folder.path } });
      await child.waitForLine(lastLine);
      const [own = ''] = readdirSync(folder.path);
      expect(statSync(folder.at(own)).mode & 0o777).toBe(0o700);
      child.signal(signal);
      expect(await child.exited).toBe(0);
      expect(child.stderr()).toBe('\nStopped. All files were removed.\n');
      expect(readdirSync(folder.path)).toEqual([]);
      expect(await Promise.all([isPortFree(ports.service), isPortFree(ports.authority)])).toEqual([
        true,
        true,
      ]);
    }
  },
);

test('a named folder is kept: the next start has its keys, and the plans as they were edited', async () => {
  await using folder = await createTemporaryFolder();
  const directory = folder.at('dev');
  const start1 = await freePorts();
  {
    await using child = start([...program, 'dev', `--dir=${directory}`, ...optionsFor(start1)]);
    await child.waitForLine(lastLine);
    await stop(child);
    expect(child.stderr()).toContain(`${directory} is kept`);
  }
  const keys = ['dev-authority.pem', 'client-secret.txt', 'registry-signing.pem', 'registry-signing.crt'];
  const before = keys.map((name) => readFileSync(`${directory}/${name}`, 'utf8'));
  expect(keys.slice(0, 3).map((name) => statSync(`${directory}/${name}`).mode & 0o777)).toEqual([
    0o600, 0o600, 0o600,
  ]);
  appendFileSync(`${directory}/registry-token.yaml`, '\nrevokedLicenses: [edited]\n');

  const start2 = await freePorts();
  await using child = start([...program, 'dev', `--dir=${directory}`, ...optionsFor(start2)]);
  await child.waitForLine(lastLine);
  expect(keys.map((name) => readFileSync(`${directory}/${name}`, 'utf8'))).toEqual(before);
  expect(readFileSync(`${directory}/registry-token.yaml`, 'utf8')).toEndWith('[edited]\n');
  expect(readFileSync(`${directory}/config.yml`, 'utf8')).toContain(`127.0.0.1:${start2.service}/token`);
  expect(await paste(child.stdout(), 2)).toMatchObject({ exitCode: 0 });
});

test('an edit of the configuration counts while it runs', async () => {
  await using folder = await createTemporaryFolder();
  await using child = start([
    ...program,
    'dev',
    `--dir=${folder.at('dev')}`,
    ...optionsFor(await freePorts()),
  ]);
  await child.waitForLine(lastLine);
  appendFileSync(folder.at('dev/registry-token.yaml'), '\nnoSuchKey: 1\n');
  await child.waitForLine(/noSuchKey.*not reloaded/);
  appendFileSync(folder.at('dev/registry-token.yaml'), '\n');
  expect(await paste(child.stdout(), 2)).toMatchObject({ exitCode: 0 });
});

test.each([
  ['--listen', 'service'],
  ['--authority-listen', 'authority'],
] as const)('a port in use is told with the option %s, and nothing stays', async (option, part) => {
  await using folder = await createTemporaryFolder();
  const ports = await freePorts();
  const other = Bun.listen({ hostname: '127.0.0.1', port: ports[part], socket: { data: () => {} } });
  try {
    const { exitCode, stdout, stderr } = await run([...program, 'dev', ...optionsFor(ports)], {
      env: { TMPDIR: folder.path },
      timeoutMs: 10_000,
    });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${ports[part]}`);
    expect(stderr).toContain(`choose another address with ${option}`);
    expect(readdirSync(folder.path)).toEqual([]);
  } finally {
    other.stop(true);
  }
});

test('a second dev on the same port is refused, as both would get some of the requests', async () => {
  await using folder = await createTemporaryFolder();
  const ports = await freePorts();
  const env = { TMPDIR: folder.path };
  await using child = start([...program, 'dev', ...optionsFor(ports)], { env });
  await child.waitForLine(lastLine);
  for (const part of ['service', 'authority'] as const) {
    const others = { ...(await freePorts()), [part]: ports[part] };
    const { exitCode, stderr } = await run([...program, 'dev', ...optionsFor(others)], {
      env,
      timeoutMs: 10_000,
    });
    expect({ exitCode, part }).toEqual({ exitCode: 1, part });
    expect(stderr).toContain(`cannot listen on 127.0.0.1:${ports[part]}: another process uses that address`);
  }
});

test.each(['--listen', '--authority-listen', '--registry'])(
  '%s refuses an address beyond loopback before anything is written',
  async (option) => {
    await using folder = await createTemporaryFolder();
    const args = ['--dir', folder.at('dev'), option, '0.0.0.0:8085'];
    const { exitCode, stderr } = await runCommand(dev, args);
    expect(exitCode).toBe(2);
    expect(stderr).toContain(`${option} is 0.0.0.0:8085`);
    expect(existsSync(folder.at('dev'))).toBe(false);
  },
);

test('a folder with other files in it is told, not filled', async () => {
  await using folder = await createTemporaryFolder();
  await Bun.write(folder.at('letter.txt'), 'Dear');
  const { exitCode, stderr } = await runCommand(dev, ['--dir', folder.path]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain('contains other files');
  expect(readdirSync(folder.path)).toEqual(['letter.txt']);
});
