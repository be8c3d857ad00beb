import type { Budget } from "./budget.js";
import type { Native, Natives, Run } from "./calls.js";
import { iterate } from "./calls.js";
import { cut, isSpace, len, trimEnd, trimStart } from "./characters.js";
import { raise } from "./fault.js";
import { asIndex } from "./values/conversions.js";
import { isTrue, Tuple, typeName, Undefined, type Value } from "./values/values.js";

/** Python's methods of str. Each gets the string first. */

/** The string itself, or an argument that must be one. */
export function asText(value: Value | undefined): string {
  if (typeof value === "string") return value;
  if (value instanceof Undefined) value.fail();
  return raise("TypeError", `expected a string, got '${typeName(value ?? null)}'`);
}

/** What strip() takes off: white space, or any of some characters. */
export function dropsFor(characters: Value | undefined): (char: string) => boolean {
  if (characters === undefined || characters === null) return isSpace;
  const set = new Set(asText(characters));
  return (char) => set.has(char);
}

function splitOnSpaces(text: string, most: number): string[] {
  const parts: string[] = [];
  let rest = trimStart(text);
  while (rest !== "" && parts.length !== most) {
    let size = 0;
    while (size < rest.length && !isSpace(rest[size])) size++;
    parts.push(rest.slice(0, size));
    rest = trimStart(rest.slice(size));
  }
  return rest === "" ? parts : [...parts, rest];
}

function splitFromEndOnSpaces(text: string, most: number): string[] {
  const parts: string[] = [];
  let rest = trimEnd(text);
  while (rest !== "" && parts.length !== most) {
    let from = rest.length;
    while (from > 0 && !isSpace(rest[from - 1])) from--;
    parts.unshift(rest.slice(from));
    rest = trimEnd(rest.slice(0, from));
  }
  return rest === "" ? parts : [rest, ...parts];
}

function split(text: string, by: Value | undefined, most: number): string[] {
  if (by === undefined || by === null) return splitOnSpaces(text, most);
  const separator = asText(by);
  if (separator === "") raise("ValueError", "empty separator");
  const parts = text.split(separator);
  if (most < 0 || parts.length <= most + 1) return parts;
  return [...parts.slice(0, most), parts.slice(most).join(separator)];
}

function splitFromEnd(text: string, by: Value | undefined, most: number): string[] {
  if (by === undefined || by === null)
    return most < 0 ? splitOnSpaces(text, -1) : splitFromEndOnSpaces(text, most);
  const parts = split(text, by, -1);
  if (most < 0 || parts.length <= most + 1) return parts;
  const kept = parts.length - most;
  return [parts.slice(0, kept).join(asText(by)), ...parts.slice(kept)];
}

const LINE_END = String.raw`\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]`;

/** Line ends as str.splitlines knows them. */
export function splitLines(text: string, keep = false): string[] {
  const lines: string[] = [];
  const end = new RegExp(LINE_END, "g");
  let from = 0;
  for (const { 0: found, index } of text.matchAll(end)) {
    lines.push(text.slice(from, index + (keep ? found.length : 0)));
    from = index + found.length;
  }
  if (from < text.length) lines.push(text.slice(from));
  return lines;
}

/** str.replace, its size paid for before it is made. */
export function replace(text: string, old: string, by: string, most: number, budget: Budget): string {
  budget.spendText(text.length);
  const parts = old === "" ? ["", ...text, ""] : text.split(old);
  const count = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  budget.spend(parts.length / 4);
  budget.spendText(count * by.length);
  return (
    parts
      .slice(0, count)
      .map((part) => part + by)
      .join("") + parts.slice(count).join(old)
  );
}

/** A part of a text between two positions, for methods that take them. */
function within(text: string, start: Value | undefined, end: Value | undefined): [string, number] {
  const size = len(text);
  const clamp = (value: number): number => Math.min(Math.max(value < 0 ? value + size : value, 0), size);
  const from = clamp(asIndex(start, 0));
  return [cut(text, from, Math.max(from, clamp(asIndex(end, size)))), from];
}

function find(from: "indexOf" | "lastIndexOf"): Native["1"] {
  return ([text, sub, start, end]) => {
    const size = len(asText(text));
    const [part, offset] = within(asText(text), start, end);
    const at = part[from](asText(sub));
    if (at < 0 || asIndex(start, 0) > size) return -1n;
    return BigInt(offset + len(part.slice(0, at)));
  };
}

function orFail(native: Native["1"]): Native["1"] {
  return (given, run) => {
    const at = native(given, run);
    return at === -1n ? raise("ValueError", "substring not found") : at;
  };
}

function fill(text: string, width: Value | undefined, char: Value | undefined, run: Run): [number, string] {
  const filler = char === undefined ? " " : asText(char);
  if (len(filler) !== 1) raise("TypeError", "The fill character must be exactly one character long");
  const room = Math.max(0, asIndex(width, 0) - len(text));
  run.budget.spendText(room);
  return [room, filler];
}

/** Python puts the odd space to the left where the width is odd. */
export function center(text: string, width: Value | undefined, char: Value | undefined, run: Run): string {
  const [room, filler] = fill(text, width, char, run);
  const left = Math.floor(room / 2) + (room & asIndex(width, 0) & 1);
  return filler.repeat(left) + text + filler.repeat(room - left);
}

/** A method of str's that is not here, because it makes bytes or takes a table of characters. */
function unbuilt(name: string): Native {
  return ["s a? b?", () => raise("NotImplementedError", `peft.js does not have str.${name}()`)];
}

function affix(method: "startsWith" | "endsWith"): Native["1"] {
  return ([text, wanted, start, end]) => {
    const [part] = within(asText(text), start, end);
    if (asIndex(start, 0) > len(asText(text))) return false;
    const all = wanted instanceof Tuple ? wanted.items : [wanted];
    return all.some((one) => part[method](asText(one)));
  };
}

export function capitalize(text: string): string {
  const [first = ""] = text;
  return titleCase(first) + lower(text.slice(first.length));
}

/** Upper case of a letter that begins a word: one letter, though it may be written with two (ǆ, ß). */
function titleCase(char: string): string {
  const upper = char.toUpperCase();
  return len(upper) > 1 && len(char) === 1 ? upper.slice(0, 1) + upper.slice(1).toLowerCase() : upper;
}

function lower(text: string): string {
  return text.toLowerCase();
}

function title(text: string): string {
  let before = false;
  let out = "";
  for (const char of text) {
    const cased = /\p{Cased}/u.test(char);
    out += cased ? (before ? lower(char) : titleCase(char)) : char;
    before = cased;
  }
  return out;
}

/** True where the text is not empty and all its characters are of a kind. */
function all(kind: RegExp): Native {
  return ["s", ([text]) => asText(text) !== "" && [...asText(text)].every((char) => kind.test(char))];
}

/** Letters of one case, and none of the other. */
function onlyCase(has: RegExp, hasNot: RegExp): Native {
  return ["s", ([text]) => has.test(asText(text)) && !hasNot.test(asText(text))];
}

function partition(text: string, separator: string, at: number): Tuple {
  return new Tuple([text.slice(0, at), separator, text.slice(at + separator.length)]);
}

function separatorOf(value: Value | undefined): string {
  const separator = asText(value);
  return separator === "" ? raise("ValueError", "empty separator") : separator;
}

function expandTabs(text: string, size: number, budget: Budget): string {
  let column = 0;
  let out = "";
  for (const char of text) {
    const room = char === "\t" && size > 0 ? size - (column % size) : 0;
    budget.spendText(room);
    out += char === "\t" ? " ".repeat(room) : char;
    column = char === "\n" || char === "\r" ? 0 : column + (char === "\t" ? room : 1);
  }
  return out;
}

/** str.join: all items must be strings. */
export function join(separator: string, items: Value, run: Run): string {
  const texts: string[] = [];
  for (const item of iterate(items, run.budget)) {
    if (typeof item !== "string") {
      raise("TypeError", `sequence item ${texts.length}: expected str instance, ${typeName(item)} found`);
    }
    run.budget.spendText(item.length + separator.length);
    texts.push(item);
  }
  return texts.join(separator);
}

const list = (texts: readonly string[], run: Run): Value => {
  run.budget.spend(texts.length);
  return texts;
};

export const stringMethods: Natives = {
  capitalize: ["s", ([s]) => capitalize(asText(s))],
  casefold: ["s", ([s]) => lower(asText(s)).replaceAll("ß", "ss")],
  center: ["s width fillchar?", ([s, width, char], run) => center(asText(s), width, char, run)],
  count: [
    "s sub start? end?",
    ([s, sub, start, end]) => {
      const [part] = within(asText(s), start, end);
      const wanted = asText(sub);
      return BigInt(wanted === "" ? len(part) + 1 : part.split(wanted).length - 1);
    },
  ],
  encode: unbuilt("encode"),
  endswith: ["s suffix start? end?", affix("endsWith")],
  expandtabs: ["s tabsize?", ([s, size], run) => expandTabs(asText(s), asIndex(size, 8), run.budget)],
  find: ["s sub start? end?", find("indexOf")],
  index: ["s sub start? end?", orFail(find("indexOf"))],
  isalnum: all(/^[\p{L}\p{Nd}\p{No}\p{Nl}]$/u),
  isalpha: all(/^\p{L}$/u),
  isascii: ["s", ([s]) => /^\p{ASCII}*$/u.test(asText(s))],
  isdecimal: all(/^\p{Nd}$/u),
  isdigit: all(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]$/u),
  isidentifier: ["s", ([s]) => /^[\p{XIDS}_]\p{XIDC}*$/u.test(asText(s))],
  islower: onlyCase(/\p{Lowercase}/u, /[\p{Uppercase}\p{Lt}]/u),
  isnumeric: all(/^\p{N}$/u),
  isprintable: ["s", ([s]) => !/[\p{C}\p{Z}]/u.test(asText(s).replaceAll(" ", ""))],
  isspace: ["s", ([s]) => asText(s) !== "" && [...asText(s)].every(isSpace)],
  istitle: ["s", ([s]) => /\p{Cased}/u.test(asText(s)) && title(asText(s)) === asText(s)],
  isupper: onlyCase(/\p{Uppercase}/u, /[\p{Lowercase}\p{Lt}]/u),
  join: ["s items", ([s, items], run) => join(asText(s), items ?? null, run)],
  ljust: [
    "s width fillchar?",
    ([s, width, char], run) => {
      const [room, filler] = fill(asText(s), width, char, run);
      return asText(s) + filler.repeat(room);
    },
  ],
  lower: ["s", ([s]) => lower(asText(s))],
  lstrip: ["s chars?", ([s, characters]) => trimStart(asText(s), dropsFor(characters))],
  partition: [
    "s sep",
    ([s, sep]) => {
      const at = asText(s).indexOf(separatorOf(sep));
      return at < 0 ? new Tuple([asText(s), "", ""]) : partition(asText(s), asText(sep), at);
    },
  ],
  removeprefix: [
    "s prefix",
    ([s, p]) => (asText(s).startsWith(asText(p)) ? asText(s).slice(asText(p).length) : asText(s)),
  ],
  removesuffix: [
    "s suffix",
    ([s, p]) =>
      asText(p) !== "" && asText(s).endsWith(asText(p)) ? asText(s).slice(0, -asText(p).length) : asText(s),
  ],
  replace: [
    "s old new count?",
    ([s, old, by, count], run) => replace(asText(s), asText(old), asText(by), asIndex(count, -1), run.budget),
  ],
  rfind: ["s sub start? end?", find("lastIndexOf")],
  rindex: ["s sub start? end?", orFail(find("lastIndexOf"))],
  rjust: [
    "s width fillchar?",
    ([s, width, char], run) => {
      const [room, filler] = fill(asText(s), width, char, run);
      return filler.repeat(room) + asText(s);
    },
  ],
  rpartition: [
    "s sep",
    ([s, sep]) => {
      const at = asText(s).lastIndexOf(separatorOf(sep));
      return at < 0 ? new Tuple(["", "", asText(s)]) : partition(asText(s), asText(sep), at);
    },
  ],
  rsplit: [
    "s sep? maxsplit?",
    ([s, sep, most], run) => list(splitFromEnd(asText(s), sep, asIndex(most, -1)), run),
  ],
  rstrip: ["s chars?", ([s, characters]) => trimEnd(asText(s), dropsFor(characters))],
  split: ["s sep? maxsplit?", ([s, sep, most], run) => list(split(asText(s), sep, asIndex(most, -1)), run)],
  splitlines: ["s keepends?", ([s, keep], run) => list(splitLines(asText(s), isTrue(keep ?? false)), run)],
  startswith: ["s prefix start? end?", affix("startsWith")],
  strip: [
    "s chars?",
    ([s, characters]) => trimEnd(trimStart(asText(s), dropsFor(characters)), dropsFor(characters)),
  ],
  swapcase: [
    "s",
    ([s]) => [...asText(s)].map((c) => (/\p{Lu}/u.test(c) ? c.toLowerCase() : c.toUpperCase())).join(""),
  ],
  title: ["s", ([s]) => title(asText(s))],
  translate: unbuilt("translate"),
  upper: ["s", ([s]) => asText(s).toUpperCase()],
  zfill: [
    "s width",
    ([s, width], run) => {
      const [room] = fill(asText(s), width, "0", run);
      const sign = /^[+-]/.exec(asText(s))?.[0] ?? "";
      return sign + "0".repeat(room) + asText(s).slice(sign.length);
    },
  ],
};
