/** Texts of configurations with plans: as people and programs write them, and with all that YAML has thrown in. */
import fc from 'fast-check';

const names = fc.constantFrom('free', 'pro', 'team-a', 'a.b', '"quoted"', "'single'", 'enterprise', 'x_1');
const patterns = fc.constantFrom(
  'a/b',
  'stella-ops/**',
  'team-*/app',
  'alpine-linux',
  '3scale/app',
  '"customers/{claim:tid}/*"',
  "'{claim:https://example.com/tid}/x'",
  '"**"',
  "'a b'",
  'a//b',
  '"x**"',
  'host:5000/a',
);
const actionsInFlow = fc.constantFrom('[pull]', '[pull, push]', '[ \'pull\' , "*" ]', '[PULL]', '["a-b"]');

const rule = fc.record({
  pattern: patterns,
  actions: fc.option(actionsInFlow),
  style: fc.constantFrom('flow', 'lines', 'actions first', 'block'),
  comment: fc.constantFrom('', '', '', ' # why', '   #'),
  before: fc.constantFrom('', '', '', '\n', '# a comment\n', '        # a comment\n'),
});

const plan = fc.record({
  rules: fc.array(rule, { minLength: 1, maxLength: 4 }),
  head: fc.constantFrom('', '', '', 'catalog: true', 'lifetime: 15m', 'lifetime: "00:05:00" # five'),
  headAfter: fc.boolean(),
  after: fc.constantFrom('', '', '\n', '# between\n'),
});

const layout = fc.record({
  indent: fc.constantFrom(1, 2, 4),
  dash: fc.constantFrom(0, 2, 3),
  lineEnd: fc.constantFrom('\n', '\n', '\r\n'),
  start: fc.constantFrom('', '# first\n\n', '---\n', '\ufeff# first\n', 'registry: { realm: "http://ü" }\n'),
  end: fc.constantFrom('', 'defaultPlan: free\n', '\n# last', '...\n'),
});

type Rule = typeof rule extends fc.Arbitrary<infer Value> ? Value : never;
type Plan = typeof plan extends fc.Arbitrary<infer Value> ? Value : never;
type Layout = typeof layout extends fc.Arbitrary<infer Value> ? Value : never;

function writeRule({ pattern, actions, style, comment, before }: Rule, indent: number): string {
  const [dash, more] = [' '.repeat(indent), ' '.repeat(indent + 2)];
  const end = `${comment}\n`;
  if (actions === null) return `${before}${dash}- pattern: ${pattern}${end}`;
  if (style === 'actions first')
    return `${before}${dash}- actions: ${actions}\n${more}pattern: ${pattern}${end}`;
  if (style === 'lines') return `${before}${dash}- pattern: ${pattern}${end}${more}actions: ${actions}\n`;
  if (style === 'flow' && !/^[^"']*:/.test(pattern))
    return `${before}${dash}- { pattern: ${pattern}, actions: ${actions} }${end}`;
  const items = actions.match(/['"]?[\w*-]+['"]?/g) ?? [];
  return `${before}${dash}- pattern: ${pattern}${end}${more}actions:\n${items.map((item) => `${more}- ${item}\n`).join('')}`;
}

function writePlans(plans: Readonly<Record<string, Plan>>, { indent, dash, lineEnd, start, end }: Layout) {
  const [one, two] = [' '.repeat(indent), ' '.repeat(2 * indent)];
  const written = Object.entries(plans).map(([name, { rules, head, headAfter, after }]) => {
    const line = head === '' ? '' : `${two}${head}\n`;
    const list = `${two}repositories:\n${rules.map((item) => writeRule(item, 2 * indent + dash)).join('')}`;
    return `${one}${name}:\n${headAfter ? list + line : line + list}${after}`;
  });
  return `${start}plans:\n${written.join('')}${end}`.replaceAll('\n', lineEnd);
}

const manyPlans = fc.dictionary(names, plan, { minKeys: 1, maxKeys: 5 });

/** With how many plans each has. */
export const plainTexts = fc.tuple(manyPlans, layout).map(([plans, how]) => ({
  text: writePlans(plans, how),
  plans: Object.keys(plans).length,
}));

/** What can be thrown in anywhere, and what can stand in the place of a line. */
const fragments = fc.oneof(
  fc.constantFrom(
    ...[
      '\n',
      '\n  ',
      '\n    ',
      '\n      ',
      ' ',
      '  ',
      '\t',
      ': ',
      ':',
      '- ',
      '? ',
      ',',
      '[',
      ']',
      '{',
      '}',
      '"',
    ],
    ...[
      "'",
      '|\n',
      '>-\n',
      '#',
      ' #',
      '&a ',
      '*a',
      '!!str ',
      '!x ',
      '%YAML 1.1\n---\n',
      '---\n',
      '...\n',
      '\\',
    ],
    ...[
      '\0',
      '\r',
      '\u2028',
      '\ufeff',
      'é',
      'null',
      'no',
      'on',
      '~',
      '1',
      '0o17',
      '1:20',
      '<<: ',
      '.inf',
      '[]',
    ],
    ...[
      'pattern: ',
      'actions: ',
      'repositories:',
      'plans:\n',
      'catalog: ',
      'pattern: x\n',
      'free:',
      'pro:\n',
    ],
  ),
  fc.string({ maxLength: 3 }),
);
const lines = fc.constantFrom(
  ...['\t', '  \t', '      \t', '\t# c', '    \t# c', '\r', '  \r', '    repositories:\t', '... # c', '...'],
  ...[
    '    repositories: &a',
    '    repositories: []',
    '    repositories:',
    '  free:',
    '  pro: {}',
    '  pro: *a',
  ],
  ...[
    '  "free":',
    '  ? free',
    '  free: |',
    '    lifetime: |',
    '    lifetime: "15m',
    '    lifetime: [',
    '    lifetime:',
  ],
  ...[
    '      - pattern: true',
    '      - pattern: no',
    '      - pattern: 1:20',
    '      - pattern: null',
    '      - x',
  ],
  ...[
    '      - pattern: a/b',
    '      - pattern: a/b',
    '        pattern: c/d',
    '      - pattern: a/b:',
    '    - pattern: a/b',
  ],
  ...[
    '      -   pattern: a/b',
    '      - pattern: a/b c',
    '      - pattern: a/b#c',
    "      - pattern: 'a''b'",
  ],
  ...[
    '      - pattern: "a\\x62"',
    '      - { pattern: a/b, }',
    '      - { pattern: a/b }#',
    '      - {pattern: a/b}',
  ],
  ...['      - pattern: abc', '      - pattern: false', '      - pattern: FALSE', '      - pattern: aliens'],
  ...[
    '        actions: [no]',
    '        actions: [pull, null]',
    '        actions: []',
    '        actions: pull',
  ],
  ...[
    '        actions:',
    '        - push',
    '          - push # no',
    '          - on',
    '        actions: [a,b ]',
  ],
  ...[
    'plans:',
    'plans: {}',
    '"plans":',
    'x: |',
    'x: "',
    'x: &a',
    'y: *a',
    '  # c',
    '#',
    '',
    '---',
    '%YAML 1.1',
  ],
  ...[
    '      # "',
    '    # ]',
    '     end"',
    '  <<: *a',
    '  x: &a',
    '      continued',
    '        continued',
    '   odd: 1',
  ],
);
type Change = readonly [at: number, length: number, text: string];
const change: fc.Arbitrary<(text: string) => string> = fc.oneof(
  fc.tuple(fc.nat(10_000), fc.nat(5), fragments).map(
    ([at, length, text]: Change) =>
      (whole: string) =>
        splice([...whole], at, length, [text]).join(''),
  ),
  fc.tuple(fc.nat(10_000), fc.nat(2), lines).map(
    ([at, length, text]: Change) =>
      (whole: string) =>
        splice(whole.split('\n'), at, length, [text]).join('\n'),
  ),
  fc.tuple(fc.nat(10_000), fc.nat(3), fc.nat(10_000)).map(([at, length, to]) => (whole: string) => {
    const all = whole.split('\n');
    return splice(all, to, 0, all.slice(at % all.length, (at % all.length) + length)).join('\n');
  }),
);

function splice<Item>(items: readonly Item[], at: number, length: number, others: readonly Item[]): Item[] {
  return items.toSpliced(at % (items.length + 1), length, ...others);
}

/** Plain texts with one to three changes. */
export const damagedTexts = fc
  .tuple(plainTexts, fc.array(change, { minLength: 1, maxLength: 3 }))
  .map(([{ text }, changes]) => changes.reduce((changed, apply) => apply(changed), text));
