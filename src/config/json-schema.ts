/**
 * The JSON Schema of the configuration, for editors: `bun run schema` writes it to etc/. Rules between keys
 * (a default plan that exists, one of authority and authorities, Redis with its URL) are beyond it; the service checks those itself.
 */
import { z } from 'zod';
import { descriptions } from './descriptions.ts';
import { configurationSchema } from './schema.ts';

/** The part of a JSON Schema that keys are found by. */
interface SchemaNode {
  description?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
}

export function configurationJsonSchema(): string {
  const schema = z.toJSONSchema(configurationSchema, { io: 'input', target: 'draft-7' });
  for (const [path, node] of keysOf(schema as SchemaNode)) node.description = describe(path);
  const document = { ...schema, title: 'Configuration of registry-token' };
  return `${JSON.stringify(document, null, 2)}\n`;
}

/** Every key with its path; `*` stands for a name that is free, and an item of a list has the path of the list. */
function keysOf(node: SchemaNode, path = ''): [string, SchemaNode][] {
  const below = path === '' ? '' : `${path}.`;
  const own = Object.entries(node.properties ?? {}).flatMap(([name, key]): [string, SchemaNode][] => [
    [`${below}${name}`, key],
    ...keysOf(key, `${below}${name}`),
  ]);
  const { additionalProperties: free, items, anyOf = [] } = node;
  return [
    ...own,
    ...(typeof free === 'object' ? keysOf(free, `${below}*`) : []),
    ...(items === undefined ? [] : keysOf(items, path)),
    ...anyOf.flatMap((choice) => keysOf(choice, path)),
  ];
}

function describe(path: string): string {
  // Each of several Authorities has the keys of the one.
  const description = descriptions[path.replace(/^authorities\.\*/, 'authority')];
  if (description === undefined) throw new Error(`descriptions.ts says nothing of ${path}`);
  return description;
}

if (import.meta.main)
  await Bun.write(
    new URL('../../etc/registry-token.schema.json', import.meta.url),
    configurationJsonSchema(),
  );
