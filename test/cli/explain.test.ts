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
