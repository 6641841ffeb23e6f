/** Configurations of any size: so many plans, patterns and revoked licences; the plans are in `plansPath`. */
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { createKey } from '../support/keys.ts';
import type { TemporaryFolder } from '../support/processes.ts';

export interface Size {
  readonly plans: number;
  readonly patterns: number;
  readonly licenses: number;
}

export const planName = (plan: number) => `plan-${plan}`;
export const licenseName = (license: number) =>
  `LIC-${String(license).padStart(9, '0')}-4f1c-9a7d-0b52e6c8d3f1`;
/** The tenant whose claim every tenth pattern holds. */
export const TENANT = 'acme';

export function patternOf(plan: number, pattern: number): string {
  return pattern % 10 === 9
    ? `customers/{claim:tid}/p${plan}-${pattern}-*`
    : `team-${plan}/app-${pattern}/**`;
}

/** A name that this pattern matches, and no other of its plan. */
export function nameOf(plan: number, pattern: number): string {
  return pattern % 10 === 9
    ? `customers/${TENANT}/p${plan}-${pattern}-web`
    : `team-${plan}/app-${pattern}/web/server`;
}

/** Writes the configuration and all that it names; returns its path. */
export async function writeScaleFiles(folder: TemporaryFolder, size: Size, port: number): Promise<string> {
  const { privateKey } = await createKey('ES256');
  const { publicJwk, thumbprint } = await createKey('ES256');
  writeFileSync(folder.at('signing.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
  writeFileSync(folder.at('jwks.json'), JSON.stringify({ keys: [{ ...publicJwk, kid: thumbprint }] }));
  writePieces(folder.at('revoked.txt'), size.licenses, (license) => `${licenseName(license)}\n`);
  writePieces(folder.at('plans.json'), size.plans, (plan) => writePlan(plan, size.patterns), '{', '}\n');
  const file = folder.at('registry-token.yaml');
  writeFileSync(file, writeConfiguration(port));
  return file;
}

function writeConfiguration(port: number): string {
  return `server: { listen: "127.0.0.1:${port}", shutdownGrace: 1s }
authority: { issuer: "https://authority.bench.example", jwksPath: jwks.json, audiences: [registry] }
signing: { issuer: registry-token.bench.example, keyPath: signing.pem }
registry: { realm: "http://127.0.0.1:${port}/token" }
revokedLicensesPath: revoked.txt
plansPath: plans.json
logging: { level: info, format: json }
`;
}

function writePlan(plan: number, patterns: number): string {
  const repositories = Array.from({ length: patterns }, (_, pattern) => ({
    pattern: patternOf(plan, pattern),
    actions: ['pull', 'push'],
  }));
  return `${plan === 0 ? '' : ','}\n${JSON.stringify(planName(plan))}: ${JSON.stringify({ repositories })}`;
}

const PIECE = 1024 * 1024;

function writePieces(
  file: string,
  count: number,
  write: (index: number) => string,
  head = '',
  end = '',
): void {
  const descriptor = openSync(file, 'w');
  let piece = head;
  for (let index = 0; index < count; index += 1) {
    piece += write(index);
    if (piece.length < PIECE) continue;
    writeSync(descriptor, piece);
    piece = '';
  }
  writeSync(descriptor, piece + end);
  closeSync(descriptor);
}
