/** A configuration of 2,000 rules: every mistake has its place there too, and the environment its say. */
import { describe, expect, test } from 'bun:test';
import { judge, loadText } from './configuration-text.ts';

const PLANS = 50;
const RULES = 40;

const head = `authority: { issuer: "https://authority.example.com", audiences: [registry] }
signing: { issuer: registry-token.example.com, keyPath: signing.pem }
registry: { realm: "https://registry.example.com/token" }
plans:
`;

/** Line by line: a plan's name, what comes before its rules, `repositories`, its rules. */
function planLines(number: number, before: readonly string[] = []): string[] {
  const rules = Array.from(
    { length: RULES },
    (_, rule) => `      - { pattern: "team-${number}/app-${rule}/**", actions: [pull, push] }`,
  );
  return [`  plan-${number}:`, ...before, '    repositories:', ...rules];
}

function textOf(change: (lines: string[], number: number) => string[], end = ''): string {
  const lines = Array.from({ length: PLANS }, (_, number) => change(planLines(number), number)).flat();
  return `${head}${lines.join('\n')}\n${end}`;
}

const unchanged = (lines: string[]) => lines;
const linesOfPlan = RULES + 2;
/** Of the first line of a plan, from 1, where nothing was added to those before it. */
const lineOfPlan = (number: number) => 5 + number * linesOfPlan;

describe('a long configuration', () => {
  test('holds the rules of each plan', () => {
    const text = textOf(unchanged);
    const { configuration, placeOf } = loadText(text);
    expect(configuration.plans.size).toBe(PLANS);
    expect([...configuration.plans.values()].flatMap(({ repositories }) => repositories)).toHaveLength(
      PLANS * RULES,
    );
    const rules = configuration.plans.get('plan-32')?.repositories;
    expect(rules).toHaveLength(RULES);
    expect(rules?.[7]).toEqual({ pattern: 'team-32/app-7/**', actions: ['pull', 'push'] });
    expect(placeOf(['plans', 'plan-32'])).toEndWith(`test.yaml:${lineOfPlan(32)}:3`);
    expect(placeOf(['plans', 'plan-32', 'repositories', 7, 'pattern'])).toEndWith(
      `test.yaml:${lineOfPlan(32) + 9}:11`,
    );
  });

  test.each([1, 2, 9, RULES + 2])('may have a blank line with a tab anywhere: as line %i of a plan', (at) => {
    const { configuration } = loadText(
      textOf((lines, number) =>
        number === 23 ? [...lines, '    catalog: true'].toSpliced(at, 0, '\t') : lines,
      ),
    );
    expect([...configuration.plans.values()].flatMap(({ repositories }) => repositories)).toHaveLength(
      PLANS * RULES,
    );
    const withCatalog = [...configuration.plans].filter(([, { catalog }]) => catalog);
    expect(withCatalog.map(([name]) => name)).toEqual(['plan-23']);
  });

  test('is overridden by the environment, in one rule and nowhere else', () => {
    const env = { 'REGISTRY_TOKEN_PLANS__Plan-7__REPOSITORIES__3__PATTERN': 'other/*' };
    const before = loadText(textOf((lines) => lines)).configuration;
    const { configuration } = loadText(textOf(unchanged), env);
    for (let number = 0; number < PLANS; number += 1) {
      const expected = before.plans.get(`plan-${number}`)?.repositories;
      if (number === 7 && expected !== undefined)
        expected[3] = { pattern: 'other/*', actions: ['pull', 'push'] };
      expect(configuration.plans.get(`plan-${number}`)?.repositories).toEqual(expected);
    }
  });

  test('is replaced in its plans by the environment', () => {
    const { configuration } = loadText(`${head}${planLines(1).join('\n')}\n`, {
      REGISTRY_TOKEN_PLANS: '{one: {}}',
    });
    expect([...configuration.plans]).toEqual([['one', { catalog: false, repositories: [] }]]);
  });
});

describe('a mistake in a long configuration has its place', () => {
  test('in a pattern and in an action', () => {
    const { message } = judge(
      textOf((lines, number) => {
        if (number === 30) return lines.with(10, '      - { pattern: "a//b", actions: [pull] }');
        return number === 40 ? lines.with(2, '      - { pattern: "a/b", actions: [pull, PUSH] }') : lines;
      }),
    );
    expect(message.split('\n')).toEqual([
      `test.yaml:${lineOfPlan(30) + 10}:11: plans.plan-30.repositories[8].pattern: has an empty path segment, not "a//b"`,
      `test.yaml:${lineOfPlan(40) + 2}:43: plans.plan-40.repositories[0].actions[1]: must be lower-case letters, or *, not "PUSH"`,
    ]);
  });

  test('in each of the plans that are alike in it', () => {
    const { mistakes } = judge(
      textOf((lines, number) => (number % 2 === 0 ? lines : lines.toSpliced(1, 0, '    lifetime: 2h'))),
    );
    expect(mistakes).toHaveLength(PLANS / 2);
    expect(mistakes[1]).toMatchObject({
      line: lineOfPlan(3) + 1 + 1,
      column: 5,
      key: 'plans.plan-3.lifetime',
      message: expect.stringMatching(/^must be a duration .* not "2h"$/),
    });
  });

  test.each<[string, (lines: string[], number: number) => string[], string, string]>([
    [
      'a key that is not known',
      (lines, number) => (number === 20 ? lines.toSpliced(1, 0, '    catalogue: true') : lines),
      '',
      `test.yaml:${lineOfPlan(20) + 1}:5: plans.plan-20.catalogue: unknown key; did you mean \`catalog\`?`,
    ],
    [
      'a key of a rule that is not known',
      (lines, number) => (number === 20 ? lines.with(5, '      - { patern: a/b }') : lines),
      '',
      `test.yaml:${lineOfPlan(20) + 5}:9: plans.plan-20.repositories[3].pattern: is missing; must be text\n` +
        `test.yaml:${lineOfPlan(20) + 5}:11: plans.plan-20.repositories[3].patern: unknown key; did you mean \`pattern\`?`,
    ],
    [
      'a plan that is there twice',
      (lines, number) => (number === 30 ? lines.with(0, '  plan-3:') : lines),
      '',
      `test.yaml:${lineOfPlan(30)}:3: plan-3: is set twice in the same mapping`,
    ],
    [
      'an open quote after the plans',
      unchanged,
      'defaultPlan: "plan-1\n',
      `test.yaml:${lineOfPlan(PLANS) + 1}:1: is not valid YAML: a quote is not closed`,
    ],
    [
      'an unknown escape in a plan',
      (lines, number) => (number === 40 ? lines.toSpliced(1, 0, '    catalog: "a\\q"') : lines),
      '',
      `test.yaml:${lineOfPlan(40) + 1}:16: is not valid YAML: unknown escape after \\ in double quotes; use single quotes to take \\ literally`,
    ],
    [
      'a default plan that is not there',
      unchanged,
      'defaultPlan: plan-x\n',
      `test.yaml:${lineOfPlan(PLANS)}:1: defaultPlan: must be the name of a plan (plan-0, plan-1, plan-2, plan-3, plan-4, plan-5, plan-6, plan-7, plan-8, plan-9), not "plan-x"`,
    ],
  ])('that is %s', (_, change, end, message) => {
    expect(judge(textOf(change, end)).message).toBe(message);
  });
});
