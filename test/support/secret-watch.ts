/**
 * Looks through what programs write, in every test: no token, proof, key or password may be in it. Children are looked
 * through when they end (processes.ts), commands and logs inside the test process as they write. What a command is there
 * to print is let through on its standard output alone.
 *
 * As a program it looks through standard input, the log of the whole suite, and ends with 1 where it finds something.
 */

/** What is secret by its form. */
const forms: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['a signed token or proof', /\beyJ[\w-]{10,}\.eyJ[\w-]{4,}\.[\w-]{10,}/],
  ['a private key', /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/],
  ['a private JWK', /\\?"d\\?"\s*:\s*\\?"[\w-]{20,}/],
  ['credentials', /\bBasic [A-Za-z0-9+/]{40,}/],
  // A shorter one is an example in a test's title.
  ['a URL with a password', /\b[a-z]+:\/\/[^\s/:@"]*:[^\s/:@"*]{9,}@/],
];

/** Commands whose result is a secret, or a bundle, which is signed as tokens are: their standard output is for whoever called them. */
const printsSecrets = [
  'token',
  'dpop-proof',
  'docker-credential',
  'kubelet-credential-provider',
  'entitlements',
];

/** Of the tests' making: passwords, client secrets, private keys. */
const kept = new Set<string>();

/** From now on no output may hold it. Returns it. */
export function keepSecret(secret: string): string {
  // A shorter one would be found in words that have nothing to do with it.
  if (secret.length >= 8) kept.add(secret);
  return secret;
}

export interface Output {
  readonly stdout?: string;
  readonly stderr?: string;
}

/**
 * Throws where an output of this command holds a secret, and names its kind and its place, never the secret. The
 * standard output of a program that is not ours (curl, openssl) is its own affair: ours passes on standard error.
 */
export function checkOutput(command: readonly string[], { stdout = '', stderr = '' }: Output): void {
  const isLookedAt = isOurs(command) && !printsSecrets.includes(nameOf(command));
  const found = findSecret(stderr) ?? (isLookedAt ? findSecret(stdout) : null);
  if (found !== null) throw new Error(`SECRET in the output of ${command.slice(0, 3).join(' ')}: ${found}.`);
}

/** The kind of the first secret and its line; null if there is none. */
export function findSecret(text: string): string | null {
  if (text === '') return null;
  for (const [kind, pattern] of forms) {
    const at = text.search(pattern);
    if (at !== -1) return `${kind}, line ${lineAt(text, at)}`;
  }
  for (const secret of kept) {
    const at = text.indexOf(secret);
    if (at !== -1) return `a secret of this test run, line ${lineAt(text, at)}`;
  }
  return null;
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** The executable, its sources, or one of its links. */
function isOurs(command: readonly string[]): boolean {
  return command.slice(0, 3).some((word) => /(?:registry-token|src\/main\.ts)$/.test(word));
}

/** `serve` of `…/registry-token serve --config F`. */
function nameOf(command: readonly string[]): string {
  if (command[0]?.endsWith('docker-credential-registry-token')) return 'docker-credential';
  const program = command.findIndex((word) => /(?:registry-token|src\/main\.ts)$/.test(word));
  return command[program + 1] ?? '';
}

if (import.meta.main) {
  const found = findSecret(await Bun.stdin.text());
  if (found !== null) {
    process.stderr.write(`SECRET in what the tests wrote: ${found}.\n`);
    process.exitCode = 1;
  }
}
