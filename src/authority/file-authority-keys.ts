/** The Authority's keys from a file (`authority.jwksPath`): no request is ever made. */
import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import { Refusal } from '../refusal.ts';
import { parseKeySet } from './key-set.ts';

/** Throws an Error where the document is no usable key set. */
export function createFileAuthorityKeys(json: string): AuthorityKeys {
  const keySet = parseKeySet(json);
  return {
    generation: 0,
    async find(algorithm, keyId) {
      const keys = await keySet.find(algorithm, keyId);
      if (keys.length === 0)
        throw new Refusal(
          'token-key-unknown',
          "The OpTok's kid and alg are not in the key set of authority.jwksPath.",
        );
      return keys;
    },
  };
}
