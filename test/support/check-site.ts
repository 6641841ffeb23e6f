/** A setup in which `check` finds nothing: service, registry, Authority and realm agree. A test then breaks one thing. */
import { readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { check } from '../../src/cli/check.ts';
import { keygen } from '../../src/cli/keygen.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';
import { createKey } from './keys.ts';
import { createTemporaryFolder, type TemporaryFolder } from './processes.ts';
import { type CommandResult, runCommand } from './run-command.ts';

export interface CheckSite extends AsyncDisposable {
  readonly folder: TemporaryFolder;
  /** The values of both configurations; a test changes them. */
  readonly service: Settings;
  readonly registry: Settings;
  /** What the registry's file has beside `version` and `auth`. */
  readonly registryRest: Record<string, unknown>;
  /** What the Authority says of itself. */
  readonly authority: { issuer: string; secondsAhead: number; status: number };
  /** The `realm` of the challenge at our realm; null: something else answers there. */
  challengeRealm: string | null;
  /** The environment of `check`. */
  readonly env: Record<string, string>;
  /** Writes both configurations and runs `check` with them. */
  readonly check: (...options: readonly string[]) => Promise<CommandResult>;
  /** How many requests Authority and realm have had. */
  readonly requests: () => number;
  readonly findings: (...options: readonly string[]) => Promise<CheckFinding[]>;
}

export type Settings = Record<string, Record<string, unknown>>;

export interface CheckFinding {
  readonly severity: string;
  readonly code: string;
  readonly place: string;
  readonly fault: string;
  readonly mend: string;
}

export async function createCheckSite(...keygenOptions: readonly string[]): Promise<CheckSite> {
  const folder = await createTemporaryFolder();
  await runCommand(keygen, ['--out', folder.path, ...keygenOptions]);
  const { publicJwk, thumbprint } = await createKey('ES256');
  const authority = { issuer: '', secondsAhead: 0, status: 200 };
  const authorityServer: FakeServer = startFakeServer(({ path }) => {
    const document = path === '/jwks' ? { keys: [{ ...publicJwk, kid: thumbprint }] } : metadata();
    const date = new Date(Date.now() + authority.secondsAhead * 1000).toUTCString();
    return Response.json(document, { status: authority.status, headers: { Date: date } });
  });
  const metadata = () => ({
    issuer: authority.issuer,
    jwks_uri: `${authorityServer.url}/jwks`,
    dpop_signing_alg_values_supported: ['ES256'],
  });
  authority.issuer = authorityServer.url;
  const realmServer = startFakeServer(() =>
    site.challengeRealm === null
      ? new Response('Welcome to nginx!')
      : Response.json(
          {},
          { status: 401, headers: { 'WWW-Authenticate': `Bearer realm="${site.challengeRealm}"` } },
        ),
  );
  const token = {
    realm: `${realmServer.url}/token`,
    service: 'registry.example.com',
    issuer: 'registry-token.example.com',
    rootcertbundle: folder.at('registry-signing.crt'),
  };
  const site: CheckSite = {
    folder,
    service: {
      authority: { issuer: authorityServer.url, audiences: ['registry'] },
      signing: {
        issuer: token.issuer,
        keyPath: 'registry-signing.pem',
        certificatePath: 'registry-signing.crt',
      },
      registry: { realm: token.realm, allowedServices: [token.service] },
      plans: { community: { repositories: [{ pattern: 'public/*' }] } },
    },
    registry: { token },
    registryRest: {},
    env: {},
    authority,
    challengeRealm: token.issuer,
    check: (...options) => {
      writeFileSync(folder.at('registry-token.yaml'), stringify(site.service));
      writeFileSync(
        folder.at('config.yml'),
        stringify({ version: 0.1, auth: site.registry, ...site.registryRest }),
      );
      const files = [
        '--config',
        folder.at('registry-token.yaml'),
        '--registry-config',
        folder.at('config.yml'),
      ];
      return runCommand(check, [...files, ...options], '', site.env);
    },
    requests: () => authorityServer.heard.length + realmServer.heard.length,
    findings: async (...options) => {
      const { stdout } = await site.check('--json', ...options);
      return (JSON.parse(stdout) as { findings: CheckFinding[] }).findings;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([authorityServer[Symbol.asyncDispose](), realmServer[Symbol.asyncDispose]()]);
      await folder[Symbol.asyncDispose]();
    },
  };
  return site;
}

/** The text of a file of the folder. */
export function readText(folder: TemporaryFolder, name: string): string {
  return readFileSync(folder.at(name), 'utf8');
}
