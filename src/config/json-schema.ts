/**
 * The JSON Schema of the configuration, for editors: `bun run schema` writes it to etc/. Rules between keys
 * (a default plan that exists, Redis with its URL) are beyond it; the service checks those itself.
 */
import { z } from 'zod';
import { configurationSchema } from './schema.ts';

export function configurationJsonSchema(): string {
  const schema = z.toJSONSchema(configurationSchema, { io: 'input', target: 'draft-7' });
  const document = { ...schema, title: 'Configuration of registry-token' };
  return `${JSON.stringify(document, null, 2)}\n`;
}

if (import.meta.main)
  await Bun.write(
    new URL('../../etc/registry-token.schema.json', import.meta.url),
    configurationJsonSchema(),
  );
