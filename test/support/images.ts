/** A container image made of nothing but this file: an OCI layout that skopeo, podman and others copy. */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

export interface TestImage {
  /** Its name to skopeo: `oci:FOLDER:latest`. */
  readonly source: string;
  readonly layer: { readonly path: string; readonly digest: string };
}

/**
 * Writes an image of one layer with one file. Its content is random: clients remember the blobs that they have
 * pushed, and would try to mount a known one from another repository.
 */
export async function writeImage(folder: string): Promise<TestImage> {
  const blobs = join(folder, 'blobs', 'sha256');
  await mkdir(blobs, { recursive: true });
  const add = async (mediaType: string, content: Uint8Array) => {
    const hex = createHash('sha256').update(content).digest('hex');
    await writeFile(join(blobs, hex), content);
    return { mediaType, digest: `sha256:${hex}`, size: content.byteLength };
  };
  const archive = tarArchive('greeting.txt', Buffer.from(`hello ${randomUUID()}\n`));
  const layer = await add('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(archive));
  const contentDigest = `sha256:${createHash('sha256').update(archive).digest('hex')}`;
  const config = await add('application/vnd.oci.image.config.v1+json', toJson(imageConfig(contentDigest)));
  const manifest = await add(
    MANIFEST_TYPE,
    toJson({ schemaVersion: 2, mediaType: MANIFEST_TYPE, config, layers: [layer] }),
  );
  const index = {
    schemaVersion: 2,
    manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'latest' } }],
  };
  await writeFile(join(folder, 'index.json'), toJson(index));
  await writeFile(join(folder, 'oci-layout'), toJson({ imageLayoutVersion: '1.0.0' }));
  return {
    source: `oci:${folder}:latest`,
    layer: { path: blobPath(folder, layer.digest), digest: layer.digest },
  };
}

/** Where an OCI layout keeps the blob of a digest `sha256:…`. */
export function blobPath(folder: string, digest: string): string {
  return join(folder, 'blobs', ...digest.split(':'));
}

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';

/** `contentDigest`: of the layer's archive before it was compressed. */
function imageConfig(contentDigest: string) {
  return {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['/greeting.txt'] },
    rootfs: { type: 'layers', diff_ids: [contentDigest] },
    history: [{ created: '2026-01-01T00:00:00Z', created_by: 'a test' }],
  };
}

/** A ustar archive of one file: header, content in blocks of 512 bytes, two empty blocks. */
function tarArchive(name: string, content: Uint8Array): Uint8Array {
  const header = Buffer.alloc(512);
  const octal = (value: number, width: number) => `${value.toString(8).padStart(width - 1, '0')}\0`;
  header.write(name, 0);
  header.write(octal(0o644, 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(content.byteLength, 12), 124);
  header.write(octal(0, 12), 136);
  header.write(' '.repeat(8), 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257, 'latin1');
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.byteLength % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}

function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
