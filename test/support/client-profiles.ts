/** A client with a certificate, the file with its profiles, and an Authority that binds to what it is told to. */
import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { certificateThumbprint } from '../../src/client/op-tok.ts';
import { writeCertificate } from './certificates.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';
import { createTemporaryFolder, type TemporaryFolder } from './processes.ts';

export interface ClientSite extends AsyncDisposable {
  readonly folder: TemporaryFolder;
  readonly authority: FakeServer;
  /** The file with the profile `node`, for `registry.example.com`. */
  readonly profilesPath: string;
  /** `x5t#S256` of the client's certificate. */
  readonly thumbprint: string;
  /** What the Authority answers with beside the token; `cnf` is of the token. */
  readonly gives: { cnf: unknown; expires_in: number | undefined };
  /** Writes other profiles; `node` is what the usual one has. */
  readonly writeProfiles: (make: (node: Record<string, unknown>) => Record<string, unknown>) => void;
}

export async function createClientSite(): Promise<ClientSite> {
  const folder = await createTemporaryFolder();
  const { certificatePath } = await writeCertificate(folder, 'client');
  const thumbprint = certificateThumbprint(await Bun.file(certificatePath).text());
  const gives: ClientSite['gives'] = { cnf: { 'x5t#S256': thumbprint }, expires_in: 600 };
  const authority: FakeServer = startFakeServer(({ path }, before) => {
    if (path !== '/token')
      return Response.json({ issuer: authority.url, token_endpoint: `${authority.url}/token` });
    const claims = Buffer.from(JSON.stringify({ cnf: gives.cnf, serial: before })).toString('base64url');
    return Response.json({
      access_token: `e30.${claims}.c2ln`,
      token_type: 'Bearer',
      expires_in: gives.expires_in,
    });
  });
  const profilesPath = folder.at('client.yaml');
  const writeProfiles: ClientSite['writeProfiles'] = (make) => {
    const certificate = { certPath: 'client.crt', keyPath: 'client.pem' };
    const registry = 'registry.example.com';
    const node = { authority: authority.url, clientId: 'node-1', registry, ...certificate };
    writeFileSync(profilesPath, stringify({ profiles: make(node) }));
  };
  writeProfiles((node) => ({ node }));
  return {
    folder,
    authority,
    profilesPath,
    thumbprint,
    gives,
    writeProfiles,
    [Symbol.asyncDispose]: async () => {
      await authority[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}
