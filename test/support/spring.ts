/** Spring Authorization Server as Spring Boot configures it, by the properties that the recipe prints. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cachedParts, type OAuthServer } from './oauth-servers.ts';
import { createTemporaryFolder, findFreePort, start } from './processes.ts';

/** Starts it on a free port. `properties` are those of the recipe. A loaded machine takes its time. */
export async function startSpring(properties: string, secret: string): Promise<OAuthServer> {
  const folder = await createTemporaryFolder();
  const port = await findFreePort();
  const issuer = `http://127.0.0.1:${port}`;
  const text = properties
    .replaceAll('https://issuer.example', issuer)
    .replace('{noop}change-me', `{noop}${secret}`);
  await writeFile(
    folder.at('application.properties'),
    `${text}\nserver.port=${port}\nserver.address=127.0.0.1\n`,
  );
  const child = start(
    ['java', '-Xmx256m', '-XX:TieredStopAtLevel=1', '-jar', join(cachedParts, 'spring.jar')],
    { cwd: folder.path },
  );
  await child.waitForStatus(`${issuer}/.well-known/oauth-authorization-server`, 200, 180_000);
  return {
    issuer,
    caPath: null,
    [Symbol.asyncDispose]: async () => {
      await child.stop();
      await folder[Symbol.asyncDispose]();
    },
  };
}
