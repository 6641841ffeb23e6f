/** Packaging on a machine without a network, where nothing was fetched before. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { describeAsRoot } from '../support/debian-parts.ts';
import { createTemporaryFolder, run } from '../support/processes.ts';

setDefaultTimeout(60_000);

const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

const root = new URL('../..', import.meta.url).pathname;
const withoutNetwork = (words: readonly string[]) =>
  run(['unshare', '--net', process.execPath, ...words], {
    cwd: root,
    env: { HOME: folder.path, BUN_INSTALL_CACHE_DIR: folder.at('cache'), TMPDIR: folder.path },
  });

describeAsRoot(['dpkg'], 'without a network', () => {
  test('packaging ends with 1, says what could not be had, and leaves no folder behind', async () => {
    const { exitCode, stdout, stderr } = await withoutNetwork(['run', 'etc/package/package.ts']);
    expect({ exitCode, made: stdout.match(/dist\/package/) }).toEqual({ exitCode: 1, made: null });
    expect(stderr).toStartWith('bun run package: The C library of the image is not available (apt-get, ');
    expect(stderr).not.toContain('    at ');
    expect([
      ...new Bun.Glob('registry-token-package-*').scanSync({ cwd: folder.path, onlyFiles: false }),
    ]).toEqual([]);
  });

  test('no executable is made, for want of the Bun that bun.lock names', async () => {
    const script = `const { buildExecutables } = await import('${root}/etc/package/target.ts');
      await buildExecutables('${folder.at('executables')}', '0.2.0').catch((cause) => console.log(cause.message));`;
    const { stdout } = await withoutNetwork(['-e', script]);
    expect(stdout).toStartWith(
      'The Bun of @oven/bun-linux-x64 is not available; it comes from the npm registry',
    );
    expect(await Bun.file(folder.at('executables/linux-amd64/registry-token')).exists()).toBe(false);
  });
});
