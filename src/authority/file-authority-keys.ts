/** The Authority's keys from a file (`authority.jwksPath`): no request is ever made. */
import { createHash } from 'node:crypto';
import type { AuthorityKeys } from '../authenticate/authority-keys.ts';
import { Refusal } from '../refusal.ts';
import { parseKeySet } from './key-set.ts';

/** Throws an Error where the document is no usable key set. */
export function createFileAuthorityKeys(
  json: string,
  onWarning: (warning: string) => void = () => {},
): AuthorityKeys {
  const keySet = parseKeySet(json);
  for (const warning of keySet.warnings) onWarning(warning);
  return {
    source: `file ${createHash('sha256').update(json).digest('base64url')}`,
    generation: 0,
    async find(algorithm, keyId) {
      const keys = await keySet.find(algorithm, keyId);
      if (keys.length === 0)
        throw new Refusal('token-key-unknown', keySet.describeMiss(algorithm, keyId), {
          forLog: 'If it is a new key of the Authority, copy its key set to the file of jwksPath again.',
        });
      return keys;
    },
    fetched: null,
    lastFetch: null,
    refreshIfNeeded: async () => {},
    refresh: async () => {},
    inherit: () => {},
    renew: async () => {
      throw new Error('the keys come from a file');
    },
    adopt: () => {},
    failing: () => null,
    close: () => {},
  };
}
