/** The common broken setups: how each comes about, and what `check` says of it. The README's table is made of them. */
import { createPrivateKey } from 'node:crypto';
import { chmodSync, writeFileSync } from 'node:fs';
import { keygen } from '../../src/cli/keygen.ts';
import { createSelfSignedCertificate } from '../../src/keys/certificate-authoring.ts';
import { type CheckSite, readText } from './check-site.ts';
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

/** Makes another key, and returns the path of its certificate, relative to the configuration. */
export async function makeOtherCertificate(site: CheckSite): Promise<string> {
  await runCommand(keygen, ['--out', site.folder.at('other')]);
  return 'other/registry-signing.crt';
}

export interface BrokenSetup {
  readonly setup: string;
  readonly keygen?: readonly string[];
  readonly breaks: (site: CheckSite) => void | Promise<void>;
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

export const brokenSetups: readonly BrokenSetup[] = [
  {
    setup: 'wrong issuer',
    breaks: (site) => set(site, 'registry', 'token', { issuer: 'Registry-Token.example.com' }),
    code: 'registry-issuer',
    severity: 'error',
    file: 'config.yml',
    fault:
      /^auth\.token\.issuer is Registry-Token\.example\.com, and signing\.issuer is registry-token\.example\.com\.$/,
    mend: /^Make them the same, to the letter/,
  },
  {
    setup: 'wrong realm',
    breaks: (site) => set(site, 'registry', 'token', { realm: 'https://registry.example.com/auth' }),
    code: 'registry-realm',
    severity: 'error',
    file: 'config.yml',
    fault:
      /^auth\.token\.realm is https:\/\/registry\.example\.com\/auth, which is not registry\.realm \(http/,
    mend: /make them the same/,
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
    mend: /^Put the certificate registry-signing\.crt into its rootcertbundle/,
  },
  {
    setup: 'certificate that ends soon',
    breaks: (site) => writeCertificateFor(site, 7.5),
    code: 'certificate-ends-soon',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^A certificate ends on .*, in 7 days; registries then refuse every token\.$/,
    mend: /keygen --rotate/,
  },
  {
    setup: 'key that others can read',
    breaks: (site) => chmodSync(site.folder.at('registry-signing.pem'), 0o644),
    code: 'key-permissions',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /can be read by others than its owner \(mode 644\)/,
    mend: /^chmod 600 \/.*registry-signing\.pem$/,
  },
  {
    setup: 'unreachable Authority',
    breaks: (site) => set(site, 'service', 'authority', { metadataUrl: 'http://127.0.0.1:1/' }),
    code: 'authority',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /^The Authority's keys cannot be had: http:\/\/127\.0\.0\.1:1\/ did not answer/,
    mend: /every request is answered 503\. Air-gapped: authority\.jwksPath/,
  },
  {
    setup: 'Authority of another issuer',
    breaks: (site) => {
      site.authority.issuer = 'https://login.example.com';
    },
    code: 'authority',
    severity: 'error',
    file: 'registry-token.yaml',
    fault: /names another issuer than authority\.issuer: "https:\/\/login\.example\.com"/,
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
      mend: /^Set the clocks \(NTP\)/,
    }),
  ),
  {
    setup: 'lifetime under a minute',
    breaks: (site) => set(site, 'service', 'signing', { lifetime: '30s' }),
    code: 'lifetime-short',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /^A lifetime of 30 s: docker and podman take every token to live 60 s/,
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
    mend: /^Correct it/,
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
    mend: /^Take it out\.$/,
  },
  {
    setup: 'realm at which something else answers',
    breaks: (site) => {
      site.challengeRealm = 'another-service';
    },
    code: 'realm',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /answers 401, and not as this service would\.$/,
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
    fault: /asks nobody for a token/,
    mend: /^Add the auth section that check prints\.$/,
  },
  {
    setup: 'bundle that is not there',
    breaks: (site) => set(site, 'registry', 'token', { rootcertbundle: '/nowhere/bundle.crt' }),
    code: 'registry-keys',
    severity: 'warning',
    file: 'config.yml',
    fault: /^\/nowhere\/bundle\.crt cannot be read from here/,
    mend: /^Run check where the file is\.$/,
  },
  {
    setup: 'anonymous plan',
    breaks: (site) => Object.assign(site.service, { anonymousPlan: 'community' }),
    code: 'anonymous',
    severity: 'warning',
    file: 'registry-token.yaml',
    fault: /without credentials may pull what the plan community allows/,
    mend: /^Take the key out/,
  },
];
