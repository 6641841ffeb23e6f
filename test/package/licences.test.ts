/** The licences that each package carries, against what the executable holds and the bill of materials. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readdir } from 'node:fs/promises';
import { build } from '../../build.ts';
import {
  type BundledPackage,
  bundledPackages,
  licenceIds,
  renderLicences,
  runtimeParts,
} from '../../etc/package/licences.ts';
import { describeRelease } from '../../etc/package/release.ts';
import { renderSbom } from '../../etc/package/sbom.ts';
import manifest from '../../package.json' with { type: 'json' };
import { createTemporaryFolder } from '../support/processes.ts';

setDefaultTimeout(120_000);

const state = { commit: '0123456789ab', epoch: 1_700_000_000, isDirty: false, tags: [], reachableTags: [] };
const release = describeRelease({ ...state, base: '1.2.3', changelog: '' });
const bom = JSON.parse(await renderSbom(release, []));
const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

let bundled: readonly BundledPackage[];
let text: string;

beforeAll(async () => {
  bundled = await bundledPackages(await build({ outfile: folder.at('registry-token') }));
  text = await renderLicences(bundled);
});

describe('the licences of the npm packages', () => {
  test('are there for every package of which a file is in the executable', () => {
    const names = bundled.map(({ name }) => name);
    expect(names).toContain('jose');
    expect(names).toContain('denque');
    for (const { name, version, license } of bundled)
      expect(text).toContain(`--- ${name} ${version} (${license})\n\n`);
  });

  test('are of no package that the bill of materials does not list', () => {
    const listed = bom.components.map(({ purl }: { purl: string }) => decodeURIComponent(purl));
    expect(bundled.filter(({ name, version }) => !listed.includes(`pkg:npm/${name}@${version}`))).toEqual([]);
  });

  test('are of every direct dependency', () => {
    const names = bundled.map(({ name }) => name);
    expect(Object.keys(manifest.dependencies).filter((name) => !names.includes(name))).toEqual([]);
  });
});

describe('the licences of the runtime', () => {
  const names = runtimeParts().flatMap((part) => part.names);

  test('are there for every library that this Bun says it holds', () => {
    // Versions of interfaces that Bun keeps, which name no library.
    const interfaces = ['modules', 'napi', 'openssl', 'typescript', 'unicode', 'uv', 'v8'];
    const libraries = Object.keys(process.versions).filter((name) => !interfaces.includes(name));
    expect(libraries).toContain('webkit');
    expect(libraries.filter((name) => !names.includes(name))).toEqual([]);
  });

  test('name no licence without its text, and no text is left over', async () => {
    const used = new Set(runtimeParts().flatMap(({ license }) => licenceIds(license)));
    for (const id of used) expect(text).toContain(`\n--- ${id}\n\n`);
    const files = await readdir(new URL('../../etc/package/licences', import.meta.url));
    expect(files.filter((name) => name.endsWith('.txt')).sort()).toEqual(
      [...used].map((id) => `${id}.txt`).sort(),
    );
    expect(text).toContain('GNU LIBRARY GENERAL PUBLIC LICENSE');
  });

  test('are in the bill of materials too', () => {
    const runtime = bom.components.find(({ name }: { name: string }) => name === 'bun');
    const listed = runtime.components.map(({ name }: { name: string }) => name);
    expect(listed.sort()).toEqual([...names].sort());
  });
});
