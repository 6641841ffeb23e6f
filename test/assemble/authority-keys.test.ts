/** How many requests may wait for the keys of Authorities that do not answer. */
import { afterAll, expect, test } from 'bun:test';
import { openAuthorityKeys } from '../../src/assemble/authority.ts';
import { FileReader } from '../../src/assemble/files.ts';
import { loadConfiguration } from '../../src/config/load.ts';
import { createInstallation } from './installation.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());

test.each([
  [8, 1, 1, 4],
  [8, 2, 1, 2],
  [8, 4, 1, 1],
  [8, 1, 2, 2],
  [1, 1, 1, 1],
])(
  'with %d in flight, %d workers and %d Authorities, %d requests of a thread may wait for the keys of each',
  async (inFlight, workers, count, most) => {
    const issuers = Array.from({ length: count }, (_, index) => `https://authority-${index}.example.com`);
    const [issuer = '', ...others] = issuers;
    site.configure({
      authority: undefined,
      authorities: Object.fromEntries(
        [issuer, ...others].map((one, index) => [`a${index}`, { issuer: one, audiences: ['registry'] }]),
      ),
      limits: { inFlight },
    });
    const loaded = loadConfiguration(site.folder.at('registry-token.yaml'), {});
    const opened = openAuthorityKeys(loaded, new FileReader(loaded), {
      workers,
      onRefresh: () => {},
      onWarning: () => {},
      fetchKeySet: () => new Promise(() => {}),
    });
    const keys = [...(opened?.values() ?? [])];
    expect(keys).toHaveLength(count);
    for (const each of keys) {
      for (let waiting = 0; waiting < most; waiting += 1) void each.find('ES256', 'unknown', site.clock.now);
      const next = each.find('ES256', 'unknown', site.clock.now).then(
        () => 'found',
        (cause) => String(cause),
      );
      expect(await Promise.race([next, Bun.sleep(1000).then(() => 'waits')])).toInclude('too many requests');
    }
  },
);
