/**
 * Set-ups in which something is wrong at the OAuth server, in the service's configuration or in the client's profile, and the
 * sentence that their users read: what was found, and what to change. The servers are real ones, set up by their recipes.
 */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { stringify } from 'yaml';
import { startAuthority } from '../support/authority.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith, type Part } from '../support/debian-parts.ts';
import { type Glewlwyd, startGlewlwyd } from '../support/glewlwyd.ts';
import { type Keycloak, startKeycloak } from '../support/keycloak.ts';
import type { OAuthServer } from '../support/oauth-servers.ts';
import { createTemporaryFolder, findFreePort, type TemporaryFolder } from '../support/processes.ts';
import { recipeBlock, recipeConfiguration, recipeProfiles } from '../support/recipes.ts';
import {
  REGISTRY_SERVICE,
  runBinary,
  type Section,
  serviceConfiguration,
  startService,
} from '../support/running-service.ts';
import { keepSecret } from '../support/secret-watch.ts';
import { startSpring } from '../support/spring.ts';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createSelfSigned,
  type TlsIdentity,
} from '../support/tls-identities.ts';

// A Java server takes half a minute to start, and several on a loaded machine.
setDefaultTimeout(400_000);

/** What the service and a client are set up with; a set-up changes some of it. */
interface Setting<Server extends OAuthServer = OAuthServer> {
  readonly folder: TemporaryFolder;
  readonly certificateAuthority: CertificateAuthority;
  readonly server: Server;
  /** The secret of the client `builder`. */
  readonly secret: string;
  /** Of the service's configuration: `authority`, `plans` and what else the recipe has. */
  readonly service: Section & { readonly authority: Section };
  /** The profile `builder` of the recipe. */
  readonly profile: Section;
}

/** Sections of the configuration, and keys of two of them, in place of those of the recipe; undefined takes one away. */
interface Change {
  readonly service?: Section;
  readonly authority?: Section;
  readonly profile?: Section;
}

interface FaultySetUp<Server extends OAuthServer> {
  readonly setUp: string;
  readonly change: Change | ((setting: Setting<Server>) => Change | Promise<Change>);
  readonly read: keyof typeof readers;
  readonly found: string | RegExp;
  readonly mend: string;
}

interface Trial<Server extends OAuthServer> {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly startServer: (secret: string, certificateAuthority: CertificateAuthority) => Promise<Server>;
  /** What its recipe has; without one, what it is set up with. */
  readonly recipe?: (server: Server) => Pick<Setting, 'service' | 'profile'>;
  readonly setUps: readonly FaultySetUp<Server>[];
}

const SCOPE = 'repository:team/app:pull';

function describeSetUps<Server extends OAuthServer>({
  name,
  parts,
  startServer,
  recipe = (server) => ({
    service: recipeConfiguration(name, server),
    profile: recipeProfiles(name).builder ?? {},
  }),
  setUps,
}: Trial<Server>): void {
  describeWith([...parts, 'openssl'], `with ${name}`, () => {
    const stack = new AsyncDisposableStack();
    let setting: Setting<Server>;

    beforeAll(async () => {
      const folder = stack.use(await createTemporaryFolder());
      const certificateAuthority = await createCertificateAuthority(folder, 'ca');
      const secret = keepSecret(randomUUID());
      await writeSecret(folder, 'builder', secret);
      await writeCertificate(folder, 'registry-signing');
      const server = stack.use(await startServer(secret, certificateAuthority));
      const { service, profile } = recipe(server);
      const here = { authority: server.issuer, caPath: certificateAuthority.certificatePath };
      setting = { folder, certificateAuthority, server, secret, service, profile: { ...profile, ...here } };
    });

    afterAll(() => stack.disposeAsync());

    test.each(setUps.map((one) => [one.setUp, one.read, one] as const))(
      '%s: the sentence of `%s` says what to change',
      async (_, read, { change, found, mend }) => {
        const changed = typeof change === 'function' ? await change(setting) : change;
        const text = await readers[read](setting, changed);
        expect(text).toMatch(found);
        const sentence = text
          .split('\n')
          .find((line) => (typeof found === 'string' ? line.includes(found) : found.test(line)));
        expect(sentence).toContain(mend);
      },
    );
  });
}

/** What the user reads, a fault a line: what a command prints, or the detail in the service's log while `token` runs. */
const readers = {
  check: async (setting: Setting, change: Change) => {
    const path = await writeConfiguration(setting, change);
    const { stdout } = await runBinary(['check', '--json', '--config', path]);
    const { findings } = JSON.parse(stdout) as { findings: { fault: string; mend: string }[] };
    return findings.map(({ fault, mend }) => `${fault} ${mend}`).join('\n');
  },
  serve: async (setting: Setting, change: Change) => {
    const { exitCode, stderr } = await runBinary([
      'serve',
      '--config',
      await writeConfiguration(setting, change),
    ]);
    expect(exitCode).toBe(78);
    return stderr;
  },
  token: async (setting: Setting, { profile }: Change) => {
    // Whoever gets as far as this realm has no fault at the Authority.
    const realm = `http://127.0.0.1:${await findFreePort()}/token`;
    const { exitCode, stderr } = await runToken(setting, { realm, ...profile });
    expect(exitCode).toBe(1);
    return stderr;
  },
  log: async (setting: Setting, change: Change) => {
    await using service = await startService({ authorityIssuer: '', ...optionsOf(setting, change) });
    const { exitCode } = await runToken(setting, { realm: service.realm, ...change.profile });
    expect(exitCode).toBe(1);
    const [line] = await service.child.waitForLine(/.*"reason":"(?!proof-nonce).*"message":"refused".*/);
    return String(JSON.parse(line).detail);
  },
  'docker-credential get': async (setting: Setting, { profile }: Change) => {
    const path = await writeProfile(setting, { ...profile });
    const words = ['docker-credential', 'get', '--profiles', path];
    const { exitCode, stdout } = await runBinary(words, { input: 'registry.example.com' });
    expect(exitCode).toBe(1);
    return stdout;
  },
};

function optionsOf({ folder, service }: Setting, { service: sections, authority }: Change) {
  const signing = {
    keyPath: folder.at('registry-signing.pem'),
    certificatePath: folder.at('registry-signing.crt'),
  };
  return {
    signing,
    sections: { ...service, authority: { ...service.authority, ...authority }, ...sections },
  };
}

async function writeConfiguration(setting: Setting, change: Change): Promise<string> {
  const path = setting.folder.at('registry-token.yaml');
  const options = { authorityIssuer: '', ...optionsOf(setting, change) };
  await writeFile(path, stringify(serviceConfiguration(options, await findFreePort())));
  return path;
}

async function runToken(setting: Setting, profile: Section) {
  const path = await writeProfile(setting, { registry: undefined, service: REGISTRY_SERVICE, ...profile });
  return runBinary(['token', '--profiles', path, '--profile', 'builder', '--scope', SCOPE]);
}

async function writeProfile({ folder, profile }: Setting, changes: Section): Promise<string> {
  const path = folder.at('client.yaml');
  await writeFile(path, stringify({ profiles: { builder: { ...profile, ...changes } } }));
  return path;
}

/** Returns the name of the file, as a profile has it. */
async function writeSecret(folder: TemporaryFolder, clientId: string, secret: string): Promise<string> {
  const name = `${clientId}.secret`;
  await writeFile(folder.at(name), secret, { mode: 0o600 });
  return name;
}

/** A profile's keys for a client with a certificate. */
function withCertificate(clientId: string, { certificatePath, keyPath }: TlsIdentity): Section {
  const files = { certPath: certificatePath, keyPath };
  return { clientId, clientSecretPath: undefined, ...files, bind: 'certificate' };
}

async function wrongSecret({ folder }: Setting): Promise<Change> {
  return { profile: { clientSecretPath: await writeSecret(folder, 'wrong', 'not-this-one') } };
}

/** Of a profile with an OpTok that exists already. */
const withoutAuthority: Section = {
  authority: undefined,
  clientId: undefined,
  clientSecretPath: undefined,
  resources: undefined,
  bind: undefined,
};

describeSetUps<Glewlwyd>({
  name: 'glewlwyd',
  parts: ['glewlwyd'],
  startServer: startGlewlwyd,
  setUps: [
    {
      setUp: 'a wrong secret, which the server answers with an empty 403',
      change: wrongSecret,
      read: 'token',
      found: 'answered 403;',
      mend: 'compare the client ID and its secret with those at the Authority',
    },
    {
      setUp: 'a client without the grant, which the server tells in words of its own',
      change: async ({ server, folder }) => {
        const secret = keepSecret(randomUUID());
        const method = { token_endpoint_auth_method: ['client_secret_basic'] };
        const credentials = { client_secret: secret, password: secret, ...method };
        await server.addClient('no-grant', { ...credentials, authorization_type: ['code'] });
        const clientSecretPath = await writeSecret(folder, 'no-grant', secret);
        return { profile: { clientId: 'no-grant', clientSecretPath } };
      },
      read: 'token',
      found: 'answered 400 authorization_type_invalid;',
      mend: 'check what this client may have at the Authority: the grant client_credentials',
    },
    {
      setUp: 'a resource that the client may not have',
      change: { profile: { resources: ['https://other.example.com'] } },
      read: 'token',
      found: 'answered 400 invalid_target;',
      mend: 'allow this client the resource or audience at the Authority, or correct it here (resources, audience)',
    },
    {
      setUp: 'a server that ignores the resource',
      change: async ({ server }) => {
        const issuer = await server.addInstance('no-resource', { 'resource-allowed': false });
        return { authority: { issuer }, profile: { authority: issuer } };
      },
      read: 'log',
      found: 'aud is "registry.token.issue"; authority.audiences is [https://registry.example.com].',
      mend: 'Let the client ask for one of these (audience or resource)',
    },
    {
      setUp: 'an encrypted OpTok',
      change: async ({ server, folder }) => {
        const issuer = await server.addInstance('encrypted', {
          'encrypt-out-token-allow': true,
          ...Object.fromEntries(
            ['alg', 'enc', 'alg_kid', 'encrypt_code', 'encrypt_at', 'pubkey', 'jwks', 'jwks_uri'].map(
              (name) => [`client-${name}-parameter`, name],
            ),
          ),
        });
        const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
        const secret = keepSecret(randomUUID());
        await server.addClient('encrypted', {
          client_secret: secret,
          password: secret,
          token_endpoint_auth_method: ['client_secret_basic'],
          pubkey: publicKey.export({ type: 'spki', format: 'pem' }),
          alg: 'RSA-OAEP',
          enc: 'A256GCM',
          encrypt_at: '1',
        });
        const clientSecretPath = await writeSecret(folder, 'encrypted', secret);
        return {
          authority: { issuer },
          profile: { authority: issuer, clientId: 'encrypted', clientSecretPath },
        };
      },
      read: 'log',
      found: 'The OpTok is encrypted (five parts, a JWE)',
      mend: 'Switch off the encryption of access tokens there',
    },
    {
      setUp: 'a server that signs with an algorithm that is not listed',
      change: async ({ server }) => {
        const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-521' });
        const issuer = await server.addInstance('es512', {
          'jwt-key-size': '512',
          key: privateKey.export({ type: 'sec1', format: 'pem' }),
          cert: publicKey.export({ type: 'spki', format: 'pem' }),
        });
        return { authority: { issuer }, profile: { authority: issuer } };
      },
      read: 'log',
      found: `The OpTok's alg is "ES512"; authority.algorithms is [`,
      mend: 'Let the Authority sign with one of these, or add its algorithm.',
    },
    {
      setUp: 'algorithms without that of the key',
      change: { authority: { algorithms: ['RS256'] } },
      read: 'check',
      found: 'No key of the Authority is for an algorithm of [RS256]: it has ',
      mend: 'Add the algorithm of its access tokens, or let the Authority sign with one of the list.',
    },
    {
      setUp: 'a server that announces neither DPoP nor certificates',
      change: async ({ server }) => ({
        authority: { issuer: await server.addInstance('no-dpop', { 'oauth-dpop-allowed': false }) },
      }),
      read: 'check',
      found: 'announces neither DPoP nor certificate-bound tokens',
      mend: 'Switch DPoP (RFC 9449) or certificate binding (RFC 8705) on at the Authority.',
    },
    {
      setUp: 'an OpTok that was asked for without a proof',
      change: async (setting) => ({
        profile: { ...withoutAuthority, opTokPath: await writeUnboundOpTok(setting, setting.server.issuer) },
      }),
      read: 'log',
      found: 'The OpTok is bound to no sender (it has no cnf); authority.accept is [dpop, mtls].',
      mend: 'Let the Authority bind its tokens by DPoP or to certificates.',
    },
    {
      setUp: 'an OpTok that has expired',
      change: async (setting) => {
        const issuer = await setting.server.addInstance('short', { 'access-token-duration': 1 });
        const opTokPath = await writeUnboundOpTok(setting, issuer);
        await Bun.sleep(2000);
        return { profile: { ...withoutAuthority, opTokPath } };
      },
      read: 'token',
      found: /the OpTok in \S+ expired \d+ s ago/,
      mend: 'the program that writes it must renew it',
    },
    {
      setUp: 'a certificate of another name',
      change: async ({ certificateAuthority }) => ({
        profile: withCertificate(
          'node',
          await certificateAuthority.issue('other', { extensions: ofNode('other') }),
        ),
      }),
      read: 'token',
      found: 'answered 403;',
      mend: 'compare the client ID and its certificate with those at the Authority',
    },
    {
      setUp: 'an OpTok that is bound to a certificate, and no TLS',
      change: async ({ certificateAuthority }) => ({
        profile: withCertificate(
          'node',
          await certificateAuthority.issue('node', { extensions: ofNode('node') }),
        ),
      }),
      read: 'log',
      found: 'The OpTok is bound to a client certificate, and the client presented none.',
      mend: 'Behind a proxy, let the proxy ask for it and pass it on (server.trustedProxies, server.clientCertificateHeader).',
    },
    {
      setUp: 'a profile with DPoP for a stock client',
      change: {},
      read: 'docker-credential get',
      found: 'a stock client needs an OpTok that is bound to its certificate, and the profile has none',
      mend: "with DPoP alone, use 'agent' or 'token'",
    },
    {
      setUp: 'no caPath in the configuration',
      change: { authority: { caPath: undefined } },
      read: 'check',
      found: 'its certificate authority is not trusted',
      mend: 'Write the certificate authority that signed the certificate of this server into a PEM file, and name it in authority.caPath.',
    },
    {
      setUp: 'a caPath with another certificate authority',
      change: async ({ folder }) => ({
        authority: { caPath: (await createCertificateAuthority(folder, 'other-ca')).certificatePath },
      }),
      read: 'check',
      found: 'its certificate authority is not trusted',
      mend: 'authority.caPath does not hold the certificate authority that signed the certificate of this server.',
    },
    {
      setUp: 'no caPath in the profile',
      change: { profile: { caPath: undefined } },
      read: 'token',
      found: 'its certificate authority is not trusted',
      mend: 'name a file with that authority (caPath, --ca)',
    },
    {
      setUp: 'an issuer with a slash too many in the configuration',
      change: ({ server }) => ({ authority: { issuer: `${server.issuer}/` } }),
      read: 'check',
      found: 'names another issuer than authority.issuer',
      mend: 'Correct authority.issuer or metadataUrl',
    },
    {
      setUp: 'an issuer with a slash too many in the profile',
      change: ({ server }) => ({ profile: { authority: `${server.issuer}/` } }),
      read: 'token',
      found: /names the issuer \S+\/oidc, not \S+\/oidc\/;/,
      mend: 'use that exact text',
    },
    {
      setUp: 'an issuer that is not there',
      change: ({ server }) => ({ profile: { authority: `${server.issuer}x` } }),
      read: 'token',
      found: 'answered 404;',
      mend: "is this the Authority's issuer, exactly as its access tokens name it?",
    },
    {
      setUp: 'a registry whose service is not listed',
      change: { profile: { service: 'other.example.com' } },
      read: 'log',
      found: 'The service "other.example.com" is not in registry.allowedServices.',
      mend: "Make the registry's auth.token.service one of them.",
    },
    {
      setUp: 'two Authorities with one issuer',
      change: ({ server, service: { authority } }) => ({
        service: {
          authority: undefined,
          authorities: { one: authority, two: { ...authority, issuer: server.issuer } },
        },
      }),
      read: 'serve',
      found: 'authorities.two.issuer: must be unique, because the iss of a token selects the Authority',
      mend: 'authorities.one has the same: put the rules of both into one',
    },
    {
      setUp: 'a rule that names no plan of the catalogue',
      change: { authority: { planRules: [{ when: { client_id: 'builder' }, plan: 'entreprise' }] } },
      read: 'serve',
      found: 'authority.planRules[0].plan',
      mend: 'must be the name of a plan (enterprise, community)',
    },
    {
      setUp: 'a rule that no token meets',
      change: {
        authority: {
          planRules: [
            { when: { client_id: '*' }, plan: 'community' },
            { when: { client_id: 'builder' }, plan: 'enterprise' },
          ],
        },
      },
      read: 'check',
      found: 'planRules[1] chooses nothing: every token that meets it meets planRules[0] before.',
      mend: 'Put it before the other one, or remove it.',
    },
  ],
});

function ofNode(name: string): readonly string[] {
  return ['extendedKeyUsage=clientAuth', `subjectAltName=DNS:${name}.example.com`];
}

/** Returns the path of a file with an OpTok as a client gets it that sends no proof. */
async function writeUnboundOpTok(
  { folder, secret, certificateAuthority }: Setting,
  issuer: string,
): Promise<string> {
  const form = { grant_type: 'client_credentials', scope: 'registry.token.issue' };
  const answer = await fetch(`${issuer}/token`, {
    method: 'POST',
    headers: { Authorization: `Basic ${btoa(`builder:${secret}`)}` },
    body: new URLSearchParams({ ...form, resource: 'https://registry.example.com' }),
    tls: { ca: certificateAuthority.certificate },
  });
  const { access_token: opTok } = (await answer.json()) as { access_token: string };
  await writeFile(folder.at('op-tok'), opTok, { mode: 0o600 });
  return folder.at('op-tok');
}

describeSetUps({
  name: 'oidc-provider without DPoP',
  parts: [],
  startServer: async () => ({
    ...(await startAuthority({ clients: [{ id: 'builder' }], dpop: false })),
    caPath: null,
  }),
  recipe: ({ issuer }) => ({
    service: { authority: { issuer, audiences: ['registry'] } },
    profile: { clientId: 'builder', clientSecretPath: 'builder.secret', bind: 'dpop' },
  }),
  setUps: [
    {
      setUp: 'a profile that demands DPoP',
      change: async ({ server, folder }) => ({
        profile: { clientSecretPath: await writeSecret(folder, 'builder', server.clientSecret) },
      }),
      read: 'token',
      found: 'accepted the proof but answered with a Bearer token;',
      mend: 'make the Authority bind the access tokens of this client by DPoP',
    },
    {
      setUp: 'a profile without a certificate',
      change: { profile: { bind: undefined } },
      read: 'token',
      found: 'answered with a Bearer token, which is bound to nothing;',
      mend: 'let the Authority bind the access tokens of this client by DPoP, or give the client a certificate',
    },
  ],
});

describeSetUps({
  name: 'spring',
  parts: ['java', 'spring'],
  startServer: async (secret) => startSpring(springProperties(secret), secret),
  setUps: [
    {
      setUp: 'an OpTok without typ',
      change: { authority: { tokenTypes: undefined } },
      read: 'log',
      found: `The OpTok's typ is missing; authority.tokenTypes is [at+jwt].`,
      mend: 'Add the word absent there',
    },
    {
      setUp: 'audiences without the ID of the client',
      change: { authority: { audiences: ['registry'] } },
      read: 'log',
      found: `The OpTok's aud is "builder"; authority.audiences is [registry].`,
      mend: 'or add the audience if only this registry has it.',
    },
    {
      setUp: 'an opaque OpTok',
      change: (setting) => springClient(setting, 'opaque'),
      read: 'log',
      found: 'The OpTok is opaque: it is not a JWT',
      mend: 'Let the Authority issue JWT access tokens',
    },
    {
      setUp: 'a wrong secret',
      change: wrongSecret,
      read: 'token',
      found: 'answered 401 invalid_client;',
      mend: 'compare the client ID and its secret with those at the Authority',
    },
    {
      setUp: 'a client that the server does not know',
      change: { profile: { clientId: 'nobody' } },
      read: 'token',
      found: 'answered 401 invalid_client;',
      mend: 'compare the client ID and its secret with those at the Authority',
    },
    {
      setUp: 'a client without the grant',
      change: (setting) => springClient(setting, 'no-grant'),
      read: 'token',
      found: 'answered 400 unauthorized_client;',
      mend: 'allow this client the grant client_credentials at the Authority',
    },
    {
      setUp: 'a scope that the client may not have',
      change: { profile: { authorityScope: 'other' } },
      read: 'token',
      found: 'answered 400 invalid_scope;',
      mend: 'allow this client the scope "other" at the Authority',
    },
    {
      setUp: 'a scope that was not asked for',
      change: { profile: { authorityScope: '' } },
      read: 'log',
      found: 'The access token lacks the scope registry.token.issue (authority.requiredScopes); it has none.',
      mend: 'Let the client ask for it and the Authority grant it, or change requiredScopes.',
    },
    {
      setUp: 'a claim for the subject that is missing',
      change: { authority: { claims: { subject: 'username' } } },
      read: 'log',
      found: 'username is missing, not a non-empty string (authority.claims.subject).',
      mend: 'Name the claim that has the subject there, such as client_id.',
    },
    {
      setUp: 'a claim that names no plan',
      change: { authority: { planRules: [], claims: { plan: 'sub' } } },
      read: 'log',
      found: 'There is no plan "builder". The plans are enterprise, community.',
      mend: 'Add the plan, or correct the claim or the rule that names it.',
    },
    {
      setUp: 'rules of which none holds, and no default',
      change: {
        authority: { planRules: [{ when: { sub: 'other' }, plan: 'enterprise' }] },
        service: { defaultPlan: undefined },
      },
      read: 'log',
      found: 'No plan: none of the 1 planRules holds',
      mend: 'add a rule to planRules, or set defaultPlan.',
    },
    {
      setUp: 'an Authority that is to bind to certificates, and binds by DPoP',
      change: { authority: { accept: ['mtls'] } },
      read: 'log',
      found: 'The OpTok is bound by dpop; authority.accept is [mtls].',
      mend: 'Add dpop there, or let the Authority bind its tokens otherwise.',
    },
    {
      setUp: 'proof algorithms that the server does not take',
      change: { service: { senderConstraint: { dpop: { algorithms: ['EdDSA'] } } } },
      read: 'check',
      found: /The Authority accepts proofs signed with .*, the service with EdDSA: no key works for both\./,
      mend: "Add one of the Authority's algorithms.",
    },
    {
      setUp: 'proof algorithms without that of the client',
      change: { service: { senderConstraint: { dpop: { algorithms: ['RS256'] } } } },
      read: 'log',
      found: `The proof's alg is "ES256"; senderConstraint.dpop.algorithms is [RS256].`,
      mend: 'Use a key for one of these, or add the algorithm.',
    },
    {
      setUp: 'keys from a file, and an issuer with a slash too many',
      change: async ({ server, folder }) => ({
        authority: {
          issuer: `${server.issuer}/`,
          jwksPath: await copyKeySet(folder, `${server.issuer}/oauth2/jwks`, {}),
        },
      }),
      read: 'log',
      found: 'They differ in the slash at the end.',
      mend: 'Write the issuer exactly as the tokens have it',
    },
    {
      setUp: 'a realm by another name than in the configuration',
      change: {
        service: {
          registry: { realm: 'http://localhost:1/token', allowedServices: [REGISTRY_SERVICE] },
        },
      },
      read: 'log',
      found: /The proof's htu is "http:\S+"; registry\.realm is http:\/\/localhost:1\/token\./,
      mend: 'If clients use that URL, add it there.',
    },
  ],
});

/** Those of the recipe, with two clients more. No two clients may have the same secret. */
function springProperties(secret: string): string {
  const prefix = 'spring.security.oauth2.authorizationserver.client.';
  const builder = recipeBlock('spring', 'There', 'properties', 'client.builder.');
  const withName = (id: string, grant: string) =>
    builder
      .replaceAll('client.builder.', `client.${id}.`)
      .replace('client-id=builder', `client-id=${id}`)
      .replace('{noop}change-me', `{noop}${secret}-${id}`)
      .replace('grant-types=client_credentials', `grant-types=${grant}`);
  return [
    builder,
    withName('opaque', 'client_credentials'),
    `${prefix}opaque.token.access-token-format=reference`,
    withName('no-grant', 'authorization_code'),
    `${prefix}no-grant.registration.redirect-uris=http://127.0.0.1/`,
  ].join('\n');
}

async function springClient({ folder, secret }: Setting, clientId: string): Promise<Change> {
  const clientSecretPath = await writeSecret(folder, clientId, keepSecret(`${secret}-${clientId}`));
  return { profile: { clientId, clientSecretPath } };
}

/** Copies a key set to a file, as for a site without a network path to the Authority; its path. */
async function copyKeySet(
  folder: TemporaryFolder,
  url: string,
  tls: { readonly ca?: string },
): Promise<string> {
  await writeFile(folder.at('jwks.json'), await (await fetch(url, { tls })).text());
  return folder.at('jwks.json');
}

describeSetUps<Keycloak>({
  name: 'keycloak',
  parts: ['java', 'keycloak'],
  startServer: async (secret, certificateAuthority) => {
    const server = await startKeycloak(certificateAuthority);
    await server.addClient({ ...printedClient('builder'), secret }, ['enterprise']);
    return server;
  },
  setUps: [
    {
      setUp: 'an OpTok of the type JWT',
      change: { authority: { tokenTypes: undefined } },
      read: 'log',
      found: `The OpTok's typ is "JWT"; authority.tokenTypes is [at+jwt].`,
      mend: 'Add its type there, or let the Authority issue at+jwt (RFC 9068).',
    },
    {
      setUp: 'a client without the mapper for the audience',
      change: (setting) =>
        keycloakClient(
          setting,
          'no-audience',
          { defaultClientScopes: ['roles', 'basic'] },
          { authorityScope: '' },
        ),
      read: 'log',
      found: `The OpTok's aud is "account"; authority.audiences is [registry].`,
      mend: 'Let the client ask for one of these (audience or resource)',
    },
    {
      setUp: 'a plan in a nested claim that is not named',
      change: { authority: { claims: undefined }, service: { defaultPlan: undefined } },
      read: 'log',
      found: 'No plan: the claim stellaops:plan is missing, and there is no defaultPlan.',
      mend: 'Name the claim that has the plan in claims.plan (a path such as [realm_access, roles])',
    },
    {
      setUp: 'a client without a role that is a plan',
      change: async (setting) => ({
        ...(await keycloakClient(setting, 'no-role', {}, {}, [])),
        service: { defaultPlan: undefined },
      }),
      read: 'log',
      found:
        /No plan: the claim \[realm_access, roles\] is \[.*"offline_access".*\], and there is no defaultPlan\./,
      mend: 'Let the Authority put the name of a plan into it',
    },
    {
      setUp: 'a wrong secret',
      change: wrongSecret,
      read: 'token',
      found: 'answered 401 unauthorized_client: "Invalid client or Invalid client credentials";',
      mend: 'compare the client ID and its secret with those at the Authority',
    },
    {
      setUp: 'a client without a service account',
      change: (setting) =>
        keycloakClient(
          setting,
          'no-account',
          { serviceAccountsEnabled: false, standardFlowEnabled: true },
          {},
          [],
        ),
      read: 'token',
      found: 'answered 401 unauthorized_client: "Client not enabled to retrieve service account";',
      mend: 'allow this client the grant client_credentials at the Authority',
    },
    {
      setUp: 'a certificate that the tokens are not bound to',
      change: (setting) => keycloakNode(setting, 'unbound', { 'x509.subjectdn': 'CN=unbound' }),
      read: 'token',
      found: 'issued one that is not bound to a certificate;',
      mend: "make it bind this client's access tokens to its certificate",
    },
    {
      setUp: 'a certificate of another subject',
      change: (setting) =>
        keycloakNode(setting, 'subject', { ...bindsToCertificates, 'x509.subjectdn': 'CN=x' }),
      read: 'token',
      found: 'answered 401 invalid_client:',
      mend: 'compare the client ID and its certificate with those at the Authority',
    },
    {
      setUp: 'a certificate of a certificate authority that the server does not trust',
      change: async ({ folder }) => ({
        profile: withCertificate('self', await createSelfSigned(folder, 'self')),
      }),
      read: 'token',
      found: 'the server may not trust our client certificate:',
      mend: 'use one of a certificate authority that it trusts',
    },
    {
      setUp: 'keys from a file, and a new key at the server',
      change: async ({ server, folder, certificateAuthority }) => {
        const url = `${server.issuer}/protocol/openid-connect/certs`;
        const jwksPath = await copyKeySet(folder, url, { ca: certificateAuthority.certificate });
        await server.rotateKey();
        return { authority: { jwksPath } };
      },
      read: 'log',
      found: /The OpTok's kid is "[^"]+" and its alg RS256: it is not there; the key set has "/,
      mend: 'If it is a new key of the Authority, copy its key set to the file of jwksPath again.',
    },
  ],
});

const bindsToCertificates = { 'tls.client.certificate.bound.access.tokens': 'true' };

/** The settings of a client as the recipe of Keycloak prints them for an import. */
function printedClient(clientId: 'builder' | 'node') {
  return JSON.parse(recipeBlock('keycloak', 'There', 'json', `"clientId": "${clientId}"`));
}

/** Adds a client with these settings in place of those that are printed; `roles` are those of its service account. */
async function keycloakClient(
  { server, folder }: Setting<Keycloak>,
  clientId: string,
  settings: object,
  profile: Section = {},
  roles: readonly string[] = ['enterprise'],
): Promise<Change> {
  const secret = keepSecret(randomUUID());
  await server.addClient({ ...printedClient('builder'), secret, clientId, ...settings }, roles);
  const clientSecretPath = await writeSecret(folder, clientId, secret);
  return { profile: { clientId, clientSecretPath, ...profile } };
}

async function keycloakNode(
  { server, certificateAuthority }: Setting<Keycloak>,
  clientId: string,
  attributes: object,
): Promise<Change> {
  await server.addClient({ ...printedClient('node'), clientId, attributes }, ['enterprise']);
  const extensions = ['extendedKeyUsage=clientAuth'];
  return { profile: withCertificate(clientId, await certificateAuthority.issue(clientId, { extensions })) };
}
