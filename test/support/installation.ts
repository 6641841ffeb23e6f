/** An installation in a root, as its operator uses it: an edited configuration, and tokens of the installed unit. */
import { readFile, writeFile } from 'node:fs/promises';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { startAuthority } from './authority.ts';
import { createDpopClient, getByProtectedRequest } from './authority-client.ts';
import { type DebianRoot, readUnit } from './debian-root.ts';
import { findFreePort } from './processes.ts';
import { nextSecond, REGISTRY_SERVICE } from './running-service.ts';
import { tokenUrl } from './token-request.ts';

export const CONFIGURATION = 'etc/registry-token/registry-token.yaml';
export const UNIT = 'usr/lib/systemd/system/registry-token.service';
const SCOPE = 'repository:stella-ops/public/app:pull';

/** The `access` of a token that the sample's default plan allows. */
export const granted = [{ type: 'repository', name: 'stella-ops/public/app', actions: ['pull'] }];

export interface Installation extends AsyncDisposable {
  /** Three edits of the configuration as it was installed. Returns its text. */
  readonly edit: () => Promise<string>;
  /** Starts what is installed by the words of the unit, gets a token, stops it. Returns the token's `access`. */
  readonly issue: () => Promise<unknown>;
}

export async function createInstallation(root: DebianRoot, unitPath = UNIT): Promise<Installation> {
  const authority = await startAuthority({ clients: [{ id: 'builder' }] });
  const client = await createDpopClient(authority, 'builder');
  const port = await findFreePort();
  return {
    edit: async () => {
      const edits: readonly (readonly [string | RegExp, string])[] = [
        ['issuer: http://127.0.0.1:8086', `issuer: ${authority.issuer}`],
        [/realm: \[.*\]/, `realm: http://127.0.0.1:${port}/token`],
        ['allowedServices: [registry.localhost]', `allowedServices: [${REGISTRY_SERVICE}]`],
      ];
      const sample = await readFile(root.at(CONFIGURATION), 'utf8');
      const edited = edits.reduce((text, [from, to]) => text.replace(from, to), sample);
      await writeFile(root.at(CONFIGURATION), edited);
      return edited;
    },
    issue: async () => {
      const unit = readUnit(await readFile(root.at(unitPath), 'utf8'));
      const address = { REGISTRY_TOKEN_SERVER__LISTEN: `127.0.0.1:${port}` };
      await using service = await root.startUnit(unit, address);
      await service.waitForStatus(`http://127.0.0.1:${port}/readyz`, 200);
      await nextSecond();
      // The first start has no state to take over: openid-client sends the nonce that the service then asks for.
      const url = tokenUrl(`http://127.0.0.1:${port}/token`, [SCOPE]);
      const response = await getByProtectedRequest(authority, client, url);
      const { token = '' } = (await response.json()) as { token?: string };
      const keys = await Bun.file(root.at('etc/registry-token/registry-jwks.json')).json();
      const { payload } = await jwtVerify(token, createLocalJWKSet(keys), { audience: REGISTRY_SERVICE });
      const exitCode = await service.stop();
      if (exitCode !== 0) throw new Error(`The service ended with ${exitCode}:\n${service.stderr()}`);
      return payload.access;
    },
    [Symbol.asyncDispose]: () => authority[Symbol.asyncDispose](),
  };
}
