/** An agent between stock clients and a real registry, with a real Authority that binds OpToks by DPoP alone. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Authority, startAuthority } from './authority.ts';
import { writeCertificate } from './certificates.ts';
import { blobPath, writeImage } from './images.ts';
import { type Child, createTemporaryFolder, findFreePort, start, type TemporaryFolder } from './processes.ts';
import { type Registry, startRegistry } from './registry.ts';
import {
  REGISTRY_SERVICE,
  type RunningService,
  serviceCommand,
  startService,
  TOKEN_ISSUER,
} from './running-service.ts';

export interface AgentSetting extends AsyncDisposable {
  readonly folder: TemporaryFolder;
  readonly authority: Authority;
  readonly service: RunningService;
  readonly registry: Registry;
  readonly agent: Child;
  /** `127.0.0.1:PORT`, as image names have it. */
  readonly host: string;
  readonly url: string;
}

/** Starts all four. The agent's client has the plan `enterprise`: it pulls and pushes team-*. */
export async function startAgentSetting(): Promise<AgentSetting> {
  const stack = new AsyncDisposableStack();
  try {
    const folder = stack.use(await createTemporaryFolder());
    const signing = await writeCertificate(folder, 'registry-signing');
    const authority = stack.use(await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] }));
    const service = stack.use(
      await startService({ authorityIssuer: authority.issuer, signing: { ...signing } }),
    );
    const registry = stack.use(
      await startRegistry({
        realm: service.realm,
        service: REGISTRY_SERVICE,
        issuer: TOKEN_ISSUER,
        rootCertificatePath: signing.certificatePath,
      }),
    );
    await writeFile(folder.at('secret'), authority.clientSecret);
    const port = await findFreePort();
    const client = ['--client-id', 'builder', '--client-secret-path', folder.at('secret')];
    const agent = stack.use(
      start([
        ...[...serviceCommand, 'agent', '--listen', `127.0.0.1:${port}`, '--registry', registry.url],
        ...['--authority', authority.issuer, ...client],
      ]),
    );
    await agent.waitForLine(/"ready"/);
    const ending = stack.move();
    const host = `127.0.0.1:${port}`;
    const url = `http://${host}`;
    const dispose = () => ending.disposeAsync();
    return { folder, authority, service, registry, agent, host, url, [Symbol.asyncDispose]: dispose };
  } catch (cause) {
    await stack.disposeAsync();
    throw cause;
  }
}

/** The most memory that a process has had so far, in MiB (proc(5): VmHWM). */
export function peakMemory({ pid }: Child): number {
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) / 1024;
}

/** Writes an image whose layer has this size in MiB: nothing that could be unpacked, and nothing that compresses. */
export async function writeLargeImage(folder: string, mebibytes: number) {
  const image = await writeImage(folder);
  await rm(image.layer.path);
  const hash = createHash('sha256');
  const draft = join(folder, randomUUID());
  const file = await open(draft, 'wx');
  for (let written = 0; written < mebibytes; written += 1) {
    const block = randomBytes(1024 * 1024);
    // What clients know gzip by: they would compress anything else.
    if (written === 0) block.set([0x1f, 0x8b, 0x08]);
    hash.update(block);
    await file.write(block);
  }
  await file.close();
  const digest = `sha256:${hash.digest('hex')}`;
  await rename(draft, blobPath(folder, digest));
  await nameLayer(folder, image.layer.digest, { digest, size: mebibytes * 1024 * 1024 });
  return { source: image.source, layer: { digest, path: blobPath(folder, digest) } };
}

/** Puts another layer into the manifest, and the manifest into the index under its new digest. */
async function nameLayer(
  folder: string,
  old: string,
  layer: { digest: string; size: number },
): Promise<void> {
  const indexPath = join(folder, 'index.json');
  const index = JSON.parse(readFileSync(indexPath, 'utf8'));
  const [entry] = index.manifests;
  const manifest = JSON.parse(readFileSync(blobPath(folder, entry.digest), 'utf8'));
  if (manifest.layers[0].digest !== old) throw new Error('The manifest names another layer.');
  Object.assign(manifest.layers[0], layer);
  const text = JSON.stringify(manifest);
  await rm(blobPath(folder, entry.digest));
  entry.digest = `sha256:${createHash('sha256').update(text).digest('hex')}`;
  entry.size = Buffer.byteLength(text);
  await writeFile(blobPath(folder, entry.digest), text);
  await writeFile(indexPath, JSON.stringify(index));
}
