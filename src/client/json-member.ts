/** Sets one member in the text of a JSON object, and leaves every other character as it is. */

interface Member {
  readonly name: string;
  readonly start: number;
  readonly valueStart: number;
  readonly valueEnd: number;
}

/**
 * The text with `value` at `path`, the objects on the way being made where they are missing or null. `text` must be
 * valid JSON with an object at its root. Returns null where something else than an object stands in the way.
 */
export function setJsonMember(text: string, path: readonly string[], value: string): string | null {
  let start = skipSpace(text, 0);
  for (const [depth, name] of path.entries()) {
    if (text[start] !== '{') return null;
    const { members, end } = membersAt(text, start);
    // Of a name that stands twice the last counts, for Go as for JavaScript.
    const member = members.findLast((candidate) => candidate.name === name);
    const rest = path.slice(depth + 1);
    if (member === undefined) return insertMember(text, { start, members, end }, name, nest(rest, value));
    const found = text.slice(member.valueStart, member.valueEnd);
    if (rest.length === 0 || found === 'null') {
      const margin = marginAt(text, member.start);
      const rendered = render(nest(rest, value), margin === null ? null : { margin, unit: unitOf(text) });
      return text.slice(0, member.valueStart) + rendered + text.slice(member.valueEnd);
    }
    start = member.valueStart;
  }
  return null;
}

function nest(path: readonly string[], value: string): unknown {
  return path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
}

interface ObjectSpan {
  readonly start: number;
  readonly members: readonly Member[];
  /** Where its closing brace stands. */
  readonly end: number;
}

function insertMember(
  text: string,
  { start, members, end }: ObjectSpan,
  name: string,
  value: unknown,
): string {
  const unit = unitOf(text);
  const last = members.at(-1);
  const key = `${JSON.stringify(name)}: `;
  if (last === undefined) {
    const margin = lineMargin(text, start);
    const own = `${margin}${unit}`;
    const member = `\n${own}${key}${render(value, { margin: own, unit })}\n${margin}`;
    return `${text.slice(0, start + 1)}${member}${text.slice(end)}`;
  }
  const margin = marginAt(text, last.start);
  const member =
    margin === null
      ? `, ${key}${render(value, null)}`
      : `,\n${margin}${key}${render(value, { margin, unit })}`;
  return `${text.slice(0, last.valueEnd)}${member}${text.slice(last.valueEnd)}`;
}

/** The JSON of a value whose first line begins somewhere and whose others begin with the margin; null: on one line. */
function render(value: unknown, layout: { readonly margin: string; readonly unit: string } | null): string {
  if (layout === null) return JSON.stringify(value);
  return JSON.stringify(value, null, layout.unit).replaceAll('\n', `\n${layout.margin}`);
}

/** What stands between the line's start and this place; null where that is more than space. */
function marginAt(text: string, index: number): string | null {
  const before = text.slice(text.lastIndexOf('\n', index - 1) + 1, index);
  return text.lastIndexOf('\n', index - 1) >= 0 && /^[ \t]*$/.test(before) ? before : null;
}

/** The space that the line of this place begins with. */
function lineMargin(text: string, index: number): string {
  return /^[ \t]*/.exec(text.slice(text.lastIndexOf('\n', index - 1) + 1))?.[0] ?? '';
}

/** How the text indents; docker does with a tab. */
function unitOf(text: string): string {
  return /\n([ \t]+)\S/.exec(text)?.[1] ?? '\t';
}

function membersAt(
  text: string,
  start: number,
): { readonly members: readonly Member[]; readonly end: number } {
  const members: Member[] = [];
  let index = skipSpace(text, start + 1);
  while (text[index] !== '}') {
    const nameStart = index;
    index = skipString(text, index);
    const name: string = JSON.parse(text.slice(nameStart, index));
    const valueStart = skipSpace(text, skipSpace(text, index) + 1);
    const valueEnd = skipValue(text, valueStart);
    members.push({ name, start: nameStart, valueStart, valueEnd });
    index = skipSpace(text, valueEnd);
    if (text[index] === ',') index = skipSpace(text, index + 1);
  }
  return { members, end: index };
}

function skipSpace(text: string, start: number): number {
  let index = start;
  while (index < text.length && ' \t\r\n'.includes(text.charAt(index))) index += 1;
  return index;
}

function skipString(text: string, start: number): number {
  let index = start + 1;
  while (index < text.length && text[index] !== '"') index += text[index] === '\\' ? 2 : 1;
  return index + 1;
}

function skipValue(text: string, start: number): number {
  let depth = 0;
  let index = start;
  do {
    const character = text.charAt(index);
    if (character === '"') index = skipString(text, index);
    else {
      if (character === '{' || character === '[') depth += 1;
      if (character === '}' || character === ']') depth -= 1;
      index += 1;
    }
  } while (index < text.length && (depth > 0 || !isEnd(text, start, index)));
  return index;
}

/** Whether a value that began at `start`, with all its brackets closed, is over at `index`. */
function isEnd(text: string, start: number, index: number): boolean {
  return '"{['.includes(text.charAt(start)) || ',]} \t\r\n'.includes(text.charAt(index));
}
