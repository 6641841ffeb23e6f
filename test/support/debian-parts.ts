/** Programs of Debian that are the other side of a test: the real registry, real clients, real proxies. */
import { describe, test } from 'bun:test';
import { searchPath } from './processes.ts';

/** The programs that tests need, each with the Debian package that has it. */
const packages = {
  containerd: 'containerd',
  ctr: 'containerd',
  curl: 'curl',
  'docker-registry': 'docker-registry',
  nginx: 'nginx',
  openssl: 'openssl',
  buildah: 'buildah',
  podman: 'podman',
  promtool: 'prometheus',
  'redis-server': 'redis-server',
  skopeo: 'skopeo',
  'systemd-analyze': 'systemd',
  wrk: 'wrk',
} as const;

export type DebianPart = keyof typeof packages;

/**
 * As `describe`, for rules that are seen only with these programs. Where one is missing they are skipped, and a
 * line says what to install; with CI=true nothing is skipped, so they fail.
 */
export function describeWith(parts: readonly DebianPart[], title: string, body: () => void): void {
  const missing = parts.filter((part) => Bun.which(part, { PATH: searchPath }) === null);
  if (missing.length === 0) {
    describe(title, body);
    return;
  }
  const install = `apt-get install ${[...new Set(missing.map((part) => packages[part]))].join(' ')}`;
  if (process.env.CI === 'true') {
    test(`${title}: finds ${missing.join(', ')}`, () => {
      throw new Error(`With CI=true nothing is skipped: ${install}`);
    });
    return;
  }
  process.stderr.write(`skipped: "${title}" needs ${missing.join(', ')}: ${install}\n`);
  describe.skipIf(true)(title, body);
}
