/** `explain` with an OpTok: every fault at once, and which rule chose the plan. */
import { afterAll, describe, expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { explain } from '../../src/cli/explain.ts';
import { minimum, writeYaml } from '../config/configuration-text.ts';
import { keySetOf } from '../support/faulty-authority.ts';
import { createKey } from '../support/keys.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';
import { ISSUER, type Members, opTokMembers, signWith } from '../support/tokens.ts';

const [key, stranger, client] = await Promise.all([
  createKey('ES256'),
  createKey('ES256'),
  createKey('ES256'),
]);
const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());
writeFileSync(folder.at('jwks.json'), JSON.stringify(keySetOf([key])));

const CLUSTER = 'https://cluster.example';
const own = { issuer: ISSUER, audiences: ['registry'], jwksPath: 'jwks.json' };
const cluster = {
  issuer: CLUSTER,
  audiences: ['images'],
  jwksPath: 'jwks.json',
  requiredScopes: [],
  tokenTypes: ['absent'],
  accept: ['none'],
  claims: { named: { namespace: ['kubernetes.io', 'namespace'] } },
  planRules: [
    { when: { namespace: 'kube-*' }, plan: 'community' },
    { when: { namespace: ['team', 'other'] }, plan: 'namespace' },
  ],
};
const plans = {
  community: { repositories: [{ pattern: 'public/*' }] },
  namespace: { repositories: [{ pattern: '{claim:namespace}/**', actions: ['pull', 'push'] }] },
};

function write(name: string, authorities: object): string {
  const { authority, ...rest } = minimum;
  const file = folder.at(name);
  writeFileSync(file, writeYaml({ ...rest, plans, ...authorities }).text);
  return file;
}
const single = write('single.yaml', { authority: own, defaultPlan: 'community' });
const several = write('several.yaml', { authorities: { main: own, cluster } });

const opTok = (header: Members = {}, claims: Members = {}, signer = key) =>
  signWith(opTokMembers(key, client, Date.now() / 1000), signer, { header, claims });
const run = (file: string, token: string, ...words: readonly string[]) =>
  runCommand(explain, ['--config', file, '--token', '-', ...words], token);

describe('--verify', () => {
  test('lists every fault of a token at once, each with what was found, beside header and claims', async () => {
    const token = opTok(
      { typ: 'JWT' },
      { aud: 'account', scope: 'profile', exp: 1, cnf: undefined, iss: ISSUER },
      stranger,
    );
    const { exitCode, stdout } = await run(single, token, '--verify', 'repository:public/a:pull');
    expect(exitCode).toBe(1);
    const faults = [
      `401 token-type: The OpTok's typ is "JWT"; authority.tokenTypes is [at+jwt].`,
      '401 token-unbound: The OpTok is bound to no sender (it has no cnf); authority.accept is [dpop, mtls].',
      `401 token-audience: The OpTok's aud is "account"; authority.audiences is [registry].`,
      '401 token-expired: The OpTok expired',
      '403 token-scope: The access token lacks the scope registry.token.issue',
      '401 token-signature: ',
    ];
    for (const fault of faults) expect(stdout).toContain(fault);
    expect(stdout).toContain('"typ": "JWT"');
    expect(stdout).toContain('"aud": "account"');
    expect(stdout).not.toContain(token.split('.')[2] ?? '-');
    expect(stdout).toContain('Without these faults:');
  });

  test('says so where there is none', async () => {
    const { exitCode, stdout } = await run(single, opTok(), '--verify', 'repository:public/a:pull');
    expect(stdout).toContain('The token has no fault');
    expect(exitCode).toBe(0);
  });

  test('examines a token of another issuer by the rules of the only Authority', async () => {
    const { stdout } = await run(single, opTok({}, { iss: `${ISSUER}/`, aud: 'x' }), '--verify', '--json');
    const { faults, authority } = JSON.parse(stdout);
    expect(authority).toBe('default');
    expect(faults.map(({ reason }: { reason: string }) => reason)).toEqual([
      'token-issuer',
      'token-audience',
    ]);
    expect(faults[0].detail).toContain('They differ in the slash at the end.');
  });

  test('names all Authorities where the issuer is none of theirs', async () => {
    const { exitCode, stdout } = await run(several, opTok({}, { iss: 'https://x.example' }), '--verify');
    expect(exitCode).toBe(1);
    expect(stdout).toContain('authorities.main.issuer is ');
    expect(stdout).toContain('authorities.cluster.issuer is ');
  });

  test('tells of an encrypted token what it is', async () => {
    const { exitCode, stdout } = await run(single, `${opTok()}.AAAA.AAAA`, '--verify');
    expect(exitCode).toBe(1);
    expect(stdout).toContain('encrypted (five parts, a JWE)');
  });
});

describe('with several Authorities', () => {
  const pod = opTok(
    { typ: undefined },
    { iss: CLUSTER, aud: 'images', cnf: undefined, scope: undefined, 'kubernetes.io': { namespace: 'team' } },
  );

  test('the iss of the token selects the rules, and each earlier rule is told why not', async () => {
    const { exitCode, stdout } = await run(
      several,
      pod,
      '--verify',
      'repository:team/app:push',
      'repository:other/app:push',
    );
    expect(exitCode).toBe(1);
    expect(stdout).toContain('Authority: cluster');
    expect(stdout).toMatch(
      /not community by planRules\[0\] \(.*several\.yaml:\d+:\d+\): namespace is "team", not kube-\*/,
    );
    expect(stdout).toMatch(/chosen by planRules\[1\] \(.*several\.yaml:\d+:\d+\)/);
    expect(stdout).toMatch(/push {2}allowed {2}by \{claim:namespace\}\/\*\*/);
    expect(stdout).toContain('The plan namespace does not allow repository:other/app:push.');
  });

  test('a plan and claims need --authority', async () => {
    const words = ['--config', several, '--claim', 'namespace=team', 'repository:team/app:pull'];
    expect((await runCommand(explain, words)).exitCode).toBe(2);
    const { exitCode, stdout } = await runCommand(explain, [...words, '--authority', 'cluster']);
    expect({ exitCode, stdout: stdout.includes('plan namespace') }).toEqual({ exitCode: 0, stdout: true });
    expect((await runCommand(explain, [...words, '--authority', 'nobody'])).exitCode).toBe(2);
  });

  test('a plan that is given is explained whatever the rules say', async () => {
    const words = [
      '--config',
      several,
      '--plan',
      'community',
      '--claim',
      'namespace=team',
      '--authority',
      'cluster',
    ];
    const { stdout } = await runCommand(explain, [...words, 'repository:public/a:pull']);
    expect(stdout).toContain('plan community');
  });
});
