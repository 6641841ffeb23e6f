/** Looking into a zod schema: what it accepts at a path. */
import { z } from 'zod';
import type { KeyPath } from './document.ts';

/** What a schema accepts, without the layers of defaults and transformations around it. */
export function alternatives(schema: z.ZodType): z.ZodType[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault)
    return alternatives(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodPipe) return alternatives(schema.in as z.ZodType);
  if (schema instanceof z.ZodUnion)
    return schema.options.flatMap((option) => alternatives(option as z.ZodType));
  return [schema];
}

/** The names of the keys that a mapping at this path may have; none where the schema has no mapping there. */
export function keyNamesAt(schema: z.ZodType, path: KeyPath): string[] {
  let choices = alternatives(schema);
  for (const part of path) choices = choices.flatMap((choice) => childOf(choice, part)).flatMap(alternatives);
  return choices.flatMap((choice) => (choice instanceof z.ZodObject ? Object.keys(choice.shape) : []));
}

function childOf(schema: z.ZodType, part: string | number): z.ZodType[] {
  if (schema instanceof z.ZodObject)
    return typeof part === 'string' && Object.hasOwn(schema.shape, part) ? [schema.shape[part]] : [];
  if (schema instanceof z.ZodRecord) return [schema.valueType as z.ZodType];
  return schema instanceof z.ZodArray ? [schema.element as z.ZodType] : [];
}
