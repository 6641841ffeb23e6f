/**
 * Somebody who can put any file that the vendor ever signed, or a part of one, in the place of the bundle at any time, and
 * restart the service: a licence that was revoked once is revoked for good.
 */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { renameSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import type { Runtime } from '../../src/assemble/runtime.ts';
import { ConfigurationFault } from '../../src/document/mistakes.ts';
import { SITE, signBundle, vendorKeySet } from '../support/bundles.ts';
import { createKey } from '../support/keys.ts';
import { noCertificate } from '../support/service.ts';
import { SERVICE } from '../support/tokens.ts';
import { createInstallation } from './installation.ts';

setDefaultTimeout(300_000);

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());
const vendor = await createKey('ES256');
const stranger = await createKey('ES256');
const file = site.folder.at('bundle.jws');
const LAST = 8;

const licenseOf = (serial: number) => `L${serial}`;
/** The bundle of a serial: it revokes one licence more than the one before. */
const bundles = Array.from({ length: LAST + 1 }, (_, serial) =>
  signBundle(vendor, site.clock.now, {
    payload: {
      serial: Math.max(serial, 1),
      revokedLicenses: Array.from({ length: serial }, (__, index) => licenseOf(index + 1)),
    },
  }),
);
const bundleOf = (serial: number) => bundles[serial] ?? '';

const serials = fc.integer({ min: 1, max: LAST });
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('carry' as const), serial: serials }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut' as const), serial: serials, at: fc.nat() }) },
  /** The header and payload of one, the signature of another. */
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('mix' as const), serial: serials, with: serials }) },
  /** The serial of the highest, by somebody else's key, revoking nothing. */
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forge' as const) }) },
  /** While a reload reads. */
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('swap' as const), serial: serials, after: fc.nat(400) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('break' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('mend' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

function put(content: string, isWhole = true): void {
  if (!isWhole) {
    writeFileSync(file, content);
    return;
  }
  writeFileSync(`${file}.new`, content);
  renameSync(`${file}.new`, file);
}

function configure(isBroken: boolean): void {
  site.configure({
    entitlements: { path: 'bundle.jws', keysPath: 'vendor.json', site: SITE },
    ...(isBroken ? { signing: { keyPath: 'missing.pem' } } : {}),
  });
}

async function statusFor(runtime: Runtime, license: string): Promise<number> {
  const opTok = site.opTok({ claims: { 'stellaops:license': license } });
  const headers = { Authorization: `DPoP ${opTok}`, DPoP: site.proof(opTok) };
  const request = new Request(`http://x/token?service=${SERVICE}`, { headers });
  return (await runtime.handle(request, noCertificate)).status;
}

test('a licence revoked by a higher serial never gets a token again', async () => {
  let restarts = 0;
  let refusals = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 6, maxLength: 14 }), async (steps) => {
      writeFileSync(site.folder.at('vendor.json'), vendorKeySet(vendor));
      // A site of its own.
      writeFileSync(site.folder.at('entitlements.state'), '');
      configure(false);
      put(bundleOf(1));
      let runtime: Runtime | null = await site.open();
      let highest = 1;
      const check = async () => {
        if (runtime === null) return;
        for (let serial = 1; serial <= LAST; serial += 1) {
          const expected = serial <= highest ? [403] : [200, 403];
          expect(expected).toContain(await statusFor(runtime, licenseOf(serial)));
        }
      };
      /** Carried, read, and without a mistake of the bundle: from then on it counts. */
      const reload = async (then: () => void = () => {}) => {
        if (runtime === null) return;
        const reloading = runtime.reload();
        then();
        await reloading;
        const revoked = runtime.service.newerRevocations?.serial ?? runtime.service.entitlements?.serial ?? 0;
        expect(revoked).toBeGreaterThanOrEqual(highest);
        highest = revoked;
        await check();
      };
      for (const one of steps) {
        if (one.kind === 'carry') put(bundleOf(one.serial));
        if (one.kind === 'cut')
          put(bundleOf(one.serial).slice(0, one.at % bundleOf(one.serial).length), false);
        if (one.kind === 'mix') {
          const signature = bundleOf(one.with).split('.')[2];
          put([...bundleOf(one.serial).split('.').slice(0, 2), signature].join('.'));
        }
        if (one.kind === 'forge')
          put(
            signBundle(stranger, site.clock.now, {
              header: { kid: vendor.thumbprint },
              payload: { serial: LAST + 1 },
            }),
          );
        if (one.kind === 'break' || one.kind === 'mend') configure(one.kind === 'break');
        if (one.kind === 'restart') {
          await runtime?.close();
          try {
            runtime = await site.open();
            restarts += 1;
            const { serial = 0 } = runtime.service.entitlements ?? {};
            expect(serial).toBeGreaterThanOrEqual(highest);
            highest = serial;
          } catch (cause) {
            if (!(cause instanceof ConfigurationFault)) throw cause;
            refusals += 1;
            runtime = null;
            // Whoever wants a service again must bring what it had.
            configure(false);
            put(bundleOf(highest));
            runtime = await site.open();
          }
          await check();
          continue;
        }
        await reload(() => {
          if (one.kind === 'swap')
            setTimeout(() => put(bundleOf(one.serial), one.after % 2 === 0), one.after);
        });
      }
      await runtime?.close();
    }),
    { numRuns: 12 },
  );
  expect(restarts).toBeGreaterThan(0);
  expect(refusals).toBeGreaterThan(0);
});
