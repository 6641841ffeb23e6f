/** The sample image is what the OCI image specification says, so that any client can push it. */
import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { writeSampleImage } from '../../src/dev/image.ts';
import { createTemporaryFolder } from '../support/processes.ts';

interface Descriptor {
  readonly digest: string;
  readonly size: number;
}

const sha256 = (bytes: Uint8Array) => `sha256:${new Bun.CryptoHasher('sha256').update(bytes).digest('hex')}`;

test('every descriptor has the digest and size of its blob, down to the uncompressed layer', async () => {
  await using folder = await createTemporaryFolder();
  writeSampleImage(folder.path);
  const readJson = (bytes: Buffer) => JSON.parse(bytes.toString());
  const readBlob = ({ digest, size }: Descriptor) => {
    const bytes = readFileSync(join(folder.path, 'blobs', digest.replace(':', '/')));
    expect({ digest: sha256(bytes), size: bytes.length }).toEqual({ digest, size });
    return bytes;
  };
  expect(readJson(readFileSync(folder.at('oci-layout')))).toEqual({ imageLayoutVersion: '1.0.0' });
  const { manifests } = readJson(readFileSync(folder.at('index.json')));
  expect(manifests).toHaveLength(1);
  expect(manifests[0].annotations).toEqual({ 'org.opencontainers.image.ref.name': 'latest' });
  const { config, layers } = readJson(readBlob(manifests[0]));
  expect(layers).toHaveLength(1);
  const layer = gunzipSync(readBlob(layers[0]));
  expect(readJson(readBlob(config)).rootfs).toEqual({ type: 'layers', diff_ids: [sha256(layer)] });
});

test('writing it again changes nothing', async () => {
  await using folder = await createTemporaryFolder();
  writeSampleImage(folder.path);
  const first = readFileSync(folder.at('index.json'), 'utf8');
  writeSampleImage(folder.path);
  expect(readFileSync(folder.at('index.json'), 'utf8')).toBe(first);
});
