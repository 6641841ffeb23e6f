/** A payload that is read part by part is read as one that is parsed and checked whole. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import fc from 'fast-check';
import { ConfigurationFault } from '../../src/document/mistakes.ts';
import { type Payload, payloadSchema, readPayload } from '../../src/entitlements/payload.ts';
import { createPauses, neverPause } from '../../src/platform/pauses.ts';

setDefaultTimeout(120_000);

/** Mostly what belongs there; sometimes one of these, or anything. */
const mostly = <Value>(usual: fc.Arbitrary<Value>, ...others: readonly unknown[]) =>
  fc.oneof(
    { weight: 60, arbitrary: usual as fc.Arbitrary<unknown> },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 1 }) },
    ...(others.length === 0 ? [] : [{ weight: 1, arbitrary: fc.constantFrom(...others) }]),
  );

const rule = fc.record(
  {
    pattern: mostly(fc.constantFrom('a/*', '**', '{claim:tid}/b'), 'a//b', ''),
    actions: mostly(fc.uniqueArray(fc.constantFrom('pull', 'push', '*'), { minLength: 1 }), [], ['Pull']),
  },
  { requiredKeys: ['pattern'] },
);
const plan = fc.record(
  {
    catalog: mostly(fc.boolean()),
    lifetime: mostly(fc.constantFrom(60, '10m'), 'soon', 0),
    repositories: mostly(fc.array(mostly(rule), { maxLength: 3 })),
  },
  { requiredKeys: [] },
);
const names = fc.oneof(
  { weight: 40, arbitrary: fc.constantFrom('basic', 'pro', '7', '10', 'x/~y') },
  { weight: 1, arbitrary: fc.constantFrom('a b', 'ü', '') },
);
const payload = fc.record(
  {
    iss: mostly(fc.constantFrom('vendor', 'ü'), ''),
    aud: mostly(fc.constantFrom('plant-7', '*', ['a', '*']), [], ''),
    serial: mostly(fc.constantFrom(1, 7, 2 ** 53 - 1), 2 ** 53, 0, 1.5, '7'),
    iat: mostly(fc.constantFrom(100, 0)),
    nbf: mostly(fc.constantFrom(100, 150), 300),
    exp: mostly(fc.constantFrom(200, 1000)),
    note: mostly(fc.constantFrom('n', '\u0000"\\', '')),
    plans: mostly(fc.dictionary(names, mostly(plan), { maxKeys: 4 })),
    revokedLicenses: mostly(fc.array(mostly(fc.constantFrom('L1', 'L2', 'ü"\\'), ''), { maxLength: 4 })),
    more: fc.oneof(
      { weight: 20, arbitrary: fc.constant(undefined) },
      { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
    ),
  },
  { requiredKeys: ['iss', 'aud', 'serial', 'iat', 'exp', 'plans'] },
);
/** As programs write it, and as people do. */
const indent = fc.constantFrom(undefined, 2, '\t');

async function readByParts(json: string, pause = neverPause): Promise<Payload | null> {
  try {
    return await readPayload(json, 'bundle.jws', pause);
  } catch (cause) {
    if (cause instanceof ConfigurationFault) return null;
    throw cause;
  }
}

test('whatever is in it', async () => {
  let good = 0;
  let bad = 0;
  await fc.assert(
    fc.asyncProperty(payload, indent, async (value, space) => {
      const json = JSON.stringify(value, null, space);
      const whole = payloadSchema.safeParse(JSON.parse(json));
      const read = await readByParts(json);
      const isRight = whole.success && whole.data.exp > (whole.data.nbf ?? whole.data.iat);
      expect(read !== null).toBe(isRight);
      if (read === null || !whole.success) {
        bad += 1;
        return;
      }
      good += 1;
      const { iss, aud, serial, iat, nbf = iat, exp, note = null, plans, revokedLicenses } = whole.data;
      expect(read).toMatchObject({
        issuer: iss,
        serial,
        issuedAt: iat,
        notBefore: nbf,
        expiresAt: exp,
        note,
      });
      expect(read.sites).toEqual([aud].flat());
      expect(Object.fromEntries(read.plans)).toEqual(plans);
      expect([...read.revokedLicenses]).toEqual([...new Set(revokedLicenses)]);
    }),
    { numRuns: 3000 },
  );
  expect(good).toBeGreaterThan(300);
  expect(bad).toBeGreaterThan(300);
});

test('cut anywhere it is refused, and a pause after each part changes nothing', async () => {
  await fc.assert(
    fc.asyncProperty(payload, indent, fc.nat(), async (value, space, at) => {
      const json = JSON.stringify(value, null, space);
      expect(await readByParts(json.slice(0, at % json.length))).toBeNull();
      expect(await readByParts(json, createPauses(0))).toEqual(await readByParts(json));
    }),
    { numRuns: 500 },
  );
});
