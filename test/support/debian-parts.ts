/** Programs that are the other side of a test: the real registries, real clients, real proxies. Most are Debian's. */
import { describe, test } from 'bun:test';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cachedParts } from './oauth-servers.ts';
import { searchPath } from './processes.ts';

/** Each with the Debian package that has it. */
const packages = {
  apache2: 'apache2',
  caddy: 'caddy',
  chromium: 'chromium',
  containerd: 'containerd',
  ctr: 'containerd',
  curl: 'curl',
  docker: 'docker.io',
  dockerd: 'docker.io',
  'docker-registry': 'docker-registry',
  faketime: 'faketime',
  dpkg: 'dpkg',
  'dpkg-deb': 'dpkg',
  haproxy: 'haproxy',
  ip: 'iproute2',
  fish: 'fish',
  git: 'git',
  glewlwyd: 'glewlwyd',
  java: 'openjdk-17-jdk-headless',
  logrotate: 'logrotate',
  mandoc: 'mandoc',
  mmdebstrap: 'mmdebstrap',
  nginx: 'nginx',
  openssl: 'openssl',
  bash: 'bash',
  buildah: 'buildah',
  podman: 'podman',
  promtool: 'prometheus',
  'python3-prometheus-client': 'python3-prometheus-client',
  'qemu-aarch64-static': 'qemu-user-static',
  readelf: 'binutils',
  'redis-cli': 'redis-tools',
  rpm: 'rpm',
  rpmbuild: 'rpm',
  'redis-sentinel': 'redis-sentinel',
  'redis-server': 'redis-server',
  skopeo: 'skopeo',
  journalctl: 'systemd',
  'systemd-analyze': 'systemd',
  'systemd-journal-remote': 'systemd-journal-remote',
  'systemd-nspawn': 'systemd-container',
  w3m: 'w3m',
  wrk: 'wrk',
  zsh: 'zsh',
} as const;

/** What Debian does not have; `.ci/go-parts` builds each, and says of which version. */
export const goParts = [
  'buildctl',
  'buildkitd',
  'containerd-2',
  'crane',
  'ctr-2',
  'envoy',
  'helm',
  'kubelet-types',
  'kubernetes-types',
  'kustomize',
  'oras',
  'regctl',
  'registry-3.0',
  'registry-3.1',
] as const;

/** What other scripts get or build: the file that they leave in their folder. */
const cachedFiles = {
  keycloak: { path: 'keycloak/bin/kc.sh', script: '.ci/java-parts' },
  musl: { path: 'musl/lib/libstdc++.so.6', script: '.ci/musl-parts' },
  spring: { path: 'spring.jar', script: '.ci/java-parts' },
} as const;

export type Part = keyof typeof packages | (typeof goParts)[number] | keyof typeof cachedFiles;

/** Parts that are no program: where they are. */
const files: Readonly<Record<string, string>> = {
  'systemd-journal-remote': '/lib/systemd/systemd-journal-remote',
  'python3-prometheus-client': '/usr/lib/python3/dist-packages/prometheus_client',
};

/**
 * As `describe`, for rules that are seen only with these programs. Where one is missing they are skipped, and a
 * line says what to install; with CI=true nothing is skipped, so they fail.
 */
export function describeWith(parts: readonly Part[], title: string, body: () => void): void {
  const missing = parts.filter((part) => !isThere(part));
  if (missing.length === 0) {
    describe(title, body);
    return;
  }
  const install = howToInstall(missing);
  if (process.env.CI === 'true') {
    test(`${title}: finds ${missing.join(', ')}`, () => {
      throw new Error(`With CI=true nothing is skipped: ${install}`);
    });
    return;
  }
  process.stderr.write(`skipped: "${title}" needs ${missing.join(', ')}: ${install}\n`);
  describe.skipIf(true)(title, body);
}

function howToInstall(missing: readonly Part[]): string {
  const fromDebian = missing.flatMap((part) =>
    part in packages ? [packages[part as keyof typeof packages]] : [],
  );
  return [
    ...(fromDebian.length === 0 ? [] : [`apt-get install ${[...new Set(fromDebian)].join(' ')}`]),
    ...(missing.some((part) => (goParts as readonly Part[]).includes(part)) ? ['.ci/go-parts'] : []),
    ...new Set(missing.flatMap((part) => (isCached(part) ? [cachedFiles[part].script] : []))),
  ].join(' && ');
}

function isCached(part: Part): part is keyof typeof cachedFiles {
  return part in cachedFiles;
}

function isThere(part: Part): boolean {
  if (isCached(part)) return existsSync(join(cachedParts, cachedFiles[part].path));
  const file = files[part];
  return file === undefined ? Bun.which(part, { PATH: searchPath }) !== null : existsSync(file);
}

/** As `describeWith`, for rules that only root can see: other roots, other users. */
export function describeAsRoot(parts: readonly Part[], title: string, body: () => void): void {
  if (process.getuid?.() === 0 || process.env.CI === 'true') {
    describeWith(parts, title, body);
    return;
  }
  process.stderr.write(`skipped: "${title}" needs root\n`);
  describe.skipIf(true)(title, body);
}
