/** `entitlements`: the vendor's bundle made, verified, compared and shown. */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { openBundle, serialFileOf } from '../assemble/entitlements.ts';
import { FileReader } from '../assemble/files.ts';
import { newSearch, searchSources } from '../audit/search.ts';
import { createMatcher, everything } from '../audit/selection.ts';
import { auditFiles, fileSource, SourceFault } from '../audit/sources.ts';
import { type AuthorityKeySet, parseKeySet } from '../authority/key-set.ts';
import { readRevocationList } from '../authorize/revoked-licenses.ts';
import { findEntitlementsFaults } from '../check/entitlements-findings.ts';
import { findConfigurationFile, type LoadedConfiguration, loadConfiguration } from '../config/load.ts';
import { parseDuration } from '../config/values.ts';
import { ConfigurationFault, formatMistake } from '../document/mistakes.ts';
import { decodeText } from '../document/text.ts';
import { findAdmissionFaults } from '../entitlements/admission.ts';
import { type Bundle, bundleFault, MOST_BUNDLE_BYTES, readBundle } from '../entitlements/bundle.ts';
import { compareBundles, describeDifference, isSame } from '../entitlements/diff.ts';
import { describeEffects, type Effects, EffectsOf } from '../entitlements/effects.ts';
import { SeenSerials } from '../entitlements/seen-serials.ts';
import {
  asJwsSignature,
  type BundleSigner,
  digestOf,
  keySigner,
  readContent,
  signPayload,
  writePayload,
} from '../entitlements/sign.ts';
import { algorithmOf, KeyFault } from '../keys/key-algorithm.ts';
import { thumbprintId } from '../keys/key-ids.ts';
import { openPrivateKey, openPublicKeys } from '../keys/signing-key.ts';
import { explainError } from '../platform/errors.ts';
import { escapeLines, escapeText } from '../platform/escape.ts';
import { neverPause } from '../platform/pauses.ts';
import { replaceFile } from '../platform/replace-file.ts';
import { formatTime } from '../platform/time.ts';
import { settleWithin } from '../platform/wait.ts';
import {
  type Command,
  type CommandContext,
  CommandFailure,
  readWords,
  required,
  UsageError,
} from './command.ts';

export const entitlements: Command = {
  name: 'entitlements',
  summary: "signs, verifies, compares and shows a vendor's bundle of plans and revoked licences",
  help: `Usage: registry-token entitlements (sign | verify | diff | inspect) [options]
       registry-token entitlements sign --key FILE --in FILE --serial N --site S --expires T [options]
       registry-token entitlements verify [BUNDLE] [--config FILE | --keys FILE [--site S]] [--json]
       registry-token entitlements diff OLD NEW [--config FILE | --keys FILE] [--tokens FILE…] [--json]
       registry-token entitlements inspect BUNDLE [--config FILE | --keys FILE]

sign creates a bundle of plans and revoked licences. The same input and --issued-at give the same bundle, except for the
signature.
  --in FILE             YAML (or JSON, *.json) with plans, and optionally defaultPlan, revokedLicenses, issuer and note
  --revoked FILE        more revoked licences, one a line, as in revokedLicensesPath
  --serial N            a whole number, higher than that of every bundle before
  --site S              the site that it is for; may be repeated; * is every site
  --expires T           when it expires: a duration from now (35d), or a date (2027-01-31)
  --key FILE            the vendor's private key, PEM or PFX
  --key-password-path FILE
                        its password
  --sign-command CMD    in place of --key, for a key that cannot be read: CMD is run by /bin/sh with the digest on its
                        standard input (SHA-256; SHA-384 for P-384), and prints the signature, as bytes or base64; an
                        ECDSA signature in DER or as R and S. Ed25519 does not sign a digest and needs --key
  --public-key FILE     with --sign-command: its public key or certificate, PEM
  --key-id ID           the kid of the key in the vendor's key set; default: its RFC 7638 thumbprint
  --issuer NAME         who signs; default: issuer of --in, then the key's ID
  --note TEXT           for people; default: note of --in
  --issued-at T         the time of signature; default now
  --out FILE            where to write; default standard output

verify says whether the service would accept BUNDLE (default: that of the configuration), and if not, why: signature,
mistakes, site, times, serial. With --keys there is no configuration, and the serial is not compared.

diff says what NEW changes, by plan, and which licences are newly revoked and no longer revoked.
  --tokens FILE         an audit file (logging.auditPath), with its rotated ones: also says which subjects of the last 30
                        days would lose or gain what. May be repeated

inspect prints what is in BUNDLE as YAML.

  --config FILE         the configuration; default as for serve
  --keys FILE           the vendor's public keys (JWKS), in place of a configuration
  --json                prints the result as JSON

Exit codes of sign: 0 signed, 1 not. Of verify: 0 good, 1 not. Of diff: 0 the same, 1 different, 2 not valid.
Of inspect: 0, 1 not valid. 2 usage; 78 the configuration, or --in, has mistakes.

Examples:
  registry-token entitlements sign --key vendor.pem --in plans.yaml --serial 8 --site plant-7 --expires 35d --out 8.jws
  registry-token entitlements verify 8.jws --config /etc/registry-token/registry-token.yaml
  registry-token entitlements diff entitlements.jws 8.jws --keys vendor-jwks.json --tokens audit.log
`,
  run: async (context) => {
    const [name = '', ...args] = context.args;
    const subcommand = subcommands.get(name);
    if (subcommand === undefined)
      throw new UsageError(
        name === '' || name.startsWith('-')
          ? `one of ${[...subcommands.keys()].join(', ')} must come first`
          : `unknown word "${name}"; expected one of ${[...subcommands.keys()].join(', ')}`,
      );
    return subcommand({ ...context, args });
  },
};

const subcommands = new Map<string, (context: CommandContext) => Promise<number>>([
  ['sign', sign],
  ['verify', verify],
  ['diff', diff],
  ['inspect', inspect],
]);

const signOptions = {
  in: { type: 'string' },
  revoked: { type: 'string' },
  serial: { type: 'string' },
  site: { type: 'string', multiple: true },
  expires: { type: 'string' },
  key: { type: 'string' },
  'key-password-path': { type: 'string' },
  'sign-command': { type: 'string' },
  'public-key': { type: 'string' },
  'key-id': { type: 'string' },
  issuer: { type: 'string' },
  note: { type: 'string' },
  'issued-at': { type: 'string' },
  out: { type: 'string' },
} as const;
type SignValues = ReturnType<typeof readWords<typeof signOptions>>['values'];

async function sign({ args, env, print, tell }: CommandContext): Promise<number> {
  const { values, positionals } = readWords(args, signOptions);
  refuseWords(positionals);
  const file = required(values.in, 'in');
  const serial = parseSerial(required(values.serial, 'serial'));
  const sites = values.site ?? [];
  if (sites.length === 0 || sites.includes('')) throw new UsageError('--site is missing');
  const issuedAt =
    values['issued-at'] === undefined ? nowInSeconds() : parseDate(values['issued-at'], 'issued-at');
  const expiresAt = parseExpiry(required(values.expires, 'expires'), issuedAt);
  const { signer, publicKey } = await openSigner(values, env);
  const content = readContent(decodeText(readInput(file), file), file);
  const listed = values.revoked === undefined ? [] : await readRevoked(values.revoked);
  const payload = writePayload(
    {
      ...content,
      note: values.note ?? content.note,
      revokedLicenses: [...content.revokedLicenses, ...listed],
    },
    {
      issuer: values.issuer ?? content.issuer ?? signer.keyId,
      sites,
      serial,
      issuedAt,
      expiresAt,
    },
  );
  const text = await signPayload(payload, signer);
  const out = values.out ?? 'bundle';
  const bundle = await readBundle(Buffer.from(text), out, keySetOf(publicKey, signer), neverPause);
  if (values.out === undefined) print(`${text}\n`);
  else writeBundle(resolve(values.out), text);
  tell(`${escapeText(`signed ${out}: ${summarize(bundle)}`)}\n`);
  return 0;
}

/** The key set of this key alone, by which the bundle is read back before anybody gets it. */
function keySetOf(publicKey: KeyObject, { keyId }: BundleSigner): AuthorityKeySet {
  return parseKeySet(JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: keyId }] }));
}

function writeBundle(path: string, text: string): void {
  try {
    replaceFile(path, text, { mode: 0o644 });
  } catch (cause) {
    throw new CommandFailure(`cannot write ${path}: ${explainError(cause, 'write')}`);
  }
}

function summarize({ serial, sites, plans, revokedLicenses, expiresAt }: Bundle): string {
  const counts = [counted(plans.size, 'plan'), counted(revokedLicenses.size, 'revoked licence')];
  return `serial ${serial} for ${sites.join(', ')}, ${counts.join(', ')}, until ${formatTime(expiresAt)}`;
}

interface OpenedSigner {
  readonly signer: BundleSigner;
  readonly publicKey: KeyObject;
}

async function openSigner(values: SignValues, env: CommandContext['env']): Promise<OpenedSigner> {
  const { key: keyFile, 'sign-command': command } = values;
  if ((keyFile === undefined) === (command === undefined))
    throw new UsageError('one of --key and --sign-command is needed');
  try {
    if (keyFile !== undefined) {
      const passwordFile = values['key-password-path'];
      const password =
        passwordFile === undefined
          ? null
          : readInput(passwordFile)
              .toString()
              .replace(/\r?\n$/, '');
      const privateKey = await openPrivateKey(readInput(keyFile), password);
      const publicKey = createPublicKey(privateKey);
      return {
        signer: keySigner(privateKey, values['key-id'] ?? (await thumbprintId(publicKey))),
        publicKey,
      };
    }
    const publicFile = required(values['public-key'], 'public-key');
    const [first] = await openPublicKeys(readInput(publicFile).toString(), 'thumbprint');
    if (first === undefined) throw new KeyFault('key', 'The file holds no key.');
    const publicKey = createPublicKey({ key: first.jwk as object, format: 'jwk' });
    return {
      signer: commandSigner(command ?? '', publicKey, values['key-id'] ?? first.thumbprint, env),
      publicKey,
    };
  } catch (cause) {
    if (!(cause instanceof KeyFault)) throw cause;
    const message = cause.message.replace(
      'signing.keyPassword is not set',
      'there is no --key-password-path',
    );
    throw new CommandFailure(`${keyFile ?? values['public-key']}: ${message}`);
  }
}

/** Somebody may have to enter a PIN or to touch a device. */
const SIGN_COMMAND_MS = 120_000;
const MOST_SIGNATURE_BYTES = 16 * 1024;

function commandSigner(
  command: string,
  publicKey: KeyObject,
  keyId: string,
  env: CommandContext['env'],
): BundleSigner {
  const algorithm = algorithmOf(publicKey);
  const digest = digestOf[algorithm];
  if (digest === null)
    throw new UsageError('Ed25519 does not sign a digest: use --key, or an ECDSA or RSA key');
  return {
    algorithm,
    keyId,
    sign: async (input) => {
      const made = await runSignCommand(command, createHash(digest).update(input).digest(), env);
      const signature = asJwsSignature(made, input, publicKey);
      if (signature === null)
        throw new CommandFailure(
          `what --sign-command printed (${made.length} bytes) is not a signature of the digest by the key of --public-key`,
        );
      return signature;
    },
  };
}

async function runSignCommand(command: string, digest: Buffer, env: CommandContext['env']): Promise<Buffer> {
  const child = Bun.spawn(['/bin/sh', '-c', command], {
    env: { ...env },
    stdin: digest,
    stderr: 'inherit',
    timeout: SIGN_COMMAND_MS,
    killSignal: 'SIGKILL',
    maxBuffer: MOST_SIGNATURE_BYTES,
  });
  const outcome = Promise.all([child.exited, new Response(child.stdout).bytes()]);
  const [exitCode, output] = await settleWithin(SIGN_COMMAND_MS + 1000, outcome, () => [null, null] as const);
  if (exitCode !== 0 || output === null)
    throw new CommandFailure(
      child.signalCode === null && exitCode !== null
        ? `--sign-command failed with exit code ${exitCode}`
        : `--sign-command was killed: it took longer than ${SIGN_COMMAND_MS / 1000} s, or printed more than ${MOST_SIGNATURE_BYTES} bytes`,
    );
  return Buffer.from(output);
}

async function readRevoked(file: string): Promise<ReadonlySet<string>> {
  const list = await readRevocationList(decodeText(readInput(file), file), async () => {});
  if (list.faults.length > 0)
    throw new ConfigurationFault(list.faults.map((fault) => ({ source: file, key: '', ...fault })));
  return list.licenses;
}

function parseSerial(text: string): number {
  const serial = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(serial) && serial >= 1) return serial;
  throw new UsageError(`--serial must be a whole number from 1, not ${text}`);
}

/** RFC 3339, a date alone (its midnight UTC), or epoch seconds. */
function parseDate(text: string, option: string): number {
  const isDate = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d))?$/.test(text);
  const seconds = /^\d{1,12}$/.test(text) ? Number(text) : isDate ? Date.parse(text) / 1000 : Number.NaN;
  if (Number.isInteger(seconds)) return seconds;
  throw new UsageError(`--${option} must be a date such as 2027-01-31 or 2027-01-31T12:00:00Z, not ${text}`);
}

function parseExpiry(text: string, issuedAt: number): number {
  const duration = /^\d{1,12}$/.test(text) ? null : parseDuration(text);
  const expiresAt = duration === null ? parseDate(text, 'expires') : issuedAt + Math.floor(duration);
  if (expiresAt > issuedAt) return expiresAt;
  throw new UsageError(`--expires is ${formatTime(expiresAt)}, not after the time of signature`);
}

const readOptions = {
  config: { type: 'string' },
  keys: { type: 'string' },
  site: { type: 'string' },
  json: { type: 'boolean' },
} as const;

async function verify(context: CommandContext): Promise<number> {
  const { values, positionals } = readWords(context.args, readOptions);
  const [file, ...more] = positionals;
  refuseWords(more);
  const now = Date.now() / 1000;
  let bundle: Bundle;
  let loaded: LoadedConfiguration | null = null;
  try {
    if (values.keys === undefined) {
      if (values.site !== undefined)
        throw new UsageError('--site needs --keys: the configuration names the site');
      loaded = withBundleFile(openConfiguration(values.config, context), file);
      bundle = await openOfConfiguration(loaded, now);
    } else {
      if (file === undefined) throw new UsageError('the bundle is missing');
      bundle = await openWithKeys(file, values.keys);
      const site = { name: values.site ?? bundle.sites[0] ?? null, maxAge: null, seen: null };
      const faults = findAdmissionFaults(bundle, site, now);
      if (faults.length > 0) throw bundleFault(file, ...faults);
    }
  } catch (cause) {
    if (!(cause instanceof NotValid)) throw cause;
    return tellMistakes(cause, values.json === true, context);
  }
  const findings = loaded === null ? [] : findEntitlementsFaults(loaded, bundle, now);
  context.print(
    values.json === true
      ? toJson({ valid: true, ...describe(bundle), findings })
      : toLines([
          `${bundle.file}: good`,
          ...Object.entries(describe(bundle)).map(
            ([name, value]) => `  ${name.padEnd(15)} ${showValue(value)}`,
          ),
          ...seenLine(loaded),
          ...findings.flatMap(({ severity, place, fault, mend }) => [
            `${place}: ${severity}: ${fault}`,
            `    ${mend}`,
          ]),
        ]),
  );
  return 0;
}

function seenLine(loaded: LoadedConfiguration | null): string[] {
  const path = loaded === null ? null : serialFileOf(loaded);
  const seen = path === null ? null : new SeenSerials().find(path).seen;
  return seen === null
    ? []
    : [`  ${'highest so far'.padEnd(15)} serial ${seen.serial} of ${formatTime(seen.issuedAt)}`];
}

function showValue(value: unknown): string {
  return Array.isArray(value) ? value.join(', ') : String(value ?? 'none');
}

const MOST_NAMED = 20;

/** The facts of a bundle, for people and programs. */
function describe(bundle: Bundle) {
  const {
    issuer,
    sites,
    serial,
    keyId,
    algorithm,
    issuedAt,
    notBefore,
    expiresAt,
    plans,
    defaultPlan,
    note,
  } = bundle;
  const names = [...plans.keys()];
  const more = names.length > MOST_NAMED ? [`and ${names.length - MOST_NAMED} more`] : [];
  return {
    issuer,
    sites,
    serial,
    keyId,
    algorithm,
    issuedAt: formatTime(issuedAt),
    notBefore: formatTime(notBefore),
    expiresAt: formatTime(expiresAt),
    plans: [...names.slice(0, MOST_NAMED), ...more],
    defaultPlan,
    revokedLicenses: bundle.revokedLicenses.size,
    note,
  };
}

/** A bundle that cannot be used; the mistakes are of it alone. */
class NotValid extends ConfigurationFault {}

function tellMistakes({ mistakes }: NotValid, isJson: boolean, { print, tell }: CommandContext): number {
  const texts = mistakes.map(formatMistake);
  if (isJson) print(toJson({ valid: false, mistakes: texts }));
  else tell(`${texts.join('\n')}\n`);
  return 1;
}

const diffOptions = { ...readOptions, tokens: { type: 'string', multiple: true } } as const;
const TOKEN_DAYS = 30;

async function diff(context: CommandContext): Promise<number> {
  const { values, positionals } = readWords(context.args, diffOptions);
  const [oldFile, newFile, ...more] = positionals;
  refuseWords(more);
  if (oldFile === undefined || newFile === undefined)
    throw new UsageError('two bundles are needed: OLD and NEW');
  let before: Bundle;
  let after: Bundle;
  try {
    const keys = findKeys(values, context);
    before = await openWithKeys(oldFile, keys);
    after = await openWithKeys(newFile, keys);
  } catch (cause) {
    if (!(cause instanceof NotValid)) throw cause;
    tellMistakes(cause, values.json === true, context);
    return 2;
  }
  const difference = compareBundles(before, after);
  const effects = values.tokens === undefined ? null : await findEffects(before, after, values.tokens);
  if (values.json === true)
    context.print(
      toJson({ same: isSame(difference), from: before.serial, to: after.serial, ...difference, effects }),
    );
  else {
    const lines = describeDifference(difference, before, after);
    if (effects !== null) lines.push('', ...describeEffects(effects, TOKEN_DAYS));
    context.print(toLines(lines));
  }
  return isSame(difference) ? 0 : 1;
}

/** What the subjects of these audit files would lose and gain. */
async function findEffects(before: Bundle, after: Bundle, files: readonly string[]): Promise<Effects> {
  const since = Date.now() - TOKEN_DAYS * 86_400_000;
  const effects = new EffectsOf(before, after);
  try {
    const paths = await Promise.all(files.map((file) => auditFiles(resolve(file), since)));
    const search = newSearch();
    const matcher = createMatcher({ ...everything, since });
    for await (const matches of searchSources(paths.flat().map(fileSource), matcher, search))
      for (const { decision } of matches) if (decision !== null) effects.add(decision);
    const [fault] = search.faults;
    if (fault !== undefined) throw new CommandFailure(fault);
  } catch (cause) {
    if (cause instanceof SourceFault) throw new CommandFailure(cause.message);
    throw cause;
  }
  return effects.result();
}

async function inspect(context: CommandContext): Promise<number> {
  const { values, positionals } = readWords(context.args, readOptions);
  const [file, ...more] = positionals;
  refuseWords(more);
  if (file === undefined) throw new UsageError('the bundle is missing');
  let bundle: Bundle;
  try {
    bundle = await openWithKeys(file, findKeys(values, context));
  } catch (cause) {
    if (!(cause instanceof NotValid)) throw cause;
    return tellMistakes(cause, false, context);
  }
  const { plans, defaultPlan, revokedLicenses, ...facts } = describe(bundle);
  const document = {
    ...facts,
    defaultPlan: bundle.defaultPlan,
    plans: bundle.plans,
    revokedLicenses: [...bundle.revokedLicenses],
  };
  context.print(escapeLines(stringify(document, { lineWidth: 0 })));
  return 0;
}

function openConfiguration(option: string | undefined, { env }: CommandContext): LoadedConfiguration {
  const loaded = loadConfiguration(findConfigurationFile(option, env), env);
  if (loaded.configuration.entitlements !== undefined) return loaded;
  throw new CommandFailure(`${loaded.file} has no entitlements; name the vendor's keys with --keys`);
}

/** The configuration as if it named this bundle. */
function withBundleFile(loaded: LoadedConfiguration, file: string | undefined): LoadedConfiguration {
  const { configuration } = loaded;
  const { entitlements } = configuration;
  if (file === undefined || entitlements === undefined) return loaded;
  return {
    ...loaded,
    configuration: { ...configuration, entitlements: { ...entitlements, path: resolve(file) } },
  };
}

/** As the service would. */
async function openOfConfiguration(loaded: LoadedConfiguration, now: number): Promise<Bundle> {
  const files = new FileReader(loaded);
  const bundle = await openBundle(loaded, files, {
    now,
    seen: new SeenSerials(),
    before: null,
    pause: neverPause,
  });
  if (bundle === null) throw new NotValid(files.mistakes);
  return bundle;
}

/** The file of the vendor's keys: the option, else that of the configuration. */
function findKeys(
  { keys, config }: { readonly keys?: string | undefined; readonly config?: string | undefined },
  context: CommandContext,
): string {
  if (keys !== undefined) return keys;
  const { configuration, resolvePath } = openConfiguration(config, context);
  return resolvePath(configuration.entitlements?.keysPath ?? '');
}

async function openWithKeys(file: string, keysFile: string): Promise<Bundle> {
  const json = decodeText(readInput(keysFile), keysFile);
  let keys: AuthorityKeySet;
  try {
    keys = parseKeySet(json);
  } catch (cause) {
    throw new CommandFailure(`${keysFile}: ${cause instanceof Error ? cause.message : 'cannot be used'}`);
  }
  try {
    return await readBundle(readInput(file), file, keys, neverPause);
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    throw new NotValid(cause.mistakes);
  }
}

/** A whole file, of at most 64 MiB. Throws CommandFailure. */
function readInput(file: string): Buffer {
  try {
    const { size } = statSync(file);
    if (size > MOST_BUNDLE_BYTES)
      throw new CommandFailure(`${file} has ${size} bytes; at most ${MOST_BUNDLE_BYTES} are read`);
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof CommandFailure) throw cause;
    throw new CommandFailure(`cannot read ${file}: ${explainError(cause, 'read')}`);
  }
}

function refuseWords([stray]: readonly string[]): void {
  if (stray !== undefined) throw new UsageError(`unexpected argument "${stray}"`);
}

function nowInSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function toLines(lines: readonly string[]): string {
  return `${lines.map(escapeText).join('\n')}\n`;
}

function toJson(value: unknown): string {
  return `${escapeLines(JSON.stringify(value, null, 2))}\n`;
}
