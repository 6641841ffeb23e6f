/** The samples that name the credential helper: auth.json of containers/image, config.json of docker. */
import { expect, test } from 'bun:test';
import { CREDENTIAL_HELPER_NAME } from '../../../src/cli/command.ts';

test.each(['containers/auth.json', 'docker/config.json'])(
  'etc/%s names our helper, and nothing secret',
  async (path) => {
    const sample: unknown = await Bun.file(new URL(`../../../etc/${path}`, import.meta.url)).json();
    const helper = CREDENTIAL_HELPER_NAME.replace('docker-credential-', '');
    expect(sample).toEqual({ credHelpers: { 'registry.example.com': helper } });
  },
);
