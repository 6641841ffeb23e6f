/** The OCI image, written as the specification has it: blobs by their hash, and JSON that names them. No engine is needed. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CLibrary } from './c-library.ts';
import type { Contents } from './contents.ts';
import { type FileTree, gzip, tar, writeTree } from './file-tree.ts';
import { imageBase } from './image-base.ts';
import { DOCUMENTS } from './installed-tree.ts';
import { LICENCES } from './licences.ts';
import type { Release } from './release.ts';
import type { Executable } from './target.ts';

/** Nobody's number on any host, and not root: runAsNonRoot can tell from the number alone. */
export const IMAGE_USER = 65532;

const TYPES = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

interface Layer {
  readonly descriptor: Descriptor;
  /** Of the tar before compression. */
  readonly diffId: string;
}

export interface ImageParts {
  readonly executable: Executable;
  readonly cLibrary: CLibrary;
}

/**
 * Writes `registry-token-VERSION.oci.tar` into `out`: one index with a manifest for each architecture. `work` is an
 * empty folder. Returns the file's name.
 */
export async function makeImage(
  architectures: readonly ImageParts[],
  contents: Contents,
  release: Release,
  { work, out }: { readonly work: string; readonly out: string },
): Promise<string> {
  const layout = join(work, 'layout');
  await mkdir(join(layout, 'blobs/sha256'), { recursive: true });
  const manifests = await Promise.all(
    architectures.map(async (parts) => {
      const { architecture } = parts.executable.target;
      const manifest = await writeManifest(parts, contents, release, join(work, architecture), layout);
      return { ...manifest, platform: { architecture, os: 'linux' } };
    }),
  );
  const annotations = labels(release);
  const index = await writeJson(
    { schemaVersion: 2, mediaType: TYPES.index, manifests, annotations },
    TYPES.index,
    layout,
  );
  const reference = { ...index, annotations: { 'org.opencontainers.image.ref.name': release.version } };
  const entry = { schemaVersion: 2, mediaType: TYPES.index, manifests: [reference] };
  await writeTree(layout, {
    'oci-layout': { text: JSON.stringify({ imageLayoutVersion: '1.0.0' }) },
    'index.json': { text: JSON.stringify(entry) },
  });
  const name = `registry-token-${release.version}.oci.tar`;
  await tar(layout, join(out, name), release.epoch);
  return name;
}

async function writeManifest(
  { executable, cLibrary }: ImageParts,
  { documents }: Contents,
  release: Release,
  work: string,
  layout: string,
): Promise<Descriptor> {
  // The executable is a layer of its own: a host that has the last version fetches this one alone.
  const base = await writeLayer(
    { ...imageBase(IMAGE_USER), ...cLibrary.tree },
    `${work}-base`,
    layout,
    release,
  );
  const program: FileTree = {
    'usr/bin/registry-token': { copyOf: executable.path, mode: 0o755 },
    ...Object.fromEntries(
      ['LICENSE', LICENCES].map((name) => [`${DOCUMENTS}/${name}`, documents[name] ?? { text: '' }]),
    ),
  };
  const layers = [base, await writeLayer(program, `${work}-program`, layout, release)];
  const created = new Date(release.epoch * 1000).toISOString();
  const config = {
    created,
    architecture: executable.target.architecture,
    os: 'linux',
    config: {
      User: `${IMAGE_USER}:${IMAGE_USER}`,
      Env: ['PATH=/usr/bin'],
      Entrypoint: ['/usr/bin/registry-token'],
      Cmd: ['serve', '--config', '/etc/registry-token/registry-token.yaml'],
      ExposedPorts: { '8085/tcp': {} },
      WorkingDir: '/',
      Labels: labels(release),
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: [
      { created, created_by: `libc6 ${cLibrary.version}, certificate authorities` },
      { created, created_by: `registry-token ${release.version}` },
    ],
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: TYPES.manifest,
    config: await writeJson(config, TYPES.config, layout),
    layers: layers.map(({ descriptor }) => descriptor),
  };
  return writeJson(manifest, TYPES.manifest, layout);
}

function labels({ version, commit, epoch }: Release): Record<string, string> {
  return {
    'org.opencontainers.image.title': 'registry-token',
    'org.opencontainers.image.description': 'Token service for Docker and OCI registries',
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.revision': commit,
    'org.opencontainers.image.created': new Date(epoch * 1000).toISOString(),
    'org.opencontainers.image.licenses': 'Apache-2.0',
  };
}

async function writeLayer(tree: FileTree, work: string, layout: string, release: Release): Promise<Layer> {
  await writeTree(join(work, 'tree'), tree);
  const file = join(work, 'layer.tar');
  await tar(join(work, 'tree'), file, release.epoch);
  const diffId = await digestOf(file);
  const compressed = await gzip(file);
  const digest = await digestOf(compressed);
  const { size } = await stat(compressed);
  await rename(compressed, blobPath(layout, digest));
  return { descriptor: { mediaType: TYPES.layer, digest, size }, diffId };
}

async function writeJson(value: unknown, mediaType: string, layout: string): Promise<Descriptor> {
  const text = JSON.stringify(value);
  const digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  await writeFile(blobPath(layout, digest), text);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

function blobPath(layout: string, digest: string): string {
  return join(layout, 'blobs', digest.replace(':', '/'));
}

async function digestOf(file: string): Promise<string> {
  return `sha256:${createHash('sha256')
    .update(await readFile(file))
    .digest('hex')}`;
}
