/** helm, which pushes and pulls charts: the archive of a folder with a Chart.yaml. */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { certificateOptions } from './go-clients.ts';
import { environmentOf, type RegistryAccess } from './image-clients.ts';
import { type Finished, run, runOrFail, type TemporaryFolder } from './processes.ts';

export interface Helm {
  /** Makes a chart that nobody has seen yet, and packs it; the path of `NAME-1.0.0.tgz`. */
  readonly makeChart: (name: string) => Promise<string>;
  /** Pushes the archive to `HOST/PATH`, where it gets the chart's name. */
  readonly push: (archive: string, path: string, access: RegistryAccess) => Promise<Finished>;
  /** Pulls version 1.0.0 of `HOST/PATH/NAME`. The archive that came: null for none. */
  readonly pull: (chart: string, access: RegistryAccess) => Promise<Finished & { archive: Buffer | null }>;
}

/** A helm that keeps its files in `folder`. */
export function createHelm(folder: TemporaryFolder): Helm {
  const home = { HOME: folder.path };
  let pulls = 0;
  const optionsOf = (access: RegistryAccess) =>
    access === 'plain-http' ? ['--plain-http'] : certificateOptions(access);
  const call = (access: RegistryAccess, ...words: readonly string[]) =>
    run(['helm', ...words, ...optionsOf(access)], { env: { ...home, ...environmentOf(access) } });
  return {
    makeChart: async (name) => {
      const chart = folder.at(`chart-${name}`);
      await mkdir(chart, { recursive: true });
      const lines = ['apiVersion: v2', `name: ${name}`, 'version: 1.0.0', `description: ${randomUUID()}`];
      await writeFile(join(chart, 'Chart.yaml'), `${lines.join('\n')}\n`);
      await runOrFail(['helm', 'package', chart, '--destination', folder.path], { env: home });
      return folder.at(`${name}-1.0.0.tgz`);
    },
    push: (archive, path, access) => call(access, 'push', archive, `oci://${path}`),
    pull: async (chart, access) => {
      pulls += 1;
      const target = folder.at(`helm-${pulls}`);
      await mkdir(target);
      const place = ['--version', '1.0.0', '--destination', target];
      const finished = await call(access, 'pull', `oci://${chart}`, ...place);
      const file = join(target, `${chart.slice(chart.lastIndexOf('/') + 1)}-1.0.0.tgz`);
      return { ...finished, archive: finished.exitCode === 0 ? await readFile(file) : null };
    },
  };
}
