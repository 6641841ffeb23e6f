/** The tables and examples of etc/README.md that are made from the sources: `bun run schema` writes them between their markers. */
import { readFileSync } from 'node:fs';
import { check } from '../../src/cli/check.ts';
import { explain } from '../../src/cli/explain.ts';
import { configurationJsonSchema } from '../../src/config/json-schema.ts';
import { configurationSchema } from '../../src/config/schema.ts';
import { reasonTexts } from '../../src/reason-texts.ts';
import { Refusal, reasons } from '../../src/refusal.ts';
import { type BrokenSetup, brokenSetups } from './broken-setups.ts';
import { createCheckSite } from './check-site.ts';
import { createTemporaryFolder } from './processes.ts';
import { runCommand } from './run-command.ts';

const REFERENCE = new URL('../../etc/README.md', import.meta.url);

/** The part of a JSON Schema that a row is made of. */
interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

/** One key: its path with `NAME` for a free name and `[]` for an item, and its node. */
interface Key {
  readonly path: string;
  readonly node: SchemaNode;
  readonly required: boolean;
}

function keysOf(node: SchemaNode, path = ''): Key[] {
  const below = path === '' ? '' : `${path}.`;
  const { additionalProperties: free, items, anyOf = [] } = node;
  return [
    ...Object.entries(node.properties ?? {}).flatMap(([name, key]) => [
      { path: `${below}${name}`, node: key, required: node.required?.includes(name) ?? false },
      ...keysOf(key, `${below}${name}`),
    ]),
    // Each of several Authorities has the keys of the one.
    ...(typeof free === 'object' && path !== 'authorities' ? keysOf(free, `${below}NAME`) : []),
    ...(items === undefined ? [] : keysOf(items, `${path}[]`)),
    ...anyOf.flatMap((choice) => keysOf(choice, path)),
  ];
}

function typeOf(node: SchemaNode): string {
  if (node.enum !== undefined) return node.enum.map((word) => `\`${word}\``).join(', ');
  if (node.const !== undefined) return `\`${node.const}\``;
  if (node.anyOf !== undefined) return [...new Set(node.anyOf.map(typeOf))].join(', or ');
  if (node.type === 'array') return `list of ${typeOf(node.items ?? {})}`;
  if (node.type === 'object') return typeof node.additionalProperties === 'object' ? 'map' : 'section';
  if (node.type === 'integer') {
    const most = node.maximum === Number.MAX_SAFE_INTEGER ? undefined : node.maximum;
    if (most === undefined) return `integer from ${node.minimum}`;
    return `integer, ${node.minimum} to ${most}`;
  }
  return node.type === 'boolean' ? '`true` or `false`' : 'text';
}

/** What the schema demands of a text or a duration, in the words of its mistakes: `host:port`, `an http or https URL …`. */
function demandOf({ path }: Key): string | null {
  const steps = stepsOf(path);
  const last = steps.pop() ?? '';
  const document = structuredClone(leastDocument);
  let at: Record<string, unknown> = document;
  for (const step of steps) {
    at[step] ??= {};
    at = at[step] as Record<string, unknown>;
  }
  at[last] = last === '0' || !Array.isArray(at[last]) ? '\0' : ['\0'];
  const message = configurationSchema
    .safeParse(document)
    .error?.issues.find((issue) => issue.path.join('.').startsWith([...steps, last].join('.')))?.message;
  return /^must be (.+?)(?:, such as .+)?$/.exec(message ?? '')?.[1] ?? null;
}

const leastDocument = {
  authority: { issuer: 'https://a.example', audiences: ['registry'] },
  signing: { issuer: 'i', keyPath: 'k' },
  registry: { realm: 'https://r.example/token' },
  plans: { NAME: { repositories: [{ pattern: 'a' }] } },
};

/** `plans.NAME.repositories[].pattern` as plans, NAME, repositories, 0, pattern. */
function stepsOf(path: string): string[] {
  return path.split('.').flatMap((name) => (name.endsWith('[]') ? [name.slice(0, -2), '0'] : [name]));
}

/** What the schema puts in the place of keys that are absent, from the least configuration that it takes. */
const defaults: unknown = configurationSchema.parse(leastDocument);

function defaultOf({ path, node, required }: Key): string {
  if (required) return '**required**';
  if (node.type === 'object') return '';
  if (node.items?.type === 'object') return 'none';
  const value = stepsOf(path).reduce<unknown>(
    (at, name) => (at as Record<string, unknown> | undefined)?.[name],
    defaults,
  );
  return value === undefined ? 'none' : `\`${renderDefault(value, node)}\``;
}

function renderDefault(value: unknown, node: SchemaNode): string {
  if (Array.isArray(value)) return `[${value.join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const { host, port } = value as { readonly host?: string; readonly port?: number };
    return host === undefined ? JSON.stringify(value) : `${host}:${port}`;
  }
  if (!Array.isArray(node.type) || typeof value !== 'number') return String(value);
  return value % 60 === 0 && value > 60 ? `${value / 60}m` : `${value}s`;
}

/** A text or a duration, whose type alone does not say what is allowed. */
const isPlain = (node: SchemaNode) =>
  Array.isArray(node.type) || (node.type === 'string' && node.enum === undefined);

const cell = (text: string) => text.replaceAll('|', '\\|');
const literal = (text: string) => text.replaceAll('*', '\\*');

export function configurationTable(): string {
  const keys = keysOf(JSON.parse(configurationJsonSchema()));
  const rows = keys.map((key) => {
    const demand = isPlain(key.node) ? demandOf(key) : null;
    const cells = [
      `\`${key.path}\``,
      demand ?? typeOf(key.node),
      defaultOf(key),
      literal(key.node.description ?? ''),
    ];
    return `| ${cells.map(cell).join(' | ')} |`;
  });
  return ['| key | value | default | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

export function reasonTable(): string {
  const rows = reasons.map((reason) => {
    const { status, error } = new Refusal(reason, '');
    const { meaning, mend } = reasonTexts[reason];
    return `| \`${reason}\` | ${status} | ${error === null ? '' : `\`${error}\``} | ${cell(meaning)} | ${cell(mend)} |`;
  });
  return ['| reason | status | `error` | meaning | what to do |', '|---|---|---|---|---|', ...rows].join(
    '\n',
  );
}

/** Each of the common broken setups, made for real, with what `check` says of it; the same findings once. */
async function findingTable(): Promise<string> {
  const rows = (await Promise.all(brokenSetups.map(findingRows))).flat();
  const unique = new Map(rows.toReversed().map(({ setup, said }) => [said, `| ${setup} | ${said} |`]));
  return ['| setup | `check` says | what to do |', '|---|---|---|', ...[...unique.values()].reverse()].join(
    '\n',
  );
}

async function findingRows({ setup, keygen = [], breaks }: BrokenSetup) {
  await using site = await createCheckSite(...keygen);
  await breaks(site);
  const text = (found: string) => cell(literal(steady(found, site.folder.path)));
  return (await site.findings()).map(({ severity, fault, mend }) => ({
    setup,
    said: `${severity}: ${text(fault)} | ${text(mend)}`,
  }));
}

/** Without what differs from run to run: folders, ports, dates, users. */
function steady(text: string, folder: string): string {
  return text
    .replaceAll(folder, 'DIR')
    .replace(/127\.0\.0\.1:\d{4,}/g, '127.0.0.1:PORT')
    .replace(/[A-Z][a-z]{2} {1,2}\d+ [\d:]+ \d{4} GMT/g, 'DATE')
    .replace(/\d{4}-\d\d-\d\dT[\d:]+Z/g, 'DATE')
    .replace(/\d+ s (ahead|behind)/g, '300 s $1')
    .replace(/user \d+ and group \d+/g, 'user UID and group GID');
}

const EXPLAINED = [
  '--plan',
  'enterprise',
  '--claim',
  'tid=acme',
  'repository:customers/acme/app:push',
  'repository:customers/globex/app:push',
];

/** What `explain` says with the sample. */
async function explainExample(): Promise<string> {
  const sample = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;
  const { stdout } = await runCommand(explain, ['--config', sample, ...EXPLAINED]);
  const output = stdout.replaceAll(sample, 'etc/registry-token.yaml').trimEnd();
  return `\`\`\`console\n$ registry-token explain ${EXPLAINED.join(' ')}\n${output}\n\`\`\``;
}

/** A configuration of two mistakes, and a third in the environment. */
const MISTAKEN = `server: { listne: 127.0.0.1:8085 }
authority:
  issuer: https://authority.example.com
  audiences: [registry]
  algorithms: [ES256, none]
signing: { issuer: registry-token.example.com, keyPath: registry-signing.pem }
registry: { realm: https://registry.example.com/token }
plans: { team: { repositories: [{ pattern: team/** }] } }
`;

/** What `check` says of it. */
async function mistakesExample(): Promise<string> {
  await using folder = await createTemporaryFolder();
  const path = folder.at('registry-token.yaml');
  await Bun.write(path, MISTAKEN);
  const { stderr } = await runCommand(check, ['--config', path], '', {
    REGISTRY_TOKEN_SERVER__LISTEN: 'abc',
  });
  return `\`\`\`\n${stderr.replaceAll(`${folder.path}/`, '').trimEnd()}\n\`\`\``;
}

/** etc/README.md with these tables in their places. Throws where a marker is missing. */
export async function withTables(page: string): Promise<string> {
  const tables = {
    configuration: configurationTable(),
    reasons: reasonTable(),
    findings: await findingTable(),
    explain: await explainExample(),
    mistakes: await mistakesExample(),
  };
  return Object.entries(tables).reduce((text, [name, table]) => {
    const [start, end] = [`<!-- ${name}: written by bun run schema -->`, `<!-- end of ${name} -->`];
    const [before, rest] = text.split(start);
    const [, after] = rest?.split(end) ?? [];
    if (before === undefined || after === undefined) throw new Error(`etc/README.md has no marker ${name}.`);
    return `${before}${start}\n\n${table}\n\n${end}${after}`;
  }, page);
}

export function readReference(): string {
  return readFileSync(REFERENCE, 'utf8');
}

if (import.meta.main) await Bun.write(REFERENCE, await withTables(readReference()));
