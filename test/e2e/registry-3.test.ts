/** distribution 3.0 and 3.1 as the readers of our tokens: by certificate, by key set, and with each kind of key. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFile } from 'node:fs/promises';
import { type Authority, startAuthority } from '../support/authority.ts';
import { createDpopClient, type DpopClient } from '../support/authority-client.ts';
import { describeWith } from '../support/debian-parts.ts';
import { blobPath, type TestImage, writeImage } from '../support/images.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder } from '../support/processes.ts';
import { type Registry, type RegistryProgram, startRegistry } from '../support/registry.ts';
import { createRestartableRegistry } from '../support/restartable-registry.ts';
import {
  BINARY,
  REGISTRY_SERVICE,
  type RunningService,
  runBinary,
  startService,
  TOKEN_ISSUER,
} from '../support/running-service.ts';
import { pull, push } from '../support/skopeo.ts';
import { obtainToken } from '../support/token-request.ts';

setDefaultTimeout(60_000);

const programs = ['registry-3.0', 'registry-3.1'] as const satisfies readonly RegistryProgram[];

/** How our tokens name the key, and what the registry is given of it. */
const ways = [
  { hint: 'x5c', given: 'rootcertbundle' },
  { hint: 'x5c', given: 'jwks' },
  { hint: 'thumbprint', given: 'jwks' },
  { hint: 'libtrust', given: 'jwks' },
  { hint: 'thumbprint', given: 'rootcertbundle' },
] as const;

type Way = (typeof ways)[number];

/** What `check` has to say of a way in which the registry does not know the key; null where it does. */
function faultOf(program: RegistryProgram, algorithm: string, { hint, given }: Way): string | null {
  // A certificate is never looked up in a key set, and nothing is tried after it.
  if (hint === 'x5c') return given === 'jwks' ? 'registry-key-untrusted' : null;
  // 3.0 makes the thumbprint of an EC key from its curve alone, and none of an Ed25519 key.
  return given === 'jwks' || program === 'registry-3.1' || algorithm === 'RS256' ? null : 'key-without-x5c';
}

for (const algorithm of ['ES256', 'RS256', 'EdDSA'] as const)
  describeWith(['registry-3.0', 'registry-3.1', 'skopeo'], `an ${algorithm} key of keygen`, () => {
    let folder: TemporaryFolder;
    let authority: Authority;
    let client: DpopClient;
    let image: TestImage;
    const services = new Map<string, RunningService>();

    beforeAll(async () => {
      folder = await createTemporaryFolder();
      await runOrFail([BINARY, 'keygen', '--out', folder.path, '--algorithm', algorithm]);
      authority = await startAuthority({ clients: [{ id: 'builder', plan: 'enterprise' }] });
      client = await createDpopClient(authority, 'builder');
      image = await writeImage(folder.at('image'));
      const certificatePath = folder.at('registry-signing.crt');
      for (const hint of ['x5c', 'thumbprint', 'libtrust'])
        services.set(
          hint,
          await startService({
            authorityIssuer: authority.issuer,
            signing: {
              keyPath: folder.at('registry-signing.pem'),
              ...(hint === 'x5c' ? { certificatePath, keyId: 'any-kid' } : { keyId: hint }),
            },
          }),
        );
    });

    afterAll(async () => {
      for (const part of [...services.values(), authority, folder]) await part?.[Symbol.asyncDispose]();
    });

    const serviceOf = (hint: string): RunningService => {
      const service = services.get(hint);
      if (service === undefined) throw new Error(`There is no service with ${hint}.`);
      return service;
    };

    const registryOptions = (program: RegistryProgram, realm: string) => ({
      program,
      realm,
      service: REGISTRY_SERVICE,
      issuer: TOKEN_ISSUER,
    });

    const startFor = (program: RegistryProgram, hint: string, given: string): Promise<Registry> =>
      startRegistry({
        ...registryOptions(program, serviceOf(hint).realm),
        ...(given === 'jwks'
          ? { jwksPath: folder.at('registry-jwks.json') }
          : { rootCertificatePath: folder.at('registry-signing.crt') }),
      });

    const findingsOf = async (hint: string, registry: Registry): Promise<string[]> => {
      const files = [serviceOf(hint).configurationPath, '--registry-config', registry.configurationPath];
      const { stdout } = await runBinary(['check', '--json', '--config', ...files]);
      const { findings } = JSON.parse(stdout) as { findings: { code: string; severity: string }[] };
      return findings.filter(({ severity }) => severity !== 'note').map(({ code }) => code);
    };

    for (const program of programs)
      for (const way of ways) {
        const { hint, given } = way;
        const fault = faultOf(program, algorithm, way);
        const title = `${program} ${fault === null ? 'knows' : 'does not know'} it by ${hint} with a ${given}`;
        test(`${title}, and check says so`, async () => {
          await using registry = await startFor(program, hint, given);
          const { realm } = serviceOf(hint);
          const target = `${registry.host}/team-a/app:1`;
          const token = await obtainToken(realm, client, ['repository:team-a/app:pull,push']);
          const pushed = await push(image.source, target, token);
          const findings = await findingsOf(hint, registry);
          if (fault !== null) {
            expect(pushed.stderr).toContain('unauthorized');
            expect(findings).toContain(fault);
            return;
          }
          expect(pushed).toMatchObject({ exitCode: 0 });
          expect(findings.filter((code) => code.startsWith('registry-'))).toEqual([]);
          await using pulled = await createTemporaryFolder();
          const pullToken = await obtainToken(realm, client, ['repository:team-a/app:pull']);
          expect(await pull(target, pulled.path, pullToken)).toMatchObject({ exitCode: 0 });
          const layer = await readFile(blobPath(pulled.path, image.layer.digest));
          expect(layer.equals(await readFile(image.layer.path))).toBe(true);
          const other = await obtainToken(realm, client, ['repository:team-b/app:pull']);
          expect((await pull(target, pulled.at('other'), other)).stderr).toMatch(/unauthorized|denied/);
        });
      }

    // An RSA key has nothing in them that the others do not have.
    for (const program of algorithm === 'RS256' ? [] : programs)
      for (const hint of ['x5c', 'thumbprint'])
        test(`${program} takes the section that check prints, and the sample of etc, for ${hint}`, async () => {
          const { realm, configurationPath } = serviceOf(hint);
          const { stdout } = await runBinary(['check', '--offline', '--config', configurationPath]);
          const section = stdout.split('# registry 3.x: config.yml\n')[1]?.split('\nStock clients:')[0] ?? '';
          expect(section).toStartWith('auth:\n');
          await using printed = await createRestartableRegistry(program);
          await printed.restart(section);
          await using sample = await startRegistry({
            ...registryOptions(program, realm),
            rootCertificatePath: folder.at('registry-signing.crt'),
            jwksPath: folder.at('registry-jwks.json'),
            fromSample: true,
          });
          const token = await obtainToken(realm, client, []);
          for (const { url } of [printed, sample]) {
            const asked = await fetch(`${url}/v2/`, { headers: { Authorization: `Bearer ${token}` } });
            expect(asked.status).toBe(200);
          }
          expect((await findingsOf(hint, sample)).filter((code) => code.startsWith('registry-'))).toEqual([]);
        });
  });
