/** `dev` as a developer uses it: start, paste what it prints into a shell, Ctrl-C. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { access, readdir } from 'node:fs/promises';
import { describeWith } from '../support/debian-parts.ts';
import {
  type Child,
  createTemporaryFolder,
  findFreePort,
  isPortFree,
  isRunning,
  run,
  start,
  type TemporaryFolder,
} from '../support/processes.ts';
import { BINARY } from '../support/running-service.ts';

setDefaultTimeout(60_000);

describeWith(['curl', 'docker-registry', 'skopeo'], 'dev', () => {
  /** Where `dev` makes its temporary folder. */
  let folder: TemporaryFolder;
  let ports: readonly [service: number, authority: number, registry: number];
  let child: Child;
  let registry: Child;
  /** The printed commands of steps 1 to 4, each as it stands. */
  let steps: readonly string[];

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    ports = [await findFreePort(), await findFreePort(), await findFreePort()];
    const [service, authority, registryPort] = ports.map((port) => `127.0.0.1:${port}`);
    const options = [`--listen=${service}`, `--authority-listen=${authority}`, `--registry=${registryPort}`];
    child = start([BINARY, 'dev', ...options], { env: { TMPDIR: folder.path } });
    await child.waitForLine(/ oci:\S+\/pulled:latest$/);
    steps = parseSteps(child.stdout());
    registry = start(['bash', '-c', steps[0] ?? 'false']);
    await registry.waitForStatus(`http://${registryPort}/v2/`, 401);
  });

  afterAll(async () => {
    await registry?.stop();
    await child?.stop();
    await folder?.[Symbol.asyncDispose]();
  });

  const paste = (...numbers: readonly number[]) => {
    const script = numbers.map((number) => steps[number - 1] ?? 'false').join('\n');
    return run(['bash', '-e', '-o', 'pipefail', '-c', script], { cwd: '/' });
  };

  test('prints four steps to copy', () => {
    expect(steps).toHaveLength(4);
  });

  test('prints a token command whose token pushes and pulls', async () => {
    const pasted = await paste(2, 4);
    expect(pasted).toMatchObject({ exitCode: 0 });
    expect(await pulledFiles()).toContain('index.json');
  });

  test('prints curl calls whose token pushes and pulls', async () => {
    const pasted = await paste(3, 4);
    expect(pasted).toMatchObject({ exitCode: 0 });
  });

  test('leaves no process, port or folder behind at Ctrl-C', async () => {
    const own = await temporaryFolders();
    expect(own).toHaveLength(1);
    child.signal('SIGINT');
    expect(await child.exited).toBe(0);
    expect(isRunning(child.pid)).toBe(false);
    expect(await Promise.all(ports.slice(0, 2).map(isPortFree))).toEqual([true, true]);
    expect(await temporaryFolders()).toEqual([]);
  });

  const temporaryFolders = () => readdir(folder.path);

  const pulledFiles = async () => {
    const [own = ''] = await temporaryFolders();
    const pulled = `${folder.path}/${own}/pulled`;
    await access(pulled);
    return readdir(pulled);
  };
});

/** The commands below each `# N.` line, up to the next one. */
function parseSteps(guide: string): readonly string[] {
  return guide
    .split(/^# \d\..*$/m)
    .slice(1)
    .map((step) => step.trim());
}
