/** Which decisions are asked for, and what the bytes of their lines must hold. */
import { ClaimTexts } from '../authorize/claim-texts.ts';
import { matchesPattern } from '../authorize/match.ts';
import { type DecisionRecord, repositoryOf, timeOf } from './decision.ts';

export interface Selection {
  /** Epoch milliseconds: from, and before. */
  readonly since: number | null;
  readonly until: number | null;
  readonly outcome: 'issued' | 'denied' | null;
  /** Fields that must have exactly this value. */
  readonly fields: readonly (readonly [field: SelectableField, value: string])[];
  /** One of the caller's licences. */
  readonly license: string | null;
  /** The beginning of a request ID, of 8 characters or more. */
  readonly requestId: string | null;
  /** A pattern as plans have them, without claims, that one of the repositories matches. */
  readonly repository: string | null;
  /** Tokens that end after this time only, in epoch seconds. */
  readonly validAt: number | null;
}

export type SelectableField =
  | 'subject'
  | 'clientId'
  | 'authority'
  | 'plan'
  | 'reason'
  | 'service'
  | 'address'
  | 'jti'
  | 'opTokJti';

export const everything: Selection = {
  since: null,
  until: null,
  outcome: null,
  fields: [],
  license: null,
  requestId: null,
  repository: null,
  validAt: null,
};

export interface Matcher extends Pick<Selection, 'since' | 'until' | 'outcome'> {
  /** The same times as lines have them. */
  readonly sinceText: string | null;
  readonly untilText: string | null;
  /** A line without these bytes is none of those asked for; null where nothing is known of the bytes. */
  readonly needle: Buffer | null;
  /**
   * All that times and outcome do not decide, as texts that a line of our own form has before its `claims`: whatever else
   * has them there, has them with its quotes escaped. Null where that does not say it all.
   */
  readonly texts: readonly string[] | null;
  /** What times and outcome do not decide; null where they decide all. */
  readonly matches: ((record: DecisionRecord) => boolean) | null;
}

/** No registry token is valid for longer (`signing.lifetime`), in seconds: for lines of versions that did not write `exp`. */
export const LONGEST_LIFETIME = 3600;

export function createMatcher(selection: Selection): Matcher {
  const { since, until, outcome, fields, license, requestId, repository, validAt } = selection;
  const tests: ((record: DecisionRecord) => boolean)[] = [];
  for (const [field, value] of fields) tests.push(({ fields }) => fields[field] === value);
  if (license !== null)
    // Several are joined by commas, and one may hold a comma itself.
    tests.push(
      ({ fields }) => typeof fields.license === 'string' && `,${fields.license},`.includes(`,${license},`),
    );
  if (requestId !== null) tests.push(({ fields }) => fields.requestId.startsWith(requestId));
  if (repository !== null) {
    const none = new ClaimTexts({});
    const names = (scope: unknown) => {
      const name = typeof scope === 'string' ? repositoryOf(scope) : null;
      return name !== null && matchesPattern(repository, name, none);
    };
    tests.push(({ fields }) => [fields.asked, fields.granted].flat().some(names));
  }
  if (validAt !== null)
    tests.push((record) => {
      const { exp } = record.fields;
      const end = typeof exp === 'number' ? exp : timeOf(record) / 1000 + LONGEST_LIFETIME;
      return record.outcome === 'issued' && end > validAt;
    });
  return {
    since,
    until,
    sinceText: since === null ? null : new Date(since).toISOString(),
    untilText: until === null ? null : new Date(until).toISOString(),
    outcome,
    needle: needleOf(selection),
    texts: tests.length === fields.length ? textsOf(fields) : null,
    matches: tests.length === 0 ? null : (record) => tests.every((test) => test(record)),
  };
}

/** Those that stand before `claims` in a line (`DecisionFields`). */
const headFields: ReadonlySet<SelectableField> = new Set([
  'subject',
  'authority',
  'clientId',
  'opTokJti',
  'plan',
]);

function textsOf(fields: Selection['fields']): readonly string[] | null {
  const isPossible = fields.every(([field, value]) => headFields.has(field) && isPlain(`"${value}"`));
  return isPossible ? fields.map(([field, value]) => `,"${field}":"${value}",`) : null;
}

/** The bytes that fewest lines have. */
function needleOf({ fields, license, requestId, repository }: Selection): Buffer | null {
  const literal = repository
    ?.split('*')
    .reduce((longest, run) => (run.length > longest.length ? run : longest));
  const byField = new Map(fields);
  const inOrder: readonly (string | null | undefined)[] = [
    requestId,
    quoted(byField.get('jti')),
    quoted(byField.get('opTokJti')),
    license,
    quoted(byField.get('subject')),
    quoted(byField.get('clientId')),
    quoted(byField.get('address')),
    literal,
    quoted(byField.get('reason')),
    quoted(byField.get('plan')),
    quoted(byField.get('authority')),
    quoted(byField.get('service')),
  ];
  const found = inOrder.find((text) => typeof text === 'string' && isPlain(text));
  return typeof found === 'string' ? Buffer.from(found) : null;
}

function quoted(text: string | undefined): string | undefined {
  return text === undefined ? undefined : `"${text}"`;
}

/** Whether JSON has one form for it alone. */
function isPlain(text: string): boolean {
  return text.length > 1 && /^"?[\x20\x21\x23-\x5b\x5d-\x7e]+"?$/.test(text);
}
