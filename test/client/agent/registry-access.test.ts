/** Whom the agent believes of what a registry's challenges name. */
import { expect, test } from 'bun:test';
import { requiredAccess } from '../../../src/client/agent/check-request.ts';
import { RegistryAccess } from '../../../src/client/agent/registry-access.ts';
import { createClientParts } from '../../support/client-parts.ts';

/** What is said of a challenge with this realm; empty where it is believed. `given` as by --realm. */
function learn(registry: string, realm: string, given: string | null = null): string {
  const access = new RegistryAccess({
    registry: new URL(registry),
    parts: createClientParts({ now: 0 }),
    requestOpTok: () => Promise.reject(new Error('No OpTok is asked for here.')),
    realm: given,
    service: null,
    onTokenService: () => {},
    probe: async () => null,
  });
  try {
    const need = requiredAccess('GET', new URL('/v2/', registry));
    return access.learn(need, `Bearer realm="${realm}",service="s"`) ? '' : 'no challenge';
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

test.each([
  ['https://registry.example.com', 'https://token.example.com/token'],
  ['http://127.0.0.1:5000', 'http://localhost:8085/token'],
  ['https://localhost:5000', 'http://[::1]:8085/token'],
])('the registry %s may name the realm %s', (registry, realm) => {
  expect(learn(registry, realm)).toBe('');
});

test.each(['http://127.0.0.1:8085/token', 'https://localhost/token', 'https://[::1]:8443/admin'])(
  'a registry elsewhere may not name %s: its agent would ask services of this machine for it',
  (realm) => {
    const registry = 'https://registry.example.com';
    expect(learn(registry, realm)).toContain('a realm that is on this machine');
    expect(learn(registry, realm, realm)).toBe('');
  },
);

test('a realm in the clear is not believed even where it is the one that was given', () => {
  const realm = 'http://token.example.com/token';
  expect(learn('https://registry.example.com', realm, realm)).toContain('neither https');
});
