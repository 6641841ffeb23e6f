/** What a bundle says: read in slices, checked by the schema of the configuration, with JSON pointers as places. */
import { z } from 'zod';
import { type Plans, planName, planSchema } from '../config/schema.ts';
import { explainIssue } from '../document/issues.ts';
import { readJsonParts } from '../document/json-document.ts';
import { ConfigurationFault, type Mistake } from '../document/mistakes.ts';
import type { KeyPath } from '../document/text.ts';
import type { PauseIfDue } from '../platform/pauses.ts';

/** Times in epoch seconds. */
export interface Payload {
  readonly issuer: string;
  /** The sites that it is for; `*` is every site. */
  readonly sites: readonly string[];
  /** Grows from bundle to bundle. */
  readonly serial: number;
  readonly issuedAt: number;
  readonly notBefore: number;
  readonly expiresAt: number;
  readonly note: string | null;
  /** In the order of the text. */
  readonly plans: ReadonlyMap<string, Plans[string]>;
  /** null where it names none: that of the site stays. */
  readonly defaultPlan: string | null;
  readonly revokedLicenses: ReadonlySet<string>;
}

/** RFC 7519 dates; 9999-12-31 is the last that people can read. */
const date = z.int().min(0).max(253_402_300_799);
const text = z.string().min(1, { error: 'must not be empty' });
export const noteText = z.string().max(2000, { error: 'must be at most 2000 characters' });

/** The members that may be long: read one by one. */
const divided: ReadonlySet<string> = new Set(['plans', 'revokedLicenses']);

/** The order of the members is that in which `sign` writes them. */
export const payloadSchema = z.strictObject({
  iss: text,
  aud: z.union([text, z.array(text).min(1)], { error: 'must be the name of a site, a list of them, or *' }),
  serial: z.int().min(1),
  iat: date,
  nbf: date.optional(),
  exp: date,
  note: noteText.optional(),
  defaultPlan: text.optional(),
  plans: z.record(planName, planSchema),
  revokedLicenses: z.array(text).default([]),
});

/** A program that writes one faulty plan writes many: some are enough. */
const MOST_MISTAKES = 50;

/** Throws ConfigurationFault with every mistake. `json` is the payload's text, `file` the bundle that it is of. */
export async function readPayload(json: string, file: string, pause: PauseIfDue): Promise<Payload> {
  const mistakes: Mistake[] = [];
  const report = (path: KeyPath, message: string) => mistakes.push(mistakeAt(file, path, message));
  const explain = (issues: readonly z.core.$ZodIssue[], around: KeyPath) => {
    const context = {
      schema: payloadSchema,
      holdsSecret: () => false,
      mistakeAt: (path: KeyPath, message: string) => mistakeAt(file, path, message),
    };
    for (const issue of issues)
      mistakes.push(...explainIssue({ ...issue, path: [...around, ...issue.path] }, context));
  };
  const members = new Map<string, unknown>();
  const plans = new Map<string, Plans[string]>();
  const revokedLicenses = new Set<string>();
  const parts = readJsonParts(json, `${file} (payload)`, (name) => divided.has(name), report);
  for (const { path, value } of parts) {
    const due = pause();
    if (due !== null) await due;
    const [member = '', part] = path;
    if (part === undefined) members.set(String(member), value);
    else if (member === 'revokedLicenses') {
      // Looked at before the schema is asked: there are many.
      if (typeof value === 'string' && value !== '') revokedLicenses.add(value);
      else explain(text.safeParse(value, { reportInput: true }).error?.issues ?? [], path);
    } else if (typeof part === 'string') {
      const name = planName.safeParse(part);
      if (!name.success) report(path, `is not a valid name: ${name.error.issues[0]?.message ?? ''}`);
      const plan = planSchema.safeParse(value, { reportInput: true });
      if (plan.success) plans.set(part, plan.data);
      else explain(plan.error.issues, path);
    }
    if (mistakes.length > MOST_MISTAKES) break;
  }
  const isWhole = mistakes.length <= MOST_MISTAKES;
  const result = payloadSchema.safeParse(Object.fromEntries(members), { reportInput: true });
  if (isWhole && !result.success) explain(result.error.issues, []);
  if (isWhole && result.success) {
    const { iat, nbf = iat, exp, defaultPlan } = result.data;
    if (exp <= nbf) report(['exp'], `must be later than nbf (${nbf}), not ${exp}`);
    if (defaultPlan !== undefined && !plans.has(defaultPlan) && mistakes.length === 0)
      report(['defaultPlan'], `must be the name of a plan of the bundle, not ${JSON.stringify(defaultPlan)}`);
  }
  if (mistakes.length > 0 || !result.success) throw new ConfigurationFault(withBound(mistakes, file));
  const { iss, aud, serial, iat, nbf = iat, exp, note = null, defaultPlan = null } = result.data;
  return {
    issuer: iss,
    sites: typeof aud === 'string' ? [aud] : aud,
    serial,
    issuedAt: iat,
    notBefore: nbf,
    expiresAt: exp,
    note,
    plans,
    defaultPlan,
    revokedLicenses,
  };
}

function withBound(mistakes: readonly Mistake[], file: string): readonly Mistake[] {
  if (mistakes.length <= MOST_MISTAKES) return mistakes;
  return [...mistakes.slice(0, MOST_MISTAKES), mistakeAt(file, [], 'there are more mistakes')];
}

function mistakeAt(file: string, path: KeyPath, message: string): Mistake {
  return { source: formatPointer(file, path), line: null, column: null, key: '', message };
}

/** A place in a bundle: the file, and a JSON pointer (RFC 6901) into its payload. */
export function formatPointer(file: string, path: KeyPath): string {
  const parts = path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`);
  return `${file}#${parts.join('')}`;
}
