/** The whole way: an OpTok of a real Authority, the compiled service, a real registry and a real client. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readdir, readFile } from 'node:fs/promises';
import { type Authority, startAuthority } from '../support/authority.ts';
import { createDpopClient, type DpopClient } from '../support/authority-client.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { blobPath, type TestImage, writeImage } from '../support/images.ts';
import { createTemporaryFolder, type TemporaryFolder } from '../support/processes.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import {
  REGISTRY_SERVICE,
  type RunningService,
  startService,
  TOKEN_ISSUER,
} from '../support/running-service.ts';
import { pull, push } from '../support/skopeo.ts';
import { obtainToken } from '../support/token-request.ts';

setDefaultTimeout(60_000);

const hints = [
  { algorithm: 'ES256', hint: 'x5c' },
  { algorithm: 'ES256', hint: 'libtrust' },
  { algorithm: 'RS256', hint: 'x5c' },
  { algorithm: 'RS256', hint: 'libtrust' },
] as const;

for (const { algorithm, hint } of hints)
  describeWith(
    ['docker-registry', 'skopeo', 'openssl'],
    `docker-registry 2.8 with an ${algorithm} key known by its ${hint === 'x5c' ? 'x5c' : 'libtrust kid'}`,
    () => {
      let folder: TemporaryFolder;
      let authority: Authority;
      let service: RunningService;
      let registry: Registry;
      let image: TestImage;
      let client: DpopClient;

      beforeAll(async () => {
        folder = await createTemporaryFolder();
        const { keyPath, certificatePath } = await writeCertificate(folder, 'registry-signing', {
          algorithm,
        });
        authority = await startAuthority({
          clients: [{ id: 'builder', plan: 'enterprise', tenant: 'acme' }],
        });
        const keyHint = hint === 'x5c' ? { certificatePath, keyId: 'any-kid' } : { keyId: 'libtrust' };
        service = await startService({ authorityIssuer: authority.issuer, signing: { keyPath, ...keyHint } });
        registry = await startRegistry({
          realm: service.realm,
          service: REGISTRY_SERVICE,
          issuer: TOKEN_ISSUER,
          rootCertificatePath: certificatePath,
        });
        image = await writeImage(folder.at('image'));
        client = await createDpopClient(authority, 'builder');
        const token = await obtainToken(service.realm, client, ['repository:team-a/app:pull,push']);
        const pushed = await push(image.source, `${registry.host}/team-a/app:1`, token);
        if (pushed.exitCode !== 0) throw new Error(`The push failed: ${pushed.stderr}\n${registry.output()}`);
      });

      afterAll(async () => {
        await registry?.[Symbol.asyncDispose]();
        await service?.[Symbol.asyncDispose]();
        await authority?.[Symbol.asyncDispose]();
        await folder?.[Symbol.asyncDispose]();
      });

      test('a pull token pulls what a push token pushed', async () => {
        const token = await obtainToken(service.realm, client, ['repository:team-a/app:pull']);
        const pulled = await pull(`${registry.host}/team-a/app:1`, folder.at('pulled'), token);
        expect(pulled).toMatchObject({ exitCode: 0 });
        const layer = await readFile(blobPath(folder.at('pulled'), image.layer.digest));
        expect(layer.equals(await readFile(image.layer.path))).toBe(true);
      });

      test('a token for one repository pulls nothing from another', async () => {
        const token = await obtainToken(service.realm, client, ['repository:team-b/app:pull']);
        const pulled = await pull(`${registry.host}/team-a/app:1`, folder.at('not-pulled'), token);
        expect(pulled.exitCode).not.toBe(0);
        expect(pulled.stderr).toMatch(/unauthorized|denied|authentication required/);
        expect(await readdir(folder.at('not-pulled')).catch(() => [])).not.toContain('index.json');
      });

      test('a pull token does not push', async () => {
        const another = await writeImage(folder.at('another'));
        const token = await obtainToken(service.realm, client, ['repository:team-a/app:pull']);
        const pushed = await push(another.source, `${registry.host}/team-a/app:2`, token);
        expect(pushed.exitCode).not.toBe(0);
        expect(pushed.stderr).toMatch(/unauthorized|denied|authentication required/);
      });

      test('the registry answers 401 without a token, and 200 to one that grants nothing', async () => {
        const without = await fetch(`${registry.url}/v2/`);
        expect(without.status).toBe(401);
        expect(without.headers.get('www-authenticate')).toContain(`realm="${service.realm}"`);
        const token = await obtainToken(service.realm, client, []);
        const answer = await fetch(`${registry.url}/v2/`, { headers: { Authorization: `Bearer ${token}` } });
        expect(answer.status).toBe(200);
      });
    },
  );
