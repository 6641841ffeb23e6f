/** skopeo, as a user of registry tokens calls it. */
import { type Finished, run } from './processes.ts';

/** Pushes `source` (`oci:FOLDER:TAG`) to `target` (`HOST/NAME:TAG`) over plain http. */
export function push(source: string, target: string, registryToken: string): Promise<Finished> {
  const options = ['--dest-tls-verify=false', '--dest-registry-token', registryToken];
  return run(['skopeo', 'copy', '--insecure-policy', ...options, source, `docker://${target}`]);
}

/** Pulls `source` (`HOST/NAME:TAG`) into the folder `target` over plain http. */
export function pull(source: string, target: string, registryToken: string): Promise<Finished> {
  const options = ['--src-tls-verify=false', '--src-registry-token', registryToken];
  return run([
    'skopeo',
    'copy',
    '--insecure-policy',
    ...options,
    `docker://${source}`,
    `oci:${target}:latest`,
  ]);
}
