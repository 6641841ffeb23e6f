/** Vectors: data with their expected outcome, in test/vectors. */
import { readFileSync } from 'node:fs';

/** Reads an array of vectors. An empty one fails: it would let everything pass. */
export function loadVectors<Vector>(name: string): readonly Vector[] {
  const vectors: unknown = JSON.parse(
    readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'),
  );
  if (!Array.isArray(vectors) || vectors.length === 0)
    throw new Error(`There are no vectors in ${name}.json.`);
  return vectors as readonly Vector[];
}
