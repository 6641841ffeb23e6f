/** What a URL of the console asks for. Every value is outside text. */
import { createMatcher, everything, type Matcher, type Selection } from '../audit/selection.ts';
import { findPatternFault } from '../authorize/pattern.ts';

/** Fields of the form that selects decisions, as the URL has them. */
export const filterNames = [
  'outcome',
  'subject',
  'license',
  'plan',
  'reason',
  'repository',
  'address',
] as const;
export type FilterName = (typeof filterNames)[number];
export type Filters = Readonly<Partial<Record<FilterName, string>>>;

export interface TryOut {
  readonly plan: string;
  readonly license: string;
  readonly authority: string;
  /** JSON. */
  readonly claims: string;
  readonly scope: string;
}

export interface Query {
  readonly filters: Filters;
  /** Of the decision that is explained; null for none. */
  readonly id: string | null;
  /** How many of the newest matches are passed over. */
  readonly from: number;
  /** null where the form was not sent. */
  readonly tryOut: TryOut | null;
  /** Whether something in the URL looks like a token: nothing of it is shown then. */
  readonly holdsToken: boolean;
}

const MAX_VALUE = 4000;

/** A part of a JWS. */
const TOKEN = /eyJ[\w-]{8,}/;

export function parseQuery(url: string): Query {
  const at = url.indexOf('?');
  const parameters = new URLSearchParams(at === -1 ? '' : url.slice(at + 1));
  const holdsToken = [...parameters].some(([name, value]) => TOKEN.test(name) || TOKEN.test(value));
  const given = (name: string) => (holdsToken ? '' : (parameters.get(name) ?? '').trim().slice(0, MAX_VALUE));
  const filters = filterNames.map((name) => [name, given(name)] as const).filter(([, value]) => value !== '');
  const from = given('skip');
  return {
    filters: Object.fromEntries(filters),
    id: given('id') || null,
    from: /^\d{1,4}$/.test(from) ? Number(from) : 0,
    tryOut:
      parameters.has('scope') && !holdsToken
        ? {
            plan: given('try-plan'),
            license: given('try-license'),
            authority: given('try-authority'),
            claims: given('claims'),
            scope: given('scope'),
          }
        : null,
    holdsToken,
  };
}

/** What the filters select; a fault where one cannot be used. */
export function matcherOf({
  outcome,
  subject,
  license,
  plan,
  reason,
  repository,
  address,
}: Filters):
  | { readonly matcher: Matcher; readonly fault: null }
  | { readonly matcher: null; readonly fault: string } {
  const patternFault =
    repository === undefined
      ? null
      : repository.includes('{')
        ? 'takes no claims'
        : findPatternFault(repository);
  if (patternFault !== null)
    return { matcher: null, fault: `The pattern of the repository ${patternFault}.` };
  const fields: Selection['fields'] = Object.entries({ subject, plan, reason, address }).flatMap(
    ([name, value]) => (value === undefined ? [] : [[name as 'subject', value] as const]),
  );
  const matcher = createMatcher({
    ...everything,
    outcome: outcome === 'issued' || outcome === 'denied' ? outcome : null,
    license: license ?? null,
    repository: repository ?? null,
    fields,
  });
  return { matcher, fault: null };
}

/** The same page with these filters. */
export function linkOf(filters: Filters, more: Readonly<Record<string, string>> = {}, anchor = ''): string {
  const parameters = new URLSearchParams({ ...filters, ...more }).toString();
  return `/console${parameters === '' ? '' : `?${parameters}`}${anchor}`;
}
