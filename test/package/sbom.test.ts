/** The bill of materials against CycloneDX's own schema, and against what is installed. */
import { describe, expect, test } from 'bun:test';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { describeRelease } from '../../etc/package/release.ts';
import { renderSbom } from '../../etc/package/sbom.ts';
import manifest from '../../package.json' with { type: 'json' };

const release = describeRelease({
  base: '1.2.3',
  commit: '0123456789ab',
  epoch: 1_700_000_000,
  tags: ['v1.2.3'],
  reachableTags: ['v1.2.3'],
  isDirty: false,
  changelog: '## [1.2.3] - 2023-11-14\n',
});
const cLibraries = [{ architecture: 'amd64', version: '2.36-9+deb12u1', tree: {} }] as const;
const text = await renderSbom(release, cLibraries);
const bom = JSON.parse(text);
const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);

describe('the bill of materials', () => {
  test('is valid CycloneDX 1.6', async () => {
    expect(await validator.validate(text)).toBeNull();
    expect(await validator.validate(text.replace('"platform"', '"plattform"'))).not.toBeNull();
  });

  test('holds every runtime dependency, what these need, the runtime, and the C library of the image', () => {
    const names: string[] = bom.components.map(({ name }: { name: string }) => name);
    for (const name of [...Object.keys(manifest.dependencies), 'denque', 'bun', 'libc6'])
      expect(names).toContain(name);
    expect(names.filter((name) => name in manifest.devDependencies)).toEqual(['bun']);
    expect(new Set(names).size).toBe(names.length);
  });

  test('gives each package the hash of bun.lock and a licence', () => {
    const packages = bom.components.filter(({ hashes }: { hashes?: unknown }) => hashes !== undefined);
    expect(packages.length).toBe(bom.components.length - 2);
    for (const { hashes, licenses, purl } of packages) {
      expect(hashes[0].content).toMatch(/^[0-9a-f]{128}$/);
      expect(licenses).toHaveLength(1);
      expect(purl).toMatch(/^pkg:npm\/(?:%40[^/]+\/)?[^/@]+@\d/);
    }
  });

  test('leads from the program to each of its parts', () => {
    const needed = new Map<string, readonly string[]>(
      bom.dependencies.map(({ ref, dependsOn }: { ref: string; dependsOn: string[] }) => [ref, dependsOn]),
    );
    const reached = new Set<string>([bom.metadata.component['bom-ref']]);
    for (const ref of reached) for (const other of needed.get(ref) ?? []) reached.add(other);
    for (const component of bom.components) expect([...reached]).toContain(component['bom-ref']);
  });

  test('is the same when it is made again', async () => {
    expect(await renderSbom(release, cLibraries)).toBe(text);
  });
});
