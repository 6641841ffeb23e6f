/** A registry whose `auth` section a test writes as text, and which it starts again with another. */
import { writeFileSync } from 'node:fs';
import { type Child, createTemporaryFolder, findFreePort, start } from './processes.ts';
import { REGISTRY_ENVIRONMENT, type RegistryProgram } from './registry.ts';

export interface RestartableRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, as image names have it. */
  readonly host: string;
  readonly url: string;
  /** Ends it where it runs, and starts it with this `auth:` section; its images stay. */
  readonly restart: (authSection: string) => Promise<void>;
}

/** On a port of its own; not started yet. */
export async function createRestartableRegistry(
  program: RegistryProgram = 'docker-registry',
): Promise<RestartableRegistry> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const configurationPath = folder.at('config.yml');
  let child: Child | null = null;
  const base = [
    'version: 0.1',
    'log: { level: warn, accesslog: { disabled: true } }',
    `storage: { filesystem: { rootdirectory: ${folder.at('images')} } }`,
    `http: { addr: "127.0.0.1:${port}" }`,
    '',
  ].join('\n');
  return {
    host: `127.0.0.1:${port}`,
    url: `http://127.0.0.1:${port}`,
    restart: async (authSection) => {
      await child?.stop();
      writeFileSync(configurationPath, `${base}${authSection}`);
      child = start([program, 'serve', configurationPath], { env: REGISTRY_ENVIRONMENT });
      await child.waitForStatus(`http://127.0.0.1:${port}/v2/`, 401);
    },
    [Symbol.asyncDispose]: async () => {
      await child?.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}
