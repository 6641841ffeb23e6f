/** The smallest image: an OCI image layout with one empty layer, to have something to push without internet access. */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** An empty tar archive: two blocks of zeros. */
const EMPTY_TAR = Buffer.alloc(1024);

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** Writes the layout into `folder`; the image is `oci:FOLDER:latest` to skopeo. The same bytes each time. */
export function writeSampleImage(folder: string): void {
  const blobs = join(folder, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const writeBlob = (mediaType: string, bytes: Buffer): Descriptor => {
    const digest = sha256(bytes);
    writeFileSync(join(blobs, digest), bytes);
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length };
  };
  const layer = writeBlob('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(EMPTY_TAR));
  const config = writeBlob(
    'application/vnd.oci.image.config.v1+json',
    toJson({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(EMPTY_TAR)}`] },
    }),
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = writeBlob(mediaType, toJson({ schemaVersion: 2, mediaType, config, layers: [layer] }));
  const annotations = { 'org.opencontainers.image.ref.name': 'latest' };
  writeFileSync(
    join(folder, 'index.json'),
    toJson({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  writeFileSync(join(folder, 'oci-layout'), toJson({ imageLayoutVersion: '1.0.0' }));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
