/** The grammar of scopes. */
import { describe, expect, test } from 'bun:test';
import { formatScope, parseScopes } from '../../src/request/resource-scope.ts';
import { ask, expectRefusal, expectToken } from '../support/ask.ts';
import { createHarness, createPlan } from '../support/service.ts';
import { decodePart } from '../support/tokens.ts';
import { loadVectors } from '../support/vectors.ts';

interface ScopeVector {
  readonly scopes: readonly string[];
  /** null: malformed. */
  readonly access: readonly string[] | null;
  readonly why?: string;
}

const anything = createPlan('anything', [['**', ['*']]], { catalog: true });
const harness = await createHarness({
  policy: { plans: new Map([['anything', anything]]), defaultPlan: 'anything' },
});

describe('a scope', () => {
  test.each(
    loadVectors<ScopeVector>('scopes').map(
      (vector) => [vector.scopes, vector.access, vector.why ?? '', vector] as const,
    ),
  )('%j is %j (%s)', async (_scopes, _access, _why, { scopes, access }) => {
    const parse = () => parseScopes(scopes).map(formatScope);
    if (access !== null) return expect(parse()).toEqual([...access]);
    for (const method of ['GET', 'POST'] as const)
      expectRefusal(await ask(harness, { scopes, method }), 'malformed-scope');
  });

  test('may have a name of 255 characters, and no more', () => {
    const name = 'a'.repeat(255);
    expect(parseScopes([`repository:${name}:pull`])).toEqual([
      { type: 'repository', name, actions: ['pull'] },
    ]);
    expect(() => parseScopes([`repository:${name}a:pull`])).toThrow('malformed-scope');
  });

  test.each(['GET', 'POST'] as const)('is granted sorted, one entry a resource, on %s', async (method) => {
    const scopes = [
      'repository:z:push,pull  repository:a/b:pull',
      '',
      'registry:catalog:*',
      'repository:localhost:5000/x:pull',
      'repository(plugin):z:delete',
    ];
    const answer = await ask(harness, { method, scopes });
    expectToken(answer);
    expect(decodePart(String(answer.body.token), 1).access).toEqual([
      { type: 'registry', name: 'catalog', actions: ['*'] },
      { type: 'repository', name: 'a/b', actions: ['pull'] },
      { type: 'repository', name: 'localhost:5000/x', actions: ['pull'] },
      { type: 'repository', name: 'z', actions: ['delete', 'pull', 'push'] },
    ]);
  });

  test.each(['GET', 'POST'] as const)(
    'is absent or empty for an authentication check on %s',
    async (method) => {
      for (const scopes of [[], [''], [' '], ['', '']]) {
        const answer = await ask(harness, { method, scopes });
        expectToken(answer);
        expect(decodePart(String(answer.body.token), 1).access).toEqual([]);
      }
    },
  );

  test.each(['GET', 'POST'] as const)(
    'may name 100 actions of a resource, and no more, on %s',
    async (method) => {
      const letters = [...'abcdefghij'];
      const hundred = letters.flatMap((first) => letters.map((second) => first + second));
      const askFor = (...scopes: string[]) => ask(harness, { method, scopes });
      expectToken(await askFor(`repository:public/a:${hundred.join(',')}`));
      expectRefusal(await askFor(`repository:public/a:${hundred.join(',')},pull`), 'malformed-scope');
      const halves = [hundred.slice(0, 60), [...hundred.slice(40), 'pull']];
      const scopes = halves.map((actions) => `repository:public/a:${actions.join(',')}`);
      expectRefusal(await askFor(...scopes), 'malformed-scope');
      expectToken(await askFor(`repository:public/a:${Array(200).fill('pull').join(',')}`));
    },
  );

  test.each(['GET', 'POST'] as const)('may name 64 resources, and no more, on %s', async (method) => {
    const scopes = Array.from({ length: 64 }, (_, index) => `repository:r${index}:pull`);
    expectToken(await ask(harness, { method, scopes }));
    expectToken(await ask(harness, { method, scopes: [...scopes, 'repository:r0:push'] }));
    expectRefusal(
      await ask(harness, { method, scopes: [...scopes, 'repository:r64:pull'] }),
      'malformed-scope',
    );
    expectRefusal(
      await ask(harness, { method, scopes: [[...scopes, 'repository:x:pull'].join(' ')] }),
      'malformed-scope',
    );
  });

  test('that is malformed comes back shortened and without control characters', async () => {
    const answer = await ask(harness, { scopes: [`repository:"\\\u0007ä${'x'.repeat(500)}:pull`] });
    expectRefusal(answer, 'malformed-scope');
    expect(String(answer.body.detail)).toContain('repository:????xxx');
    expect(String(answer.body.detail).length).toBeLessThan(200);
  });
});
