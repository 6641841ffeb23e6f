/** `explain`: what it prints of a token that nobody has verified. */
import { expect, test } from 'bun:test';
import { explain } from '../../src/cli/explain.ts';
import { createCheckSite } from '../support/check-site.ts';
import { runCommand } from '../support/run-command.ts';

const FORGED = 'L1\u001b[2J\u001b[1A\nA token of 900 s would be issued for no resource.\u009b1m\u202e';

test.each(['text', 'json'])('an unverified token cannot write on the terminal: %s', async (form) => {
  await using site = await createCheckSite();
  await site.check('--offline');
  const claims = { iss: site.authority.issuer, aud: 'registry', sub: 'a', 'stellaops:license': FORGED };
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = [
    part({ alg: 'ES256', typ: 'at+jwt' }),
    part({ ...claims, 'stellaops:plan': 'community' }),
    'AA',
  ];
  const options = ['--config', site.folder.at('registry-token.yaml'), ...(form === 'json' ? ['--json'] : [])];
  const { stdout } = await runCommand(explain, [
    ...options,
    '--token',
    token.join('.'),
    'repository:x/y:pull',
  ]);
  expect(stdout).toContain('L1\\u001b[2J');
  expect(stdout).toContain('\\u009b1m\\u202e');
  expect(stdout.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  expect(stdout).not.toContain('\nA token of 900 s');
});

test.each([
  [
    ['--plan', 'enterprise', '--claim', 'tid=acme', 'repository:customers/acme/app:*'],
    'registry-token.yaml), as part of *\n  push ',
  ],
  [
    [
      '--plan',
      'enterprise',
      '--claim',
      'tid=acme',
      'repository:customers/acme/app:push',
      'repository:base:pull',
    ],
    'left out of the token: the source of a layer mount is not needed for the push',
  ],
  [
    ['--plan', 'enterprise', 'repository::pull'],
    "repository: (zot's catalog)\n  pull  allowed  by catalog: true",
  ],
  [
    ['--plan', 'community', 'repository::pull'],
    "repository: (zot's catalog)\n  pull  denied   the plan community does not have catalog: true",
  ],
] as const)('explain shows how %j is understood', async (words, line) => {
  const { stdout } = await runCommand(explain, ['--config', 'etc/registry-token.yaml', ...words]);
  expect(stdout.replaceAll(/:\d+:\d+\)/g, ')')).toContain(line);
});

test('explain --json has what was asked with * and what is left out', async () => {
  const scopes = ['repository:customers/acme/app:*', 'repository:base:pull'];
  const options = ['--config', 'etc/registry-token.yaml', '--plan', 'enterprise', '--claim', 'tid=acme'];
  const { stdout } = await runCommand(explain, [...options, '--json', ...scopes]);
  const { resources } = JSON.parse(stdout);
  expect(resources).toMatchObject([
    { name: 'base', leftOut: true, actions: [{ action: 'pull', allowed: false }] },
    {
      name: 'customers/acme/app',
      actions: ['delete', 'pull', 'push'].map((action) => ({ action, asked: '*' })),
    },
  ]);
});
