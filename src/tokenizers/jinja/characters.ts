/** White space as Python's str.isspace has it, for a class of a regular expression. */
export const SPACE =
  " \\t\\n\\r\\f\\v\\x1c-\\x1f\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const whole = new RegExp(`[${SPACE}]`);
const spaces = new Set(
  Array.from({ length: 0x3001 }, (_, code) => String.fromCharCode(code)).filter((c) => whole.test(c)),
);

export function isSpace(char: string | undefined): boolean {
  return char !== undefined && spaces.has(char);
}

/** Counted from the end: a pattern such as \s+$ would take quadratic time. */
export function trimEnd(text: string, drops: (char: string) => boolean = isSpace): string {
  let to = text.length;
  while (to > 0) {
    const from = to > 1 && /^[\ud800-\udbff][\udc00-\udfff]$/.test(text.slice(to - 2, to)) ? to - 2 : to - 1;
    if (!drops(text.slice(from, to))) break;
    to = from;
  }
  return text.slice(0, to);
}

export function trimStart(text: string, drops: (char: string) => boolean = isSpace): string {
  let from = 0;
  for (const char of text) {
    if (!drops(char)) break;
    from += char.length;
  }
  return text.slice(from);
}

const astral = /[\ud800-\udbff][\udc00-\udfff]/;

/** Characters of a text, as Python counts them: code points. */
export function len(text: string): number {
  if (!astral.test(text)) return text.length;
  let count = 0;
  for (let at = 0; at < text.length; at += unitsAt(text, at)) count++;
  return count;
}

/** The characters [from, to) of a text; neither is negative. */
export function cut(text: string, from: number, to?: number): string {
  if (!astral.test(text)) return text.slice(from, to);
  const start = unitOf(text, from, 0);
  return text.slice(start, to === undefined ? undefined : unitOf(text, to - from, start));
}

/** The UTF-16 unit that a number of characters after another one ends at. */
function unitOf(text: string, count: number, from: number): number {
  let at = from;
  for (let i = 0; i < count && at < text.length; i++) at += unitsAt(text, at);
  return at;
}

function unitsAt(text: string, at: number): number {
  return (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}
