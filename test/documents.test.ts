/** The pages of the repository: links lead somewhere, tables are those of the sources, and the samples are what is printed. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { packagedConfiguration } from '../etc/package/contents.ts';
import { run, runOrFail } from './support/processes.ts';
import { readReference, withTables } from './support/reference.ts';

setDefaultTimeout(30_000);

const ROOT = new URL('../', import.meta.url).pathname;
const listed = await runOrFail(['git', 'ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
});
const files = listed.split('\n').filter((path) => path !== '' && existsSync(join(ROOT, path)));
const pages = files.filter((path) => path.endsWith('.md'));
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

const withoutCode = (page: string) => page.replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, '`');

/** The anchors of a page as GitHub makes them: lower case, without punctuation, a hyphen for each space. */
function anchorsOf(page: string): Set<string> {
  const counts = new Map<string, number>();
  const anchors = [...page.replace(/^```.*?^```$/gms, '').matchAll(/^#{1,6} (.+)$/gm)].map(
    ([, title = '']) => {
      const anchor = title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-');
      const count = counts.get(anchor) ?? 0;
      counts.set(anchor, count + 1);
      return count === 0 ? anchor : `${anchor}-${count}`;
    },
  );
  return new Set(anchors);
}

/** Each link of a page that leads to no file or to no heading, as it is written. */
function brokenLinks(path: string, page: string, readPage: (path: string) => string | null): string[] {
  const targets = [...withoutCode(page).matchAll(/\]\(([^()\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false;
    const [file = '', anchor] = target.split('#');
    const text = file === '' ? page : readPage(join(dirname(path), file));
    return text === null || (anchor !== undefined && !anchorsOf(text).has(anchor));
  });
}

function readIfThere(path: string): string | null {
  const full = join(ROOT, path);
  if (!existsSync(full)) return null;
  return statSync(full).isFile() ? readFileSync(full, 'utf8') : '';
}

describe('links', () => {
  test('the pages are found', () => {
    expect(pages).toContain('README.md');
    expect(pages).toContain('etc/README.md');
    expect(pages.length).toBeGreaterThan(6);
  });

  test.each(pages)('every relative link and every anchor of %s leads somewhere', (path) => {
    expect(brokenLinks(path, read(path), readIfThere)).toEqual([]);
  });

  test.each([
    ['a file that is not there', '[x](gone.md)', ['gone.md']],
    ['a heading that is not there', '[x](there.md#gone)', ['there.md#gone']],
    ['a heading of the page itself', '## Some (thing)\n[x](#some-thing) [y](#other)', ['#other']],
    ['nothing, where it leads somewhere', '[x](there.md#a-b) [y](https://a.example/x#y)', []],
  ])('a link is noticed that leads to %s', (_, page, broken) => {
    const others = (path: string) => (path === 'there.md' ? '# A: b\n' : null);
    expect(brokenLinks('page.md', page, others)).toEqual(broken);
  });
});

describe('tables', () => {
  test('and examples of etc/README.md are made from the sources: bun run schema writes them', async () => {
    expect(readReference()).toBe(await withTables(readReference()));
  });

  test('each metric of the sources is in etc/README.md, and no other', () => {
    const names = (text: string) => new Set(text.match(/registry_token_[a-z_]+[a-z]/g));
    const told = names(read('etc/README.md'));
    const made = names(read('src/telemetry/metrics.ts'));
    expect([...told].sort()).toEqual([...made].sort());
  });

  test('each command of the program is in etc/README.md, and no other', async () => {
    const [, section = ''] = /^## Commands\n(.*?)^## /ms.exec(read('etc/README.md')) ?? [];
    const told = [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, name]) => name);
    const help = await run([process.execPath, 'run', 'src/main.ts', '--help'], { cwd: ROOT });
    const output = `${help.stdout}${help.stderr}`;
    const made = [...output.matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => name);
    expect(told.sort()).toEqual(made.sort());
  });
});

test('each command line of the pages names a command and options that it has', async () => {
  const lines = [read('README.md'), read('etc/README.md')].flatMap((page) =>
    page
      .replaceAll('\\\n', ' ')
      .matchAll(/(?:^|[`( ])registry-token ([a-z]+(?:-[a-z]+)*)((?: [^`|#&;\n]*)?)/gm)
      .map(([, command = '', rest = '']) => ({ command, rest }))
      .toArray(),
  );
  const asked = new Map<string, Promise<string>>();
  const helpOf = (command: string) => {
    const words = command === '' ? ['--help'] : [command, '--help'];
    const help =
      asked.get(command) ?? runOrFail([process.execPath, 'run', 'src/main.ts', ...words], { cwd: ROOT });
    asked.set(command, help);
    return help;
  };
  const commands = [...(await helpOf('')).matchAll(/^ {2}([a-z-]+) {2,}/gm)].map(([, name]) => name);
  const written = lines.filter(({ command, rest }) => commands.includes(command) || rest.includes(' --'));
  expect(written.length).toBeGreaterThan(40);
  for (const { command, rest } of written) {
    const options = rest.match(/(?<= )--[a-z-]+/g) ?? [];
    const help = await helpOf(command);
    expect({ command, unknown: options.filter((option) => !help.includes(option)) }).toEqual({
      command,
      unknown: [],
    });
  }
});

test('each runtime dependency has a row with its reason in src/README.md, and no other package has', () => {
  const [, section = ''] = /^## Dependencies\n(.*?)^## /ms.exec(read('src/README.md')) ?? [];
  const rows = [...section.matchAll(/^\| (`.+`) \| .+ \|$/gm)].map(([, names = '']) => names);
  const named = rows.flatMap((names) => [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
  expect(named.sort()).toEqual(Object.keys(JSON.parse(read('package.json')).dependencies).sort());
});

test('each test that the table of reliability names is there', () => {
  const [, section = ''] = /^## Reliability\n(.*?)^## /ms.exec(read('etc/README.md')) ?? [];
  const paths = new Map(
    [...section.matchAll(/\b([A-Z]) is `(test\/[^`]+)`|, ([A-Z]) `(test\/[^`]+)`/g)].map(([, a, b, c, d]) => [
      a ?? c,
      b ?? d ?? '',
    ]),
  );
  const named = [...section.matchAll(/ ([A-Z]) \*([^*]+)\*(?=;| \|$)/gm)].map(([, letter, title = '']) => ({
    letter,
    title,
  }));
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter(({ letter, title }) => !read(paths.get(letter) ?? '').includes(title))).toEqual([]);
});

test('each sample of etc is linked from etc/README.md', () => {
  const samples = files.filter(
    (path) =>
      path.startsWith('etc/') &&
      !/^etc\/(?:package|bench)\/|\.(?:md|svg|pem)$|\.schema\.json$|\.test\.yml$/.test(path),
  );
  expect(samples.length).toBeGreaterThan(10);
  const reference = read('etc/README.md');
  const missing = samples.filter((path) => !reference.includes(`](${path.slice('etc/'.length)})`));
  expect(missing).toEqual([]);
});

test('the sample of the configuration has the lines that a package changes', () => {
  const packaged = packagedConfiguration(read('etc/registry-token.yaml'));
  for (const path of ['registry-signing.pem', '/var/lib/registry-token/', '/run/registry-token/'])
    expect(packaged).toContain(path);
});

test('the contents of etc/README.md are its sections', () => {
  const reference = read('etc/README.md');
  const [, contents = ''] = /^\*\*Contents:\*\*\n(.*?)^## /ms.exec(reference) ?? [];
  const listed = [...contents.matchAll(/\[([^\]]+)\]\(#/g)].map(([, title]) => title);
  const sections = [...reference.matchAll(/^## (.+)$/gm)].map(([, title]) => title);
  expect(listed).toEqual(sections);
});

describe('README.md', () => {
  const readme = read('README.md');

  test('has 150 to 200 lines', () => {
    const lines = readme.split('\n').length - 1;
    expect(lines).toBeGreaterThanOrEqual(150);
    expect(lines).toBeLessThanOrEqual(200);
  });

  test('prints the minimal configuration, which has 14 lines', () => {
    const minimal = read('etc/registry-token.minimal.yaml');
    expect(readme).toContain(`\`\`\`yaml\n${minimal}\`\`\``);
    expect(minimal.trimEnd().split('\n')).toHaveLength(14);
  });
});

test('no file of the repository cites a document that is not in it', () => {
  const absent = new RegExp(
    ['CONTRACT', 'HOUSE', 'SENDER-CONSTRAINT', 'CLIENTS-AND-REGISTRIES']
      .map((name) => `\\b${name}\\b`)
      .join('|'),
  );
  const citing = files.filter(
    (path) =>
      /\.(?:ts|md|ya?ml|sh|conf|json)$/.test(path) &&
      path !== 'test/documents.test.ts' &&
      absent.test(read(path)),
  );
  expect(citing).toEqual([]);
});
