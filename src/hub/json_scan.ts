import { PeftError } from "../errors.js";

const maxDepth = 500;

/**
 * A JSON reader that JSON.parse is not: it knows the place of a fault, Python's NaN and Infinity, and
 * floats from ints.
 */
export function scanJson(text: string, path: string): { value: unknown; floats: Set<string> } {
  const scan: Scan = { text, path, at: 0, depth: 0, floats: new Set(), key: undefined };
  if (text.charCodeAt(0) === 0xfeff) scan.at = 1;
  const value = readValue(scan);
  if (next(scan) !== "") fail(scan, "more text after the value");
  return { value, floats: scan.floats };
}

interface Scan {
  readonly text: string;
  readonly path: string;
  readonly floats: Set<string>;
  at: number;
  depth: number;
  /** The innermost key on the way. */
  key: string | undefined;
}

/** The next character that is not white space, "" at the end; not consumed. */
function next(scan: Scan): string {
  while (scan.at < scan.text.length && " \t\r\n".includes(scan.text[scan.at]!)) scan.at++;
  return scan.text[scan.at] ?? "";
}

function readValue(scan: Scan): unknown {
  const first = next(scan);
  if (first === '"') return readString(scan);
  if (first !== "{" && first !== "[") return readScalar(scan);
  if (++scan.depth > maxDepth) fail(scan, `more than ${maxDepth} levels of nesting`);
  scan.at++;
  const value = first === "{" ? readObject(scan) : readList(scan);
  scan.depth--;
  return value;
}

function readObject(scan: Scan): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  const outer = scan.key;
  while (next(scan) !== "}") {
    if (entries.length > 0) expect(scan, ",");
    if (next(scan) !== '"') fail(scan, 'a key in double quotes, or "}", is expected');
    const key = readString(scan);
    expect(scan, ":");
    scan.key = key;
    entries.push([key, readValue(scan)]);
    scan.key = outer;
  }
  scan.at++;
  return Object.fromEntries(entries);
}

function readList(scan: Scan): unknown[] {
  const items: unknown[] = [];
  while (next(scan) !== "]") {
    if (items.length > 0) expect(scan, ",");
    items.push(readValue(scan));
  }
  scan.at++;
  return items;
}

function expect(scan: Scan, character: string): void {
  if (next(scan) !== character) fail(scan, `"${character}" is expected`);
  scan.at++;
}

function readString(scan: Scan): string {
  const pattern = /"(?:[^"\\]|\\[\s\S])*"/y;
  pattern.lastIndex = scan.at;
  const raw = pattern.exec(scan.text)?.[0];
  if (raw === undefined) fail(scan, "a string that does not end");
  try {
    const value = JSON.parse(raw) as string;
    scan.at += raw.length;
    return value;
  } catch {
    return fail(scan, "a string with a raw control character or an unknown escape");
  }
}

const words = new Map<string, unknown>([
  ["true", true],
  ["false", false],
  ["null", null],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
]);

function readScalar(scan: Scan): unknown {
  const pattern = /[-+.\w]*/y;
  pattern.lastIndex = scan.at;
  const raw = pattern.exec(scan.text)?.[0] ?? "";
  const isNumber = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?$/.test(raw);
  if (!isNumber && !words.has(raw)) fail(scan, raw === "" ? "a value is missing" : `"${raw}" is no value`);
  scan.at += raw.length;
  if (!isNumber) return words.get(raw);
  if (/[.eE]/.test(raw) && scan.key !== undefined) scan.floats.add(scan.key);
  return Number(raw);
}

function fail(scan: Scan, why: string): never {
  const before = scan.text.slice(0, scan.at);
  const line = before.split("\n").length;
  const column = scan.at - before.lastIndexOf("\n");
  throw new PeftError("file-format", {
    what: `"${scan.path}" is not valid JSON, line ${line} column ${column}.`,
    why: scan.at >= scan.text.length ? `the text ends there: ${why}.` : `${why}.`,
    fix: "correct the text there, or take the file from its source again.",
  });
}
