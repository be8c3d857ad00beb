import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import * as fs from "node:fs/promises";
import * as paths from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { PeftError } from "../index.js";
import { codeOf, isOneOf, keysOf, messageOf } from "../narrow.js";
import { printable } from "../printable.js";

/** How a piece of a line looks where colours are shown. */
export type Look = "good" | "bad" | "strong" | "quiet";

/** Marked pieces are green where colours are shown, else in brackets; looks are lost without colours. */
export type Piece = string | { readonly marked: string } | { readonly text: string; readonly look?: Look };

/** A line, or its pieces. */
export type Line = string | readonly Piece[];

/** A file that is being written. */
export interface OpenFile {
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * The world outside: files, streams, signals. The only file of cli/ that knows Node, and the only door to the
 * terminal: what would act on it (escape sequences in data, file names, answers of servers) is shown in place
 * of obeyed.
 */
export interface Terminal {
  /** A line of results, to stdout. */
  print(line: Line): void;
  /** Text of results without an end of line. */
  write(text: string): void;
  /** Waits until stdout has taken what was written: a slow reader slows the work, and fills no memory. */
  written(): Promise<void>;
  /** A file to write to, piece by piece; what was in it goes. Throws "output". */
  openFile(path: string): Promise<OpenFile>;
  /** A line about the work, to stderr. */
  note(line: string): void;
  /** For a bar that is drawn there. */
  readonly stderr: NodeJS.WriteStream;
  /** Whether stderr is a terminal whose cursor can be moved. */
  readonly drawsBar: boolean;
  /** Whether a person reads what is printed, and whether one types. */
  readonly showsToPerson: boolean;
  readonly hearsPerson: boolean;
  /** Everything that is piped in; "" where nothing is. */
  readInput(): Promise<string>;
  /** Lines that a person types, until they end it with Ctrl-D or Ctrl-C. */
  ask(prompt: string): AsyncIterable<string>;
  /**
   * Aborts at the first Ctrl-C, SIGTERM or SIGHUP; a second Ctrl-C ends the process at once, with code 130.
   * `onInterrupt` says so, before each.
   */
  interruptible<T>(
    onInterrupt: (isLast: boolean) => void,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
  readFile(path: string): Promise<string>;
  /** What a file of JavaScript or TypeScript exports. Throws "option" where it cannot be loaded. */
  importFile(path: string): Promise<Readonly<Record<string, unknown>>>;
  writeFile(path: string, text: string): Promise<void>;
  /** Bytes of a file; 0 where there is none. */
  size(path: string): Promise<number>;
  /** SHA-256 of a file, in hexadecimal. */
  digest(path: string): Promise<string>;
  isFolder(path: string): Promise<boolean>;
  /** Names in a folder; [] where there is none. */
  list(folder: string): Promise<string[]>;
  remove(path: string): Promise<void>;
  /**
   * Proves that files can be put into a folder, or into one that is to be made; leaves nothing behind. Throws
   * "output".
   */
  checkWritable(folder: string): Promise<void>;
  join(...parts: string[]): string;
  absolute(path: string): string;
  /** A path inside the package. */
  packagePath(name: string): string;
  now(): number;
}

const WARNING = "warning: ";

/** A warning: said however quiet the command is. */
export function warn({ note }: Pick<Terminal, "note">, message: string): void {
  note(`${WARNING}${message}`);
}

/** The same terminal, on which nothing is noted but warnings. */
export function quieted(terminal: Terminal): Terminal {
  return { ...terminal, note: (line) => line.startsWith(WARNING) && terminal.note(line) };
}

export function nodeTerminal(): Terminal {
  // Nobody reads any more (a closed terminal, `| head`): what is printed is lost, and the work is not.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
  const isDumb = process.env["TERM"] === "dumb";
  const hasColours = showsColours(process.env, process.stdout.isTTY === true);
  const mark = hasColours ? inGreen : inBrackets;
  const paint = hasColours ? painted : plain;
  return {
    print: (line) => void process.stdout.write(`${lineText(line, mark, paint)}\n`),
    write: (text) => void process.stdout.write(printable(text)),
    written,
    openFile,
    note: (line) => void process.stderr.write(`${printable(line)}\n`),
    stderr: process.stderr,
    drawsBar: process.stderr.isTTY === true && !isDumb,
    showsToPerson: process.stdout.isTTY === true,
    hearsPerson: process.stdin.isTTY === true,
    readInput,
    ask,
    interruptible,
    readFile,
    importFile,
    writeFile,
    size: async (path) => (await fs.stat(path).catch(() => undefined))?.size ?? 0,
    digest,
    isFolder: async (path) => (await fs.stat(path).catch(() => undefined))?.isDirectory() ?? false,
    list: async (folder) => (await fs.readdir(folder).catch(() => [])).sort(),
    remove: (path) => fs.rm(path, { recursive: true, force: true }),
    checkWritable,
    join: paths.join,
    absolute: (path) => paths.resolve(path),
    packagePath: (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url)),
    now: () => performance.now(),
  };
}

/** SGR codes: green, red, bold, faint. */
const CODES: { readonly [K in Look]: number } = { good: 32, bad: 31, strong: 1, quiet: 2 };

type Paint = (text: string, look: Look | undefined) => string;
const painted: Paint = (text, look) =>
  look === undefined || text === "" ? text : `\u001b[${CODES[look]}m${text}\u001b[0m`;
const plain: Paint = (text) => text;
const inGreen = (text: string): string => painted(text, "good");
const inBrackets = (text: string): string => `[${text}]`;

/** A line as it goes out, and the one place where marks of our own join what others wrote. */
export function lineText(line: Line, mark: (text: string) => string, paint: Paint = plain): string {
  if (typeof line === "string") return printable(line);
  return line
    .map((piece) => {
      if (typeof piece === "string") return printable(piece);
      return "text" in piece ? paint(printable(piece.text), piece.look) : mark(printable(piece.marked));
    })
    .join("");
}

/**
 * FORCE_COLOR decides, then NO_COLOR, then what the terminal can do. See no-color.org and force-color.org.
 */
export function showsColours(
  env: Readonly<Record<string, string | undefined>>,
  isTerminal: boolean,
): boolean {
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined && forced !== "") return forced !== "0" && forced !== "false";
  if (env["NO_COLOR"] !== undefined && env["NO_COLOR"] !== "") return false;
  return isTerminal && env["TERM"] !== "dumb";
}

async function readInput(): Promise<string> {
  if (process.stdin.isTTY === true) return "";
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

async function* ask(prompt: string): AsyncGenerator<string> {
  const lines = createInterface({ input: process.stdin, output: process.stdout, prompt });
  // A terminal in raw mode tells readline of Ctrl-C, not the process: it stops an answer, or ends the chat.
  lines.on("SIGINT", () => {
    if (process.listenerCount("SIGINT") > 0) process.emit("SIGINT");
    else lines.close();
  });
  lines.prompt();
  for await (const line of lines) {
    yield line;
    lines.prompt();
  }
}

/**
 * Signals that ask for an end, and the exit codes of a process that they ended: Ctrl-C, kill and `docker
 * stop`, a terminal that closes.
 */
const ENDS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

async function interruptible<T>(
  onInterrupt: (isLast: boolean) => void,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const control = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    const isLast = control.signal.aborted;
    if (isLast && name !== "SIGINT") return;
    onInterrupt(isLast);
    if (isLast) process.exit(ENDS.SIGINT);
    control.abort(name);
  };
  const names = keysOf(ENDS);
  for (const name of names) process.on(name, onSignal);
  try {
    return await work(control.signal);
  } finally {
    for (const name of names) process.off(name, onSignal);
  }
}

/** The exit code of work that a signal stopped. */
export function exitCode({ reason }: AbortSignal): number {
  return isOneOf(reason, keysOf(ENDS)) ? ENDS[reason] : ENDS.SIGINT;
}

async function readFile(path: string): Promise<string> {
  return (await readBytes(path)).toString("utf8");
}

/** Piece by piece: data files may be larger than memory. Of a folder, its files' names and sizes. */
async function digest(path: string): Promise<string> {
  const hash = createHash("sha256");
  try {
    if (path.endsWith("/")) {
      for (const name of (await fs.readdir(path, { recursive: true })).sort())
        hash.update(`${name} ${(await fs.stat(`${path}${name}`)).size}\n`);
      return hash.digest("hex");
    }
    for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(piece);
  } catch (cause) {
    throw cannotRead(path, cause);
  }
  return hash.digest("hex");
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    return await fs.readFile(path);
  } catch (cause) {
    throw cannotRead(path, cause);
  }
}

function cannotRead(path: string, cause: unknown): PeftError {
  return new PeftError("option", {
    what: `Cannot read "${path}".`,
    why: reasonOf(cause),
    fix: "check the path.",
    cause,
  });
}

/** Beside it first, then renamed: the file is whole or not there. */
async function writeFile(path: string, text: string): Promise<void> {
  const temporary = paths.join(paths.dirname(path), `.${paths.basename(path)}.${process.pid}.tmp`);
  try {
    await fs.writeFile(temporary, text, { flush: true });
    await fs.rename(temporary, path);
  } catch (cause) {
    await fs.rm(temporary, { force: true });
    throw cannotWrite(path, cause);
  }
}

async function written(): Promise<void> {
  const { stdout } = process;
  if (!stdout.writableNeedDrain || stdout.destroyed) return;
  const ends = ["drain", "close", "error"];
  await new Promise<void>((resolve) => {
    const end = (): void => {
      for (const name of ends) stdout.off(name, end);
      resolve();
    };
    for (const name of ends) stdout.on(name, end);
  });
}

async function openFile(path: string): Promise<OpenFile> {
  const failed = (cause: unknown): never => {
    throw cannotWrite(path, cause);
  };
  const file = await fs.open(path, "w").catch(failed);
  return {
    write: async (text) => void (await file.appendFile(text).catch(failed)),
    close: () => file.close(),
  };
}

async function checkWritable(folder: string): Promise<void> {
  const probe = paths.join(folder, `.peft-${process.pid}.tmp`);
  const made: string[] = [];
  try {
    for (const missing of await missingFolders(paths.resolve(folder))) {
      await fs.mkdir(missing);
      made.push(missing);
    }
    await fs.writeFile(probe, "");
    await fs.rm(probe);
  } catch (cause) {
    throw cannotWrite(folder, cause);
  } finally {
    if (made[0] !== undefined) await fs.rm(made[0], { recursive: true, force: true });
  }
}

/**
 * Folders that a path lacks, the outermost first; Node's own `recursive` never ends where a disk refuses
 * (/proc).
 */
async function missingFolders(folder: string): Promise<string[]> {
  if ((await fs.stat(folder).catch(() => undefined)) !== undefined) return [];
  return [...(await missingFolders(paths.dirname(folder))), folder];
}

function cannotWrite(path: string, cause: unknown): PeftError {
  return new PeftError("output", {
    what: `Cannot write to "${path}".`,
    why: reasonOf(cause),
    fix: "choose another place with --output.",
    cause,
  });
}

function reasonOf(cause: unknown): string {
  const code = codeOf(cause) ?? "";
  return (
    {
      ENOENT: "there is no such file or folder.",
      EACCES: "you have no permission for it.",
      EPERM: "you have no permission for it.",
      EROFS: "that disk can only be read.",
      ENOSPC: "the disk is full.",
      EEXIST: "a file of that name is in the way.",
      ENOTDIR: "a file is in the way where a folder is needed.",
      EISDIR: "it is a folder.",
    }[code] ?? `${messageOf(cause)}.`
  );
}

/** Node strips types by itself from 22.18 on; a checkout runs with tsx, which does it too. */
async function importFile(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(paths.resolve(path)).href);
  } catch (cause) {
    const isUnread = codeOf(cause) === "ERR_UNKNOWN_FILE_EXTENSION";
    const isThere = (await fs.stat(path).catch(() => undefined)) !== undefined;
    throw new PeftError("option", {
      what: `"${path}" cannot be loaded.`,
      why: isUnread
        ? `Node ${process.versions.node} runs no TypeScript.`
        : isThere
          ? `${messageOf(cause)}`
          : "there is no such file.",
      fix: isUnread
        ? "use Node 22.18 or later, or write it as JavaScript (.js); with tsx: NODE_OPTIONS=--import=tsx peft ..."
        : "correct it, or name another file.",
      cause,
    });
  }
}
