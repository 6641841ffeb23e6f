/** The bill of materials: CycloneDX 1.6, from bun.lock and the manifests of what is installed. */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import manifest from '../../package.json' with { type: 'json' };
import type { CLibrary } from './c-library.ts';
import { runtimeParts } from './licences.ts';
import type { Release } from './release.ts';

/** A package of bun.lock: name@version, where it comes from, what it needs, its hash. */
type LockedPackage = readonly [
  string,
  string,
  { readonly dependencies?: Readonly<Record<string, string>> },
  string,
];

interface Lock {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

const PACKAGE_NAME = /(?:@[^/]+\/)?[^/]+/g;

interface Component {
  readonly type: 'library' | 'platform' | 'application';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly [key: string]: unknown;
}

/** The text of `registry-token-VERSION.cdx.json`: the same for the same release and lock. */
export async function renderSbom(release: Release, cLibraries: readonly CLibrary[]): Promise<string> {
  const lock = Bun.JSONC.parse(await readFile('bun.lock', 'utf8')) as Lock;
  const keys = reachable(lock, Object.keys(manifest.dependencies));
  const libraries = await Promise.all([...keys].sort().map((key) => libraryOf(lock, key)));
  const self = `pkg:generic/registry-token@${release.version}`;
  const runtime: Component = {
    type: 'platform',
    'bom-ref': `pkg:npm/bun@${manifest.devDependencies.bun}`,
    name: 'bun',
    version: manifest.devDependencies.bun,
    purl: `pkg:npm/bun@${manifest.devDependencies.bun}`,
    description: 'The runtime inside every executable',
    licenses: [{ license: { id: 'MIT' } }],
    components: runtimeParts().flatMap(({ names, license }) =>
      names.map((name) => ({ type: 'library', name, licenses: [{ expression: license }] })),
    ),
  };
  const inImage = cLibraries.map(({ architecture, version }): Component => {
    const purl = `pkg:deb/debian/libc6@${encodeURIComponent(version)}?arch=${architecture}`;
    const description = 'The C library of the OCI image; other packages use that of their host';
    return { type: 'library', 'bom-ref': purl, name: 'libc6', version, purl, description };
  });
  const direct = Object.keys(manifest.dependencies).map((name) => refOf(lock, name));
  const dependencies = [
    {
      ref: self,
      dependsOn: [...direct, ...[runtime, ...inImage].map((component) => component['bom-ref'])].sort(),
    },
    ...[...keys].sort().map((key) => ({
      ref: refOf(lock, key),
      dependsOn: neighboursOf(lock, key)
        .map((other) => refOf(lock, other))
        .sort(),
    })),
  ];
  const bom = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(`${release.version} ${release.commit} ${release.epoch}`)}`,
    version: 1,
    metadata: {
      timestamp: new Date(release.epoch * 1000).toISOString(),
      component: {
        type: 'application',
        'bom-ref': self,
        name: 'registry-token',
        version: release.version,
        description: manifest.description,
        licenses: [{ license: { id: manifest.license } }],
        properties: [{ name: 'registry-token:commit', value: release.commit }],
      },
    },
    components: [...libraries, runtime, ...inImage],
    dependencies,
  };
  return `${JSON.stringify(bom, null, 2)}\n`;
}

/** The keys of bun.lock that these dependencies lead to, themselves included. */
function reachable(lock: Lock, names: readonly string[]): ReadonlySet<string> {
  const found = new Set<string>();
  const queue = [...names];
  for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
    if (found.has(key)) continue;
    found.add(key);
    queue.push(...neighboursOf(lock, key));
  }
  return found;
}

/** A dependency is the one nested under its parent where bun.lock has one (`parent/name`), else under a grandparent's. */
function neighboursOf(lock: Lock, key: string): readonly string[] {
  const parents = key.match(PACKAGE_NAME) ?? [];
  return Object.keys(lock.packages[key]?.[2].dependencies ?? {}).map((name) => {
    const nested = parents.map((_, depth) => [...parents.slice(0, parents.length - depth), name].join('/'));
    return [...nested, name].find((candidate) => candidate in lock.packages) ?? name;
  });
}

async function libraryOf(lock: Lock, key: string): Promise<Component> {
  const { name, version } = identityOf(lock, key);
  const integrity = lock.packages[key]?.[3] ?? '';
  const purl = refOf(lock, key);
  const installed = ['node_modules', ...pathOf(key), 'package.json'].join('/');
  const { license, description } = await Bun.file(installed).json();
  if (typeof license !== 'string') throw new Error(`${installed} names no licence.`);
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    purl,
    ...(typeof description === 'string' ? { description } : {}),
    hashes: [
      { alg: 'SHA-512', content: Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex') },
    ],
    licenses: [/[ ()]/.test(license) ? { expression: license } : { license: { id: license } }],
  };
}

/** Where a package is below node_modules: `a/@b/c` is `a/node_modules/@b/c`. */
function pathOf(key: string): readonly string[] {
  return (key.match(PACKAGE_NAME) ?? []).join('/node_modules/').split('/');
}

/** The package URL, by which the document refers to a package: https://github.com/package-url/purl-spec. */
function refOf(lock: Lock, key: string): string {
  const { name, version } = identityOf(lock, key);
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

function identityOf(lock: Lock, key: string): { readonly name: string; readonly version: string } {
  const locked = lock.packages[key];
  if (locked === undefined) throw new Error(`bun.lock has no ${key}: run bun install.`);
  const at = locked[0].lastIndexOf('@');
  return { name: locked[0].slice(0, at), version: locked[0].slice(at + 1) };
}

/** RFC 9562 §5.8: version 8, made of what it names instead of chance. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
