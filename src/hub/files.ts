import { createHash } from "node:crypto";
import { createReadStream, readFileSync } from "node:fs";
import * as fs from "node:fs/promises";
import { homedir, hostname } from "node:os";
import * as paths from "node:path";
import { pathToFileURL } from "node:url";
import { PeftError } from "../errors.js";
import { codeOf, messageOf } from "../narrow.js";

/** What one piece of a file may be: bytes at hand, or bytes that arrive. */
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** The file system as hub/ sees it. Everything that reads or writes goes through one of these. */
export interface Files {
  /** Exactly `length` bytes from `offset`; a file that ends earlier is an error (file-format). */
  read(path: string, offset: number, length: number): Promise<Uint8Array>;
  /** The whole file as UTF-8 text. */
  text(path: string): Promise<string>;
  size(path: string): Promise<number>;
  /** When it was last written, in ms since 1970. */
  changed(path: string): Promise<number>;
  exists(path: string): Promise<boolean>;
  isFolder(path: string): Promise<boolean>;
  /** Names of what lies in a folder, sorted; [] where there is no folder. */
  list(folder: string): Promise<string[]>;
  /** Every file below a folder as sorted relative names with "/"; links are followed. */
  listDeep(folder: string): Promise<string[]>;
  /** Writes beside `path`, flushes, renames. A failure leaves what was there before, whole. */
  writeAtomic(path: string, chunks: Chunks): Promise<void>;
  /** Adds to the end of a file (made where absent); what arrived before a failure stays. */
  append(path: string, chunks: Chunks): Promise<void>;
  /** Makes a small file if there is none of that name; false if there is. */
  create(path: string, text: string): Promise<boolean>;
  makeFolder(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** A relative symbolic link at `path` to `target`; where links are not possible, a copy. */
  link(target: string, path: string): Promise<void>;
  /** `sha256` of the content, or `git`: the blob id that git gives it. Hexadecimal. */
  digest(path: string, kind: "sha256" | "git"): Promise<string>;
  /** Free bytes on the disk that holds `folder`. */
  free(folder: string): Promise<number>;
  join(...parts: string[]): string;
  resolve(path: string): string;
  parent(path: string): string;
  url(path: string): URL;
  home(): string;
  /** A name for this process, and whether the process of such a name still runs on this machine. */
  owner(): string;
  alive(owner: string): boolean;
  /**
   * A name beside `path` for what is not whole yet. What processes that were killed left under such names of
   * this path goes.
   */
  temporary(path: string): Promise<string>;
}

/** The one place that reads environment variables for hub/. */
export function environment(): Record<string, string | undefined> {
  return process.env;
}

const maxRead = 1 << 30; // one read call takes less than 2 GiB

async function read(path: string, offset: number, length: number): Promise<Uint8Array> {
  const handle = await attempt("read", path, () => fs.open(path, "r"));
  try {
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const want = Math.min(maxRead, length - done);
      const { bytesRead } = await attempt("read", path, () => handle.read(bytes, done, want, offset + done));
      if (bytesRead === 0) throw cutShort(path, offset + length, offset + done);
      done += bytesRead;
    }
    return bytes;
  } finally {
    await handle.close();
  }
}

function cutShort(path: string, wanted: number, size: number): PeftError {
  return new PeftError("file-format", {
    what: `"${path}" ends after ${size} bytes.`,
    why: `its own header says that data go on to byte ${wanted}: the file was cut short.`,
    fix: "download or copy the file again.",
  });
}

async function writeAtomic(path: string, chunks: Chunks): Promise<void> {
  const temporary = await temporaryName(path);
  try {
    await writeAll(temporary, "wx", path, chunks);
    await attempt("write", path, () => fs.rename(temporary, path));
  } catch (error) {
    await fs.rm(temporary, { force: true });
    throw error;
  }
  await flushFolder(paths.dirname(path));
}

async function writeAll(path: string, flags: string, shownAs: string, chunks: Chunks): Promise<void> {
  const handle = await attempt("write", shownAs, () => fs.open(path, flags));
  try {
    for await (const chunk of chunks) {
      await attempt("write", shownAs, async () => {
        for (let done = 0; done < chunk.byteLength; ) {
          const { bytesWritten } = await handle.write(
            chunk,
            done,
            Math.min(maxRead, chunk.byteLength - done),
          );
          done += bytesWritten;
        }
      });
    }
    await attempt("write", shownAs, () => handle.sync());
  } finally {
    await handle.close();
  }
}

/** The rename itself must survive a power cut; some systems cannot flush folders, which is no fault. */
async function flushFolder(folder: string): Promise<void> {
  try {
    const handle = await fs.open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {}
}

/**
 * Level by level: in Node 20 a recursive mkdir never returns where the system answers ENOENT, as /proc does.
 */
async function makeFolder(path: string): Promise<void> {
  if (await nodeFiles.isFolder(path)) return;
  const parent = paths.dirname(path);
  if (parent !== path && !(await nodeFiles.exists(parent))) await makeFolder(parent);
  try {
    await fs.mkdir(path);
  } catch (error) {
    if (!(await nodeFiles.isFolder(path))) throw error; // another process may have made it
  }
}

async function create(path: string, text: string): Promise<boolean> {
  try {
    await fs.writeFile(path, text, { flag: "wx" });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw fileError("write", path, error);
  }
}

async function listDeep(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await nodeFiles.list(folder)) {
    const path = paths.join(folder, name);
    if (!(await nodeFiles.isFolder(path))) found.push(name);
    else for (const below of await listDeep(path)) found.push(`${name}/${below}`);
  }
  return found.sort();
}

async function link(target: string, path: string): Promise<void> {
  await fs.rm(path, { force: true });
  try {
    await fs.symlink(paths.relative(paths.dirname(path), target), path);
  } catch (error) {
    if (codeOf(error) === "EEXIST") return; // another process made the same link
    await attempt("write", path, () => fs.copyFile(target, path));
  }
}

async function digest(path: string, kind: "sha256" | "git"): Promise<string> {
  const hash = createHash(kind === "git" ? "sha1" : "sha256");
  if (kind === "git") hash.update(`blob ${await nodeFiles.size(path)}\0`);
  await attempt("read", path, async () => {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  });
  return hash.digest("hex");
}

/** `.NAME.MACHINE_PROCESS_RANDOM.tmp` */
const TEMPORARY = /^\.(.+)\.([^_.]+_[\d-]+)_[0-9a-f]{8}\.tmp$/;

/** The name that a temporary file or folder is to get; undefined for other names. */
export function finalName(name: string): string | undefined {
  return TEMPORARY.exec(name)?.[1];
}

async function temporaryName(path: string): Promise<string> {
  const [folder, base] = [paths.dirname(path), paths.basename(path)];
  for (const name of await nodeFiles.list(folder)) {
    const [, of, owner] = TEMPORARY.exec(name) ?? [];
    if (of !== base || owner === undefined || alive(owner)) continue;
    await fs.rm(paths.join(folder, name), { recursive: true, force: true }).catch(() => undefined);
  }
  return paths.join(folder, `.${base}.${ownName()}_${crypto.randomUUID().slice(0, 8)}.tmp`);
}

/**
 * MACHINE_PROCESS, and on Linux the process's start: another process may get the number of one that has
 * ended.
 */
function ownName(): string {
  const start = startOf(process.pid);
  return `${machine()}_${process.pid}${start === undefined ? "" : `-${start}`}`;
}

/**
 * Clock ticks from the machine's start to the process's; undefined where the system does not tell, "ended" of
 * one that only its parent remembers.
 */
function startOf(id: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, "latin1");
    const [state, ...fields] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z" || state === "X" ? "ended" : fields[18];
  } catch {
    return undefined;
  }
}

function alive(owner: string): boolean {
  const [, host, id, start] = /^(.*)_(\d+)(?:-(\d+))?$/.exec(owner) ?? [];
  if (host !== machine()) return true; // a shared disk: no way to know from here
  try {
    process.kill(Number(id), 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false;
  }
  const now = startOf(Number(id));
  return now !== "ended" && (start === undefined || now === undefined || start === now);
}

const machine = (): string => hostname().replace(/[^A-Za-z0-9-]/g, "-");

async function statOf(path: string): Promise<{ size: number; folder: boolean } | undefined> {
  try {
    const stat = await fs.stat(path);
    return { size: stat.size, folder: stat.isDirectory() };
  } catch {
    return undefined;
  }
}

async function attempt<T>(verb: "read" | "write", path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw fileError(verb, path, error);
  }
}

function fileError(verb: "read" | "write", path: string, error: unknown): unknown {
  const cause = codeOf(error);
  if (cause === undefined || error instanceof PeftError) return error;
  const [why, fix] = reasons[cause] ?? [`${messageOf(error)}.`, "check the path and the disk."];
  const code = verb === "read" ? "file-format" : "output";
  return new PeftError(code, { what: `Cannot ${verb} "${path}".`, why, fix, cause: error });
}

const diskFull: readonly [string, string] = [
  "the disk (or your quota on it) is full.",
  "free some space and run the same command again.",
];
const notAllowed: readonly [string, string] = [
  "this user may not do that there.",
  "change the permissions or choose another folder.",
];
const reasons: Readonly<Record<string, readonly [string, string]>> = {
  ENOSPC: diskFull,
  EDQUOT: diskFull,
  EFBIG: ["the file would be larger than the system allows.", "raise the limit or choose another disk."],
  EACCES: notAllowed,
  EPERM: notAllowed,
  EROFS: ["the disk is mounted read-only.", "choose another folder."],
  ENOENT: ["there is no such file or folder.", "check the path."],
  ENOTDIR: ["a part of the path is a file, not a folder.", "check the path."],
  EISDIR: ["this is a folder, not a file.", "give the path of a file."],
  EEXIST: ["something of this name is there already.", "remove it or choose another name."],
};

/** The file system of Node.js. */
export const nodeFiles: Files = {
  read,
  text: async (path) => new TextDecoder().decode(await attempt("read", path, () => fs.readFile(path))),
  size: async (path) => (await attempt("read", path, () => fs.stat(path))).size,
  exists: async (path) => (await statOf(path)) !== undefined,
  isFolder: async (path) => (await statOf(path))?.folder === true,
  list: async (folder) =>
    (await nodeFiles.isFolder(folder))
      ? (await attempt("read", folder, () => fs.readdir(folder))).sort()
      : [],
  listDeep,
  writeAtomic,
  append: (path, chunks) => writeAll(path, "a", path, chunks),
  create,
  makeFolder: (path) => attempt("write", path, () => makeFolder(paths.resolve(path))),
  rename: (from, to) => attempt("write", to, () => fs.rename(from, to)),
  remove: (path) => attempt("write", path, () => fs.rm(path, { recursive: true, force: true })),
  link,
  digest,
  changed: async (path) => (await attempt("read", path, () => fs.stat(path))).mtimeMs,
  free: async (folder) => {
    const stat = await attempt("read", folder, () => fs.statfs(folder));
    return stat.bavail * stat.bsize;
  },
  join: paths.join,
  resolve: (path) => paths.resolve(path),
  parent: paths.dirname,
  url: (path) => pathToFileURL(paths.resolve(path)),
  home: homedir,
  owner: ownName,
  alive,
  temporary: temporaryName,
};
