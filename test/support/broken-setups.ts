/** The common broken setups: how each comes about, and what `check` says of it. The table in etc/README.md is made of them. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { keygen } from '../../src/cli/keygen.ts';
import { SeenSerials } from '../../src/entitlements/seen-serials.ts';
import { createSelfSignedCertificate } from '../../src/keys/certificate-authoring.ts';
import { type Members, SITE, signBundle, vendorKeySet } from './bundles.ts';
import { type CheckSite, readText } from './check-site.ts';
import { createKey } from './keys.ts';
import { runCommand } from './run-command.ts';

/** Puts a certificate of the signing key, good for these days from now, in the place of its own. */
export function writeCertificateFor(site: CheckSite, days: number): void {
  const key = createPrivateKey(readText(site.folder, 'registry-signing.pem'));
  const now = Math.floor(Date.now() / 1000);
  const notAfter = now + Math.floor(days * 86_400);
  const certificate = createSelfSignedCertificate(key, 'ES256', {
    commonName: 'registry-token signing',
    notBefore: now - 10 * 86_400,
    notAfter,
  });
  writeFileSync(site.folder.at('registry-signing.crt'), certificate);
}

/** Makes another key, and returns the path of its certificate. */
export async function makeOtherCertificate(site: CheckSite): Promise<string> {
  await runCommand(keygen, ['--out', site.folder.at('other')]);
  return site.folder.at('other/registry-signing.crt');
}

export interface BrokenSetup {
  readonly setup: string;
  readonly keygen?: readonly string[];
  readonly breaks: (site: CheckSite) => unknown;
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'note';
  /** What the place ends with, before line and column. */
  readonly file: string;
  readonly fault: RegExp;
  readonly mend: RegExp;
}

export const set = (site: CheckSite, side: 'service' | 'registry', section: string, values: object) => {
  Object.assign(site[side][section] ?? {}, values);
};

/** Puts the vendor's second bundle in force; the site has had the first, and no plans of its own. */
async function carryBundle(site: CheckSite, payload: Members = {}, settings: object = {}): Promise<void> {
  const vendor = await createKey('ES256');
  const now = Math.floor(Date.now() / 1000);
  const plans = site.service.plans;
  writeFileSync(site.folder.at('vendor-jwks.json'), vendorKeySet(vendor));
  const bundle = signBundle(vendor, now, {
    payload: { serial: 2, plans, defaultPlan: undefined, ...payload },
  });
  writeFileSync(site.folder.at('entitlements.jws'), bundle);
  const first = { serial: 1, contentHash: '0'.repeat(64), issuedAt: now - 86_400 };
  new SeenSerials().record(site.folder.at('entitlements.state'), first);
  const entitlements = { path: 'entitlements.jws', keysPath: 'vendor-jwks.json', site: SITE, ...settings };
  Object.assign(site.service, { entitlements, plans: undefined });
}

const entitlementsSetups: readonly BrokenSetup[] = [
  {
    setup: 'plans of the site, and a bundle that replaces them',
    breaks: async (site) => {
      const { plans } = site.service;
      await carryBundle(site);
      Object.assign(site.service, { plans });
    },
    code: 'entitlements-replace',
    severity: 'note',
    file: 'registry-token.yaml',
    fault: /entitlements\.jws \(serial 2\) replaces the plan community of this site\.$/,
    mend: /localPlans: allow/,
  },
  {
    setup: 'bundle without the plan that the site chooses',
    breaks: async (site) => {
      await carryBundle(site, { plans: { basic: { repositories: [{ pattern: 'vendor/*' }] } } });
      Object.assign(site.service, { defaultPlan: 'community' });
    },
    code: 'entitlements-plan-unknown',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /^No plan community is in force/,
    mend: /^The bundle has basic\.$/,
  },
  {
    setup: 'bundle that ends within a week',
    breaks: (site) => carryBundle(site, {}, { maxAge: '6d' }),
    code: 'entitlements-expiring',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^The bundle expires at .*Z; after that, it stays in use\.$/,
    mend: /^Get a new bundle/,
  },
  {
    setup: 'bundle that has expired',
    breaks: (site) => {
      const past = Math.floor(Date.now() / 1000) - 86_400;
      return carryBundle(site, { iat: past, nbf: past, exp: past + 3600 }, { onExpiry: 'deny' });
    },
    code: 'entitlements-expired',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /^The bundle expired at .*Z; every request is answered 503\.$/,
    mend: /^Get a new bundle/,
  },
  {
    setup: 'bundle before the first start',
    breaks: async (site) => {
      await carryBundle(site);
      rmSync(site.folder.at('entitlements.state'));
    },
    code: 'entitlements-state',
    severity: 'note',
    file: 'registry-token.yaml',
    fault: /^No serial is remembered in .*entitlements\.state \(there is none\)/,
    mend: /^Before the first start/,
  },
  {
    setup: 'damaged file of the highest serial',
    breaks: async (site) => {
      await carryBundle(site);
      writeFileSync(site.folder.at('entitlements.state'), '{');
    },
    code: 'entitlements-state',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /\(it is damaged\)/,
    mend: /^Compare the serial/,
  },
  {
    setup: 'no place for the highest serial',
    breaks: (site) => carryBundle(site, {}, { statePath: 'nowhere/entitlements.state' }),
    code: 'entitlements-state',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /^The highest serial cannot be kept in .*\(.*ENOENT.*\): a restart/,
    mend: /entitlements\.statePath/,
  },
];

/** The rest of what changes the meaning of a registry's file. */
const registrySetups: readonly BrokenSetup[] = [
  {
    setup: 'two kinds of authentication in one registry',
    breaks: (site) => Object.assign(site.registry, { htpasswd: { realm: 'basic', path: '/etc/htpasswd' } }),
    code: 'registry-auth-kinds',
    severity: 'error',
    file: 'config.yml',
    fault: /^auth has 2 kinds \(token, htpasswd\): a registry with more than one does not start\.$/,
    mend: /^Keep auth\.token/,
  },
  {
    setup: 'registry without a service',
    breaks: (site) => set(site, 'registry', 'token', { service: undefined }),
    code: 'registry-option',
    severity: 'error',
    file: 'config.yml',
    fault: /^auth\.token\.service is not set: a registry without it does not start\.$/,
    mend: /REGISTRY_AUTH_TOKEN_SERVICE/,
  },
  {
    setup: 'autoredirect to a path that no realm has',
    breaks: (site) => set(site, 'registry', 'token', { autoredirect: true }),
    code: 'registry-autoredirect',
    severity: 'error',
    file: 'config.yml',
    fault: /^auth\.token\.autoredirect is on: clients are sent to https:\/\/HOST\/auth\/token, where HOST is/,
    mend: /^Add that URL to registry\.realm/,
  },
  {
    setup: 'autoredirect of a registry with another name than the realm',
    breaks: (site) => {
      set(site, 'registry', 'token', { autoredirect: true });
      Object.assign(site.registryRest, { http: { host: 'https://registry.example.com:5000' } });
    },
    code: 'registry-autoredirect',
    severity: 'error',
    file: 'config.yml',
    fault:
      /^auth\.token\.autoredirect is on: clients are sent to https:\/\/registry\.example\.com:5000\/auth\/token\. /,
    mend: /autoredirect: false/,
  },
  {
    setup: 'autoredirect in quotes',
    breaks: (site) => set(site, 'registry', 'token', { autoredirect: 'true' }),
    code: 'registry-option',
    severity: 'error',
    file: 'config.yml',
    fault: /^auth\.token\.autoredirect is true: a registry starts with true or false only\.$/,
    mend: /without quotes/,
  },
  {
    setup: 'signing algorithms without that of the key',
    breaks: (site) => set(site, 'registry', 'token', { signingalgorithms: ['ES384', 'RS256'] }),
    code: 'registry-algorithm',
    severity: 'error',
    file: 'config.yml',
    fault: /^auth\.token\.signingalgorithms is \[ES384, RS256\], and the signing key signs with ES256/,
    mend: /^signingalgorithms: \[ES256\]$/,
  },
  {
    setup: 'bundle that is a relative path',
    breaks: (site) => set(site, 'registry', 'token', { rootcertbundle: 'registry-signing.crt' }),
    code: 'registry-keys',
    severity: 'warning',
    file: 'config.yml',
    fault: /is a relative path/,
    mend: /absolute/,
  },
  {
    setup: 'bundle with a broken certificate',
    breaks: (site) =>
      writeFileSync(
        site.folder.at('bundle.crt'),
        '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
      ) ?? set(site, 'registry', 'token', { rootcertbundle: site.folder.at('bundle.crt') }),
    code: 'registry-keys',
    severity: 'error',
    file: 'config.yml',
    fault: /bundle\.crt cannot be parsed: the registry does not start\.$/,
    mend: /PEM certificates only/,
  },
  {
    setup: 'bundle with the private key in it',
    breaks: (site) => {
      const both = ['registry-signing.crt', 'registry-signing.pem'].map((name) =>
        readText(site.folder, name),
      );
      writeFileSync(site.folder.at('both.pem'), both.join(''));
      set(site, 'registry', 'token', { rootcertbundle: site.folder.at('both.pem') });
    },
    code: 'registry-private-key',
    severity: 'warning',
    file: 'config.yml',
    fault: /both\.pem holds a private key/,
    mend: /^Use the certificate alone\.$/,
  },
  {
    setup: 'bundle that only its owner can read',
    breaks: (site) => chmodSync(site.folder.at('registry-signing.crt'), 0o600),
    code: 'registry-keys-permissions',
    severity: 'note',
    file: 'config.yml',
    fault: /can be read by user \d+ and group \d+ only \(mode 600\)/,
    mend: /^chmod 644 \//,
  },
  {
    setup: 'key set without the key, and no bundle',
    breaks: (site) => {
      writeFileSync(site.folder.at('jwks.json'), '{"keys": []}');
      set(site, 'service', 'signing', { certificatePath: undefined, keyId: 'libtrust' });
      set(site, 'registry', 'token', {
        jwks: site.folder.at('jwks.json'),
        rootcertbundle: site.folder.at('empty'),
      });
      writeFileSync(site.folder.at('empty'), '');
    },
    code: 'registry-key-untrusted',
    severity: 'error',
    file: 'config.yml',
    fault: /token signed by untrusted key/,
    mend: /registry-jwks\.json/,
  },
  {
    setup: 'key set that has another key under the ID of ours',
    breaks: async (site) => {
      await makeOtherCertificate(site);
      const { keys } = JSON.parse(readText(site.folder, 'other/registry-jwks.json'));
      const jwks = site.folder.at('jwks.json');
      set(site, 'service', 'signing', { certificatePath: undefined, keyId: 'libtrust' });
      const { keys: own } = JSON.parse(readText(site.folder, 'registry-jwks.json'));
      const { kid } = own.find((key: { kid: string }) => key.kid.includes(':'));
      writeFileSync(jwks, JSON.stringify({ keys: [{ ...keys[0], kid }] }));
      set(site, 'registry', 'token', { jwks });
    },
    code: 'registry-key-untrusted',
    severity: 'error',
    file: 'config.yml',
    fault: /token signed by untrusted key/,
    mend: /restart it/,
  },
  {
    setup: 'pull-through cache that is open to all',
    breaks: (site) => {
      Object.assign(site.registryRest, {
        auth: undefined,
        proxy: { remoteurl: 'https://user:pass@docker.io' },
      });
    },
    code: 'registry-cache-open',
    severity: 'error',
    file: 'config.yml',
    fault: /can pull whatever it can pull from https:\/\/\*\*\*@docker\.io\.$/,
    mend: /^Add the auth section/,
  },
  {
    setup: 'cache of a registry that this service protects',
    breaks: (site) => {
      Object.assign(site.registryRest, { proxy: { remoteurl: 'https://registry.example.com' } });
    },
    code: 'registry-cache-source',
    severity: 'error',
    file: 'config.yml',
    fault: /^proxy\.remoteurl is a registry that this service protects/,
    mend: /registry-token agent/,
  },
  {
    setup: 'zot that does not ask for a token, for lack of a certificate',
    breaks: (site) => writeZot(site, { cert: undefined }),
    code: 'registry-config',
    severity: 'error',
    file: 'config.yml',
    fault: /^http\.auth\.bearer has no cert: zot then ignores the section/,
    mend: /"bearer"/,
  },
  {
    setup: 'zot without compat',
    breaks: (site) => writeZot(site, {}, { compat: [] }),
    code: 'registry-zot-compat',
    severity: 'warning',
    file: 'config.yml',
    fault: /^http\.compat does not list docker2s2/,
    mend: /docker2s2/,
  },
  {
    setup: 'zot with another realm',
    breaks: (site) => writeZot(site, { realm: 'https://other.example.com/token' }),
    code: 'registry-realm',
    severity: 'error',
    file: 'config.yml',
    fault:
      /^http\.auth\.bearer\.realm is https:\/\/other\.example\.com\/token, which is not in registry\.realm/,
    mend: /^Clients are redirected/,
  },
  {
    setup: 'zot with the certificate of another key',
    breaks: async (site) => writeZot(site, { cert: await makeOtherCertificate(site) }),
    code: 'registry-key-untrusted',
    severity: 'error',
    file: 'config.yml',
    fault: /belongs to a different key than the signing key: zot refuses every token/,
    mend: /^Name the certificate of the signing key/,
  },
  {
    setup: 'zot with passwords beside tokens',
    breaks: (site) => writeZot(site, {}, { auth: { htpasswd: { path: '/etc/htpasswd' } } }),
    code: 'registry-auth-kinds',
    severity: 'warning',
    file: 'config.yml',
    fault: /^http\.auth also holds htpasswd: zot ignores it beside bearer\.$/,
    mend: /^Remove it\.$/,
  },
  {
    setup: 'action that no registry knows',
    breaks: (site) =>
      set(site, 'service', 'plans', {
        odd: { repositories: [{ pattern: 'a/*', actions: ['pull', 'write'] }] },
      }),
    code: 'action-unknown',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^No registry knows the action write: it allows nothing\.$/,
    mend: /^Actions are pull, push, delete, \*\.$/,
  },
  {
    setup: 'host name in a pattern',
    breaks: (site) =>
      set(site, 'service', 'plans', { odd: { repositories: [{ pattern: 'registry.example.com/team/*' }] } }),
    code: 'pattern-host',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /begins with the host name registry\.example\.com/,
    mend: /^Write team\/\*$/,
  },
  ...(['0.0.0.0/1', '::/3', '::ffff:0:0/100'] as const).map(
    (network): BrokenSetup => ({
      setup: `trusted network ${network}`,
      breaks: (site) =>
        Object.assign(site.service, { server: { trustedProxies: ['10.0.0.0/8', 'fd00::/16', network] } }),
      code: 'trusts-wide-network',
      severity: 'warning',
      file: 'registry-token.yaml',
      fault: /is a wide network to trust/,
      mend: /^List the proxy's own address\.$/,
    }),
  ),
  {
    setup: 'trusted network of every IPv4 address, written as IPv6',
    breaks: (site) => Object.assign(site.service, { server: { trustedProxies: ['::ffff:0:0/96'] } }),
    code: 'trusts-everybody',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /anyone can claim any certificate/,
    mend: /^List the proxy's own address\.$/,
  },
];

/** Puts a zot configuration with these changes in the place of the registry's. */
function writeZot(
  site: CheckSite,
  bearer: object,
  http: { auth?: object; compat?: readonly string[] } = {},
): void {
  const { realm, service, rootcertbundle } = site.registry.token ?? {};
  Object.assign(site.registryRest, {
    version: undefined,
    auth: undefined,
    distSpecVersion: '1.1.1',
    storage: { rootDirectory: '/var/lib/zot' },
    http: {
      compat: ['docker2s2'],
      ...http,
      auth: { bearer: { realm, service, cert: rootcertbundle, ...bearer }, ...http.auth },
    },
  });
}

export const brokenSetups: readonly BrokenSetup[] = [
  {
    setup: 'wrong issuer',
    breaks: (site) => set(site, 'registry', 'token', { issuer: 'Registry-Token.example.com' }),
    code: 'registry-issuer',
    severity: 'error',
    file: 'config.yml',
    fault:
      /^auth\.token\.issuer is Registry-Token\.example\.com; signing\.issuer is registry-token\.example\.com\.$/,
    mend: /^Use the same text in both/,
  },
  {
    setup: 'wrong realm',
    breaks: (site) => set(site, 'registry', 'token', { realm: 'https://registry.example.com/auth' }),
    code: 'registry-realm',
    severity: 'error',
    file: 'config.yml',
    fault:
      /^auth\.token\.realm is https:\/\/registry\.example\.com\/auth, which is not in registry\.realm \(http/,
    mend: /^Clients are redirected to one URL but sign proofs for the other/,
  },
  {
    setup: 'wrong service',
    breaks: (site) => set(site, 'registry', 'token', { service: 'Docker registry' }),
    code: 'registry-service',
    severity: 'error',
    file: 'config.yml',
    fault: /^auth\.token\.service is Docker registry, which is not in registry\.allowedServices/,
    mend: /^Add it there/,
  },
  {
    setup: 'untrusted key',
    breaks: async (site) =>
      set(site, 'registry', 'token', { rootcertbundle: await makeOtherCertificate(site) }),
    code: 'registry-key-untrusted',
    severity: 'error',
    file: 'config.yml',
    fault: /token signed by untrusted key/,
    mend: /^Put the certificate registry-signing\.crt into its rootcertbundle and restart it/,
  },
  {
    setup: 'certificate that ends soon',
    breaks: (site) => writeCertificateFor(site, 7.5),
    code: 'certificate-ends-soon',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault:
      /^The certificate registry-token signing in \/.*registry-signing\.crt ends on .*, in 7 days; then registries refuse every token that carries it\.$/,
    mend: /keygen --rotate/,
  },
  {
    setup: 'certificate authority of the Authority that has ended',
    breaks: (site) => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const now = Math.floor(Date.now() / 1000);
      const validity = { notBefore: now - 20 * 86_400, notAfter: now - 10 * 86_400 };
      const certificate = createSelfSignedCertificate(privateKey, 'ES256', {
        commonName: 'Corporate CA',
        ...validity,
      });
      writeFileSync(site.folder.at('ca.pem'), certificate);
      set(site, 'service', 'authority', { caPath: 'ca.pem' });
    },
    code: 'certificate-ended',
    severity: 'error',
    file: 'registry-token.yaml',
    fault:
      /^The certificate Corporate CA in \/.*ca\.pem ended on .*: the Authority's keys cannot be fetched\.$/,
    mend: /^Add the certificate of its successor to \/.*ca\.pem/,
  },
  {
    setup: 'key that others can read',
    breaks: (site) => chmodSync(site.folder.at('registry-signing.pem'), 0o644),
    code: 'key-permissions',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /Users other than its owner and group can read the signing key \(mode 644\)/,
    mend: /^chmod 640 \/.*registry-signing\.pem$/,
  },
  {
    setup: 'private keys in a key set file',
    breaks: (site) => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const keys = [{ ...privateKey.export({ format: 'jwk' }), kid: 'a' }];
      writeFileSync(site.folder.at('authority-jwks.json'), JSON.stringify({ keys }));
      set(site, 'service', 'authority', { jwksPath: 'authority-jwks.json' });
    },
    code: 'authority-keys',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^The key set holds private or secret keys\./,
    mend: /public keys only/,
  },
  {
    setup: 'unreachable Authority',
    breaks: (site) => set(site, 'service', 'authority', { metadataUrl: 'http://127.0.0.1:1/' }),
    code: 'authority',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /^Cannot fetch the keys of authority: http:\/\/127\.0\.0\.1:1\/ did not answer/,
    mend: /with 503\. Air-gapped: authority\.jwksPath/,
  },
  {
    setup: 'Authority of another issuer',
    breaks: (site) => {
      site.authority.issuer = 'https://login.example.com';
    },
    code: 'authority',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /names another issuer than authority\.issuer \(http.*\): "https:\/\/login\.example\.com"/,
    mend: /^Correct authority\.issuer/,
  },
  {
    setup: 'Authority that fails',
    breaks: (site) => {
      site.authority.status = 500;
    },
    code: 'authority',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /answered 500/,
    mend: /503/,
  },
  ...[300, -300].map(
    (secondsAhead): BrokenSetup => ({
      setup: `clock ${secondsAhead} s off`,
      breaks: (site) => {
        site.authority.secondsAhead = secondsAhead;
      },
      code: 'clock',
      severity: 'warning',
      file: 'registry-token.yaml',
      fault:
        secondsAhead > 0 ? /clock is (?:299|300|301) s ahead of/ : /clock is (?:299|300|301) s behind this/,
      mend: /^Synchronize the clocks \(NTP\)/,
    }),
  ),
  {
    setup: 'lifetime under a minute',
    breaks: (site) => set(site, 'service', 'signing', { lifetime: '30s' }),
    code: 'lifetime-short',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^A lifetime of 30 s: docker and podman assume that every token lives at least 60 s/,
    mend: /^Set 60s or more\.$/,
  },
  {
    setup: 'plan with a lifetime under a minute',
    breaks: (site) => set(site, 'service', 'plans', { short: { lifetime: 59 } }),
    code: 'lifetime-short',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^A lifetime of 59 s/,
    mend: /60s/,
  },
  {
    setup: 'Ed25519 key',
    keygen: ['--algorithm', 'EdDSA'],
    breaks: () => {},
    code: 'key-eddsa',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /registry 3\.0 and newer verify it, 2\.8 refuses/,
    mend: /--algorithm ES256/,
  },
  {
    setup: 'key without certificate',
    breaks: (site) => set(site, 'service', 'signing', { certificatePath: undefined }),
    code: 'key-without-x5c',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /registry 2\.8 looks a key up by its libtrust ID alone/,
    mend: /^Set signing\.certificatePath/,
  },
  {
    setup: 'pattern that nothing can match',
    breaks: (site) =>
      set(site, 'service', 'plans', { odd: { repositories: [{ pattern: 'public/Team-*' }] } }),
    code: 'pattern-unmatchable',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^No repository name can match public\/Team-\*:/,
    mend: /^Correct or remove it/,
  },
  {
    setup: 'rule that adds nothing',
    breaks: (site) =>
      set(site, 'service', 'plans', {
        wide: { repositories: [{ pattern: 'a/**', actions: ['pull', 'push'] }, { pattern: 'a/b-*' }] },
      }),
    code: 'rule-redundant',
    severity: 'note',
    file: 'registry-token.yaml',
    fault: /^a\/b-\* adds nothing: a\/\*\* \(.*:\d+:\d+\) allows all of it\.$/,
    mend: /^Remove it\.$/,
  },
  {
    setup: 'rule for every token before others',
    breaks: (site) =>
      set(site, 'service', 'authority', {
        planRules: [
          { when: {}, plan: 'community' },
          { when: { ref: 'refs/heads/*' }, plan: 'community' },
        ],
      }),
    code: 'rule-catch-all',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^planRules\[0\] has no conditions, so every token meets it: planRules\[1\] chooses nothing\.$/,
    mend: /^Put it last, or give it conditions\.$/,
  },
  {
    setup: 'realm at which something else answers',
    breaks: (site) => {
      site.challengeRealm = 'another-service';
    },
    code: 'realm',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /answers 401, but not like this service\.$/,
    mend: /^Is the service running/,
  },
  {
    setup: 'realm at which nothing answers',
    breaks: (site) => {
      set(site, 'service', 'registry', { realm: 'http://127.0.0.1:1/token' });
      set(site, 'registry', 'token', { realm: 'http://127.0.0.1:1/token' });
    },
    code: 'realm',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^http:\/\/127\.0\.0\.1:1\/token does not answer/,
    mend: /proxy/,
  },
  {
    setup: 'registry without token authentication',
    breaks: (site) => {
      delete site.registry.token;
    },
    code: 'registry-config',
    severity: 'error',
    file: 'config.yml',
    fault: /^There is no auth section: the registry asks for no token/,
    mend: /^Add the auth section that check prints\.$/,
  },
  {
    setup: 'bundle that is not there',
    breaks: (site) => set(site, 'registry', 'token', { rootcertbundle: '/nowhere/bundle.crt' }),
    code: 'registry-keys',
    severity: 'warning',
    file: 'config.yml',
    fault:
      /^auth\.token\.rootcertbundle \/nowhere\/bundle\.crt does not exist on this machine, so check cannot tell/,
    mend: /^Run check where the registry finds that path/,
  },
  {
    setup: 'anonymous plan',
    breaks: (site) => Object.assign(site.service, { anonymousPlan: 'community' }),
    code: 'anonymous',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /without credentials may pull what the plan community allows/,
    mend: /^Remove anonymousPlan/,
  },
  ...entitlementsSetups,
  ...registrySetups,
];
