import { PeftError } from "../errors.js";
import type { RepoCache } from "./cache.js";
import type { Files } from "./files.js";
import type { RepoFile } from "./hub_api.js";
import { alone } from "./lock.js";
import { badAnswer, hubFetch, innermost, pause, raceAbort, stopIfAborted, Unreachable } from "./requests.js";
import { type HubSettings, type RepoType, repoPath } from "./settings.js";

/** What one download needs to know. */
export interface Download {
  readonly settings: HubSettings;
  readonly repo: string;
  readonly type: RepoType;
  readonly commit: string;
  readonly cache: RepoCache;
  readonly files: Files;
  /** Called with the bytes of this file that are here. */
  readonly onLoaded: (file: RepoFile, loaded: number) => void;
}

const fruitlessTries = 5;

/**
 * Brings one file into the cache's blobs. Each process writes to a name of its own; what an ended one
 * left behind is
 * taken over and continued. Content is checked against its id before it gets its place.
 */
export async function downloadBlob(file: RepoFile, context: Download): Promise<void> {
  const { cache, files, settings } = context;
  const blob = cache.blob(file.id);
  const lock = files.join(cache.locks, `${file.id}.peft`);
  if (await files.exists(blob)) {
    await files.remove(lock); // of a process that was killed between its last byte and this line
  } else {
    await files.makeFolder(cache.blobs);
    await files.makeFolder(cache.locks);
    await alone(lock, files, {
      wait: (milliseconds) => raceAbort(settings.wait(milliseconds), settings.signal),
      progress: () => arrived(file, context),
      action: () => files.exists(blob).then((there) => (there ? undefined : downloadTo(blob, file, context))),
    });
  }
  context.onLoaded(file, file.size);
}

async function downloadTo(blob: string, file: RepoFile, context: Download): Promise<void> {
  const { files } = context;
  const partial = `${blob}.${files.owner()}_${crypto.randomUUID().slice(0, 8)}.incomplete`;
  await takeOver(file, partial, context);
  try {
    await fill(file, partial, context);
    await files.rename(partial, blob);
  } catch (error) {
    if (await files.exists(partial)) await files.rename(partial, `${blob}.incomplete`);
    throw error;
  }
}

/** Bytes of this file that are in the cache so far, whoever brings them. */
async function arrived(file: RepoFile, { cache, files }: Download): Promise<number> {
  const names = (await files.list(cache.blobs)).filter((name) => name.startsWith(`${file.id}.`));
  const sizes = await Promise.all(names.map((name) => sizeOf(files.join(cache.blobs, name), files)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * Renaming is atomic: of two processes that want the same leftover, one gets it and the other starts
 * anew.
 */
async function takeOver(file: RepoFile, partial: string, { cache, files }: Download): Promise<void> {
  for (const name of await files.list(cache.blobs)) {
    const owner = name.startsWith(`${file.id}.`) ? /^\w+\.((.+)_\w{8}\.)?incomplete$/.exec(name) : null;
    if (owner === null || (owner[2] !== undefined && files.alive(owner[2]))) continue;
    try {
      return await files.rename(files.join(cache.blobs, name), partial);
    } catch {}
  }
}

async function fill(file: RepoFile, partial: string, context: Download): Promise<void> {
  const { files, settings } = context;
  let sound = true;
  for (let attempt = 1; ; ) {
    const before = await sizeOf(partial, files);
    try {
      await receive(file, partial, before, context);
    } catch (error) {
      stopIfAborted(settings.signal);
      if (error instanceof PeftError || error instanceof Unreachable) throw error;
      if ((await sizeOf(partial, files)) > before) attempt = 1;
      const reason = `${file.path}: the connection broke (${innermost(error)})`;
      if (attempt >= fruitlessTries) throw new Unreachable(reason, { cause: error });
      await pause(settings, reason, attempt++);
      continue;
    }
    if ((await sizeOf(partial, files)) === file.size && (await files.digest(partial, file.kind)) === file.id)
      return;
    await files.remove(partial);
    if (!sound) throw wrongContent(file, context);
    sound = false;
  }
}

async function sizeOf(path: string, files: Files): Promise<number> {
  return files.size(path).catch(() => 0); // it may go at any time
}

/**
 * Asks for what is missing and appends it. Returns normally when the answer ended; the content is
 * checked after.
 */
async function receive(file: RepoFile, partial: string, have: number, context: Download): Promise<void> {
  const { files } = context;
  if (have === file.size && have > 0) return;
  let start = have < file.size ? have : 0;
  const answer = await open(file, start, context);
  if (start > 0 && answer.status !== 206) start = 0;
  if (start < have || answer.status === 416) await files.remove(partial);
  if (answer.status === 416) throw new Error("the range was refused");
  await files.append(partial, counted(answer, file, start, context));
}

async function* counted(
  answer: Response,
  file: RepoFile,
  start: number,
  { onLoaded }: Download,
): AsyncGenerator<Uint8Array> {
  let loaded = start;
  onLoaded(file, loaded);
  for await (const chunk of answer.body ?? []) {
    loaded += chunk.byteLength;
    if (loaded > file.size) return; // more than announced: the check of the size will say so
    yield chunk;
    onLoaded(file, loaded);
  }
  if (loaded < file.size) throw new Error(`it ended after ${loaded} of ${file.size} bytes`);
}

/** Follows redirects by hand: the Hub's own answer carries the id, the store it points to does not. */
async function open(file: RepoFile, start: number, context: Download): Promise<Response> {
  const { settings, repo, type, commit } = context;
  const about = { repo, type, revision: commit, file: file.path };
  const call = hubFetch(settings, about, [416]);
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (start > 0) headers["range"] = `bytes=${start}-`;
  const path = file.path.split("/").map(encodeURIComponent).join("/");
  let url = `${settings.endpoint}/${repoPath(repo, type)}/resolve/${commit}/${path}`;
  for (let hop = 0; hop < 8; hop++) {
    const answer = await call(url, { headers, redirect: "manual" });
    const id = answer.headers.get("x-linked-etag")?.replace(/^W\/|"/g, "");
    if (id !== undefined && id !== file.id) throw wrongContent(file, context);
    const location = answer.headers.get("location");
    if (answer.status < 300 || answer.status >= 400 || location === null) return answer;
    await answer.body?.cancel();
    url = redirected(location, url, context);
  }
  throw new PeftError("hub", {
    what: `"${file.path}" of "${repo}" cannot be found.`,
    why: "the Hub sends from one address to the next without end.",
    fix: "check HF_ENDPOINT, or try again later.",
  });
}

function redirected(location: string, from: string, { repo }: Download): string {
  const to = URL.canParse(location, from) ? new URL(location, from) : undefined;
  if (to?.protocol === "https:" || to?.protocol === "http:") return to.href;
  throw badAnswer(repo, `it sends to the address ${JSON.stringify(location.slice(0, 100))}`);
}

function wrongContent(file: RepoFile, { repo, commit }: Download): PeftError {
  return new PeftError("hub", {
    what: `"${file.path}" of "${repo}" did not arrive as it should.`,
    why: `the Hub lists ${file.size} bytes with the id ${file.id} at commit ${commit}, other content came.`,
    fix: "try again; if it stays so, a proxy or mirror (HF_ENDPOINT) changes files on the way.",
  });
}
