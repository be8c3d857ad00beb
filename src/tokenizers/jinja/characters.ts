/** White space as Python's str.isspace has it, for a class of a regular expression. */
export const SPACE =
  " \\t\\n\\r\\f\\v\\x1c-\\x1f\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const one = new RegExp(`^[${SPACE}]$`);

export function isSpace(char: string | undefined): boolean {
  return char !== undefined && one.test(char);
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
export function chars(text: string): string | string[] {
  return astral.test(text) ? [...text] : text;
}

export function len(text: string): number {
  return chars(text).length;
}

/** The characters [from, to) of a text. */
export function cut(text: string, from: number, to?: number): string {
  const all = chars(text);
  return typeof all === "string" ? all.slice(from, to) : all.slice(from, to).join("");
}
