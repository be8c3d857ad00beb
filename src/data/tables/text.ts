import { PeftError } from "../../errors.js";
import { refuseStandIn } from "../../hub/tensors/stand_in.js";
import { option, type Words, words } from "../../words.js";
import { count, type Fault, faultsError } from "../faults.js";
import { readBytes } from "./bytes.js";
import type { TableOptions } from "./table.js";

/**
 * Text of files: UTF-8, or the encoding that the user names. Bytes that are none of it are refused, never
 * replaced.
 */

const mebibyte = 2 ** 20;
const longestText = 500 * mebibyte;

/** A whole file as text, without a byte order mark. */
export async function readText(file: string, options: TableOptions): Promise<string> {
  let [text, size] = ["", 0];
  for await (const piece of readTextPieces(file, options)) {
    text += piece;
    size += piece.length;
    if (size > longestText) throw tooLong(file);
  }
  return text;
}

function tooLong(file: string): PeftError {
  return new PeftError("data", {
    what: `${file} has more than ${longestText / mebibyte} MiB.`,
    why: `a JSON file is read as one text, and so is a line of JSONL, of at most ${longestText / mebibyte} MiB.`,
    fix: "store it as .jsonl or .parquet, which are read in pieces.",
  });
}

/** The lines of a file, read piece by piece; the file itself may be larger than a string can be. */
export async function* readLines(file: string, options: TableOptions): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of readTextPieces(file, options)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop()!;
    if (rest.length > longestText) throw tooLong(file);
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** A file as text, piece by piece. */
export async function* readTextPieces(file: string, options: TableOptions): AsyncGenerator<string> {
  const { encoding } = options;
  let decoder: InstanceType<typeof TextDecoder> | undefined;
  let last: Uint8Array = new Uint8Array();
  let linesBefore = 0;
  for await (const bytes of readBytes(file, options)) {
    if (decoder === undefined) {
      const start = bytes.subarray(0, 1024);
      refuseStandIn(file, start);
      if (encoding === undefined) refuseOtherForms(file, start);
      decoder = decoderOf(encoding ?? "utf-8", start);
    }
    linesBefore += newlines(last);
    last = bytes;
    yield decoded(decoder, bytes, true);
  }
  decoder ??= decoderOf(encoding ?? "utf-8", last);
  yield decoded(decoder, new Uint8Array(), false);

  function decoded(decoder: InstanceType<typeof TextDecoder>, bytes: Uint8Array, stream: boolean): string {
    try {
      return decoder.decode(bytes, { stream });
    } catch {
      throw otherEncoding(file, last, linesBefore, encoding);
    }
  }
}

/** Python's names of encodings where the web's differ. */
const names: Readonly<Record<string, string>> = {
  "latin-1": "latin1",
  "utf-8-sig": "utf-8",
  utf16: "utf-16",
  cp932: "shift_jis",
  cp936: "gbk",
  cp949: "euc-kr",
  cp950: "big5",
  "mac-roman": "macintosh",
};

/** Throws `option` for an encoding that nobody knows. */
function decoderOf(encoding: string, start: Uint8Array): InstanceType<typeof TextDecoder> {
  const spelled = encoding.trim().toLowerCase();
  const dashed = spelled.replaceAll("_", "-");
  const name = names[dashed] ?? spelled;
  const isBigEndian = name === "utf-16" && start[0] === 0xfe && start[1] === 0xff;
  for (const label of isBigEndian ? ["utf-16be"] : [name, dashed]) {
    try {
      return new TextDecoder(label, { fatal: true });
    } catch {} // the other spelling may be known
  }
  throw new PeftError("option", {
    what: `Unknown encoding ${JSON.stringify(encoding)}.`,
    why: "known are utf-8, utf-16, latin1, windows-1252, shift_jis, gb18030, euc-kr and the others of the web.",
    fix: words`give for example ${option("encoding", "windows-1252")}.`,
  });
}

/** What a file's first bytes say it is, where it is no UTF-8. */
const marks: readonly (readonly [bytes: readonly number[], form: string, fix: string | Words])[] = [
  [[0xff, 0xfe, 0, 0], "UTF-32 (its byte order mark)", "write it again as UTF-8."],
  [[0, 0, 0xfe, 0xff], "UTF-32 (its byte order mark)", "write it again as UTF-8."],
  [[0xff, 0xfe], "UTF-16 (its byte order mark)", readBy("utf-16")],
  [[0xfe, 0xff], "UTF-16 (its byte order mark)", readBy("utf-16be")],
  [[0x50, 0x41, 0x52, 0x31], "Parquet", words`say its form: ${option("format", "parquet")}.`],
  [[0x50, 0x4b, 3, 4], "a zip archive, as .xlsx files are", "unpack it, or save it as CSV."],
];

function readBy(encoding: string): Words {
  return words`read it as that (${option("encoding", encoding)}), or write it again as UTF-8.`;
}

function refuseOtherForms(file: string, start: Uint8Array): void {
  const found = marks.find(([bytes]) => bytes.every((byte, i) => start[i] === byte)) ?? withoutMark(start);
  if (found === undefined) return;
  throw new PeftError("data", {
    what: `${file} line 1: not UTF-8.`,
    why: `the file seems to be ${found[1]}.`,
    fix: found[2],
  });
}

/** UTF-16 without its mark: every other byte of plain letters is 0. */
function withoutMark(start: Uint8Array): (typeof marks)[number] | undefined {
  const zeros = (first: number): number => start.filter((byte, i) => byte === 0 && i % 2 === first).length;
  const [even, odd] = [zeros(0), zeros(1)];
  if (even + odd === 0) return undefined;
  if (Math.min(even, odd) > Math.max(even, odd) / 4)
    return [[], "no text at all", "give a file of text, or Parquet."];
  const encoding = even > odd ? "utf-16be" : "utf-16le";
  return [[], `${encoding.toUpperCase()} without a byte order mark`, readBy(encoding)];
}

/** Names the lines of a piece that the encoding does not have, and what they seem to be. */
function otherEncoding(
  file: string,
  bytes: Uint8Array,
  linesBefore: number,
  encoding: string | undefined,
): PeftError {
  const faults: Fault[] = [];
  const wrong: Uint8Array[] = [];
  let others = 0;
  for (const [i, line] of linesOf(bytes).entries()) {
    if (isIn(encoding ?? "utf-8", line)) others += Number(line.some((byte) => byte > 127));
    else {
      faults.push({ at: `${file} line ${linesBefore + i + 1}`, says: firstWrong(line) });
      wrong.push(line);
    }
  }
  if (faults.length === 0) faults.push({ at: file, says: "it ends within a character" });
  const what = (n: number): string => `${count(n, "line")} not in ${encoding ?? "UTF-8"}`;
  if (encoding !== undefined)
    return faultsError(faults, {
      what,
      why: "the encoding that was named does not have these bytes.",
      fix: "name another encoding, or correct these lines.",
    });
  if (others > 0 || wrong.length === 0)
    return faultsError(faults, {
      what,
      why: "the rest of the file is UTF-8: these lines are damaged, or were written in another encoding.",
      fix: "correct these lines.",
    });
  const [seems, fix] = seemingEncoding(bytes.subarray(0, 2 ** 16), wrong);
  return faultsError(faults, { what, why: `the file seems to be ${seems}.`, fix });
}

/** The first byte that is no UTF-8, with the words before it. */
function firstWrong(line: Uint8Array): string {
  const before = new TextDecoder().decode(line).split("\ufffd", 1)[0]!;
  const byte = line[new TextEncoder().encode(before).length] ?? 0;
  return `byte 0x${byte.toString(16).toUpperCase()} after ${JSON.stringify(before.slice(-20))}`;
}

function newlines(bytes: Uint8Array): number {
  let n = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) n++;
  return n;
}

/** A piece's lines; what is left of a character that began in the piece before is taken off. */
function linesOf(bytes: Uint8Array): Uint8Array[] {
  let from = 0;
  while (from < 3 && bytes[from]! >> 6 === 0b10) from++;
  const lines: Uint8Array[] = [];
  for (let at = bytes.indexOf(10, from); at >= 0; from = at + 1, at = bytes.indexOf(10, from))
    lines.push(bytes.subarray(from, at));
  lines.push(bytes.subarray(from));
  return lines;
}

function isIn(encoding: string, line: Uint8Array): boolean {
  try {
    new TextDecoder(encoding, { fatal: true }).decode(line);
    return true;
  } catch {
    return false;
  }
}

/**
 * The encoding that a text with these lines seems to have, and what to do. Western texts are mostly plain
 * letters.
 */
function seemingEncoding(
  text: Uint8Array,
  lines: readonly Uint8Array[],
): [seems: string, fix: string | Words] {
  const share = text.filter((byte) => byte > 127).length / text.length;
  const high = lines.flatMap((line) => [...line.subarray(0, 1000)]).filter((byte) => byte > 127);
  if (share > 1 / 4 || high.some((byte) => undefinedIn1252.includes(byte))) {
    const others = "windows-1251, shift_jis, gb18030, big5 or euc-kr";
    return [
      `in an encoding of another script, such as ${others}`,
      words`name it: ${option("encoding", "windows-1251")}.`,
    ];
  }
  const name = high.some((byte) => byte < 0xa0) ? "windows-1252" : "latin1";
  return [name === "latin1" ? "Latin-1 (ISO-8859-1)" : "windows-1252 (cp1252)", readBy(name)];
}

const undefinedIn1252: readonly number[] = [0x81, 0x8d, 0x8f, 0x90, 0x9d];
