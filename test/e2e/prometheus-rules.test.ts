/** The alerts of etc/prometheus, as promtool sees them. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { reasons } from '../../src/refusal.ts';
import { describeWith } from '../support/debian-parts.ts';
import { parseRules, prometheusFolder, readRulesText } from '../support/operators-files.ts';
import { runOrFail } from '../support/processes.ts';

setDefaultTimeout(90_000);

const testFiles = ['registry-token.test.yml', 'registry-token.day.test.yml'];
const rules = parseRules(readRulesText());
const alerts = rules.flatMap((rule) => (rule.alert === undefined ? [] : [{ ...rule, name: rule.alert }]));

interface Scenario {
  readonly promql_expr_test: readonly {
    readonly exp_samples: readonly { readonly labels: string }[];
  }[];
}

describeWith(['promtool'], 'promtool', () => {
  test('takes the rules', async () => {
    expect(
      await runOrFail(['promtool', 'check', 'rules', `${prometheusFolder}registry-token.rules.yml`]),
    ).toContain(`SUCCESS: ${rules.length} rules found`);
  });

  test('sees each alert fire when it must, and none that must not', async () => {
    await runOrFail(['promtool', 'test', 'rules', ...testFiles], {
      cwd: prometheusFolder,
      timeoutMs: 80_000,
    });
  });
});

describe('the alerts', () => {
  test('each has a moment in the tests at which it fires, and one at which it does not', () => {
    const moments = testFiles.flatMap((file) => {
      const { tests } = parse(readFileSync(prometheusFolder + file, 'utf8')) as { tests: Scenario[] };
      return tests.flatMap((scenario) =>
        scenario.promql_expr_test.map(({ exp_samples }) => exp_samples.map(({ labels }) => labels).join()),
      );
    });
    for (const { name } of alerts) {
      const firing = moments.filter((labels) => labels.includes(`alertname="${name}"`));
      expect({ name, fires: firing.length > 0 }).toEqual({ name, fires: true });
      expect(firing.length).toBeLessThan(moments.length);
    }
  });

  test('each says how bad it is, what it means, where to look and what to run first', () => {
    expect(alerts.length).toBeGreaterThan(10);
    for (const { name, labels, annotations } of alerts) {
      expect([name, labels?.severity]).toEqual([name, expect.stringMatching(/^(?:warning|critical)$/)]);
      expect(annotations?.summary).toMatch(/\S/);
      expect(annotations?.description).toMatch(/\bLook (?:at|in) /);
      expect(annotations?.runbook).toMatch(/registry-token|redis-cli|promtool/);
    }
  });

  test('name reasons of the closed list alone', () => {
    const patterns = rules.flatMap(({ expr }) =>
      [...expr.matchAll(/reason[=!]~?"([^"]+)"/g)].flatMap(([, pattern = '']) => pattern.split('|')),
    );
    expect(patterns.length).toBeGreaterThan(10);
    for (const pattern of patterns)
      expect([pattern, reasons.some((reason) => new RegExp(`^${pattern}$`).test(reason))]).toEqual([
        pattern,
        true,
      ]);
  });

  test('count no reason under two causes, and leave out only what an alert of its own or nobody needs', () => {
    const causesOf = (reason: string) =>
      rules
        .filter(({ record, expr }) => record?.endsWith('rejected:increase5m') && selects(expr, reason))
        .map(({ labels }) => labels?.cause);
    expect(reasons.filter((reason) => causesOf(reason).length > 1)).toEqual([]);
    expect(reasons.filter((reason) => causesOf(reason).length === 0).sort()).toEqual([
      'authority-unavailable',
      'credentials-ambiguous',
      'credentials-missing',
      'entitlements-expired',
      'internal',
      'malformed-request',
      'malformed-scope',
      'overloaded',
      'proof-nonce',
      'rate-limited',
      'replay-full',
      'replay-unavailable',
    ]);
    expect(['plan-denied', 'license-revoked', 'proof-replayed', 'proof-url'].flatMap(causesOf)).toEqual([
      'plan',
      'license',
      'attack',
      'setup',
    ]);
  });
});

/** Whether the matchers of an expression with one selector take this reason. */
function selects(expression: string, reason: string): boolean {
  return [...expression.matchAll(/reason([=!])~?"([^"]+)"/g)].every(
    ([, sign, pattern]) => new RegExp(`^(?:${pattern})$`).test(reason) === (sign === '='),
  );
}
