/** Which file the configuration is read from, and files that are none. */
import { describe, expect, test } from 'bun:test';
import { mkdirSync, writeFileSync } from 'node:fs';
import { configurationLoader, findConfigurationFile, loadConfiguration } from '../../src/config/load.ts';
import { ConfigurationFault } from '../../src/document/mistakes.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { judge, loadText, minimum } from './configuration-text.ts';

describe('the file', () => {
  test.each([
    ['empty', ''],
    ['of comments', '# nothing\n'],
    ['of null', 'null\n'],
    ['a list', '- a\n'],
    ['a text', 'registry-token\n'],
    ['a number', '7'],
  ])('that is %s is told as no mapping', (_, text) => {
    expect(judge(text).message).toMatch(
      /^test\.yaml:1:1: must be a YAML mapping with the keys authority, signing, registry and plans$/,
    );
  });

  test('that is binary is a mistake with a place', () => {
    const bytes = Uint8Array.from({ length: 4096 }, (_, index) => (index * 7919) % 256);
    expect(judge(bytes).message).toMatch(/^test\.yaml:\d+:\d+: /);
  });

  test.each([
    ['is missing', 'nothing.yaml', 'no such file (ENOENT)'],
    ['is a directory', '.', 'it is a directory (EISDIR)'],
    ['is below a file', 'file/x.yaml', 'a part of the path is a file, not a directory (ENOTDIR)'],
  ])('that %s is told with its whole path and why', async (_, name, fault) => {
    await using folder = await createTemporaryFolder();
    writeFileSync(folder.at('file'), '');
    const load = () => loadConfiguration(folder.at(name), {});
    expect(load).toThrow(ConfigurationFault);
    expect(load).toThrow(`${folder.at(name)}: cannot be read: ${fault}`);
  });

  test('is read again only where its content has changed', async () => {
    await using folder = await createTemporaryFolder();
    const write = (lifetime: string) =>
      writeFileSync(
        folder.at('x.yaml'),
        JSON.stringify({ ...minimum, signing: { ...minimum.signing, lifetime } }),
      );
    const load = configurationLoader(folder.at('x.yaml'), {});
    write('5m');
    const first = load();
    write('5m');
    expect(load()).toBe(first);
    write('7m');
    expect(load().configuration.signing.lifetime).toBe(420);
    write('xx');
    expect(load).toThrow('xx');
    expect(load).toThrow('xx');
    write('7m');
    expect(load().configuration.signing.lifetime).toBe(420);
    writeFileSync(folder.at('x.yaml'), '');
    expect(load).toThrow(ConfigurationFault);
  });

  test('is the option, else the variable, else the first default place that exists', async () => {
    await using folder = await createTemporaryFolder();
    const env = { REGISTRY_TOKEN_CONFIG: '/b.yaml' };
    expect(findConfigurationFile('/a.yaml', env)).toBe('/a.yaml');
    expect(findConfigurationFile(undefined, env)).toBe('/b.yaml');
    const before = process.cwd();
    try {
      process.chdir(folder.path);
      const nowhere = () => findConfigurationFile(undefined, { REGISTRY_TOKEN_CONFIG: '' });
      expect(nowhere).toThrow(/--config or REGISTRY_TOKEN_CONFIG/);
      expect(nowhere).toThrow(ConfigurationFault);
      mkdirSync('etc');
      writeFileSync('etc/registry-token.yaml', '');
      expect(nowhere()).toEndWith('/etc/registry-token.yaml');
      expect(findConfigurationFile('a.yaml', {})).toEndWith(`${folder.path}/a.yaml`);
    } finally {
      process.chdir(before);
    }
  });

  test('is where paths are relative to', () => {
    const { resolvePath, file } = loadText(JSON.stringify(minimum));
    expect(resolvePath('keys/signing.pem')).toBe(file.replace('test.yaml', 'keys/signing.pem'));
    expect(resolvePath('/run/signing.pem')).toBe('/run/signing.pem');
  });
});
