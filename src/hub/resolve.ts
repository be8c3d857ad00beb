import { type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { RepoCache } from "./cache.js";
import { checkName, isCommit, isComplete, repoCache, wantedFiles } from "./cache.js";
import type { Download } from "./download.js";
import { downloadBlob } from "./download.js";
import type { Files } from "./files.js";
import { nodeFiles } from "./files.js";
import type { RepoFile } from "./hub_api.js";
import { listRepo, repoAt } from "./hub_api.js";
import { badAnswer, noAnswer, Unreachable } from "./requests.js";
import type { HubOptions, HubSettings, RepoType } from "./settings.js";
import { hubNames, hubSettings } from "./settings.js";

/** Which files of a repository, and of which revision. */
export interface ResolveOptions extends HubOptions {
  /** A branch, tag or commit. @default "main" */
  readonly revision?: string | undefined;
  /** Only these files ("*" stands for any text). @default all that a model or adapter needs */
  readonly files?: readonly string[] | undefined;
}

export const resolveNames: NamesOf<ResolveOptions> = {
  ...hubNames,
  revision: {},
  files: { also: ["allowPatterns"] },
};

interface Request extends Repo {
  readonly revision: string;
  readonly patterns: readonly string[] | undefined;
  readonly settings: HubSettings;
  readonly cache: RepoCache;
  readonly files: Files;
}

/**
 * A folder with a model's or adapter's files: a local folder as it is, else the Hub repository of that
 * name in the
 * cache that Python's huggingface_hub shares, downloading what is missing. Throws hub, output (disk
 * full), aborted.
 */
export async function resolveFolder(
  nameOrFolder: string,
  options: ResolveOptions = {},
  files: Files = nodeFiles,
): Promise<string> {
  refuseUnknown("resolveFolder", options, resolveNames);
  if (await files.isFolder(nameOrFolder)) return nameOrFolder;
  return resolveRepo({ repo: nameOrFolder, type: "model" }, options, files);
}

/** A repository. */
export interface Repo {
  readonly repo: string;
  readonly type: RepoType;
}

/** As resolveFolder, for what is on the Hub alone. */
export async function resolveRepo(
  repo: Repo,
  options: ResolveOptions,
  files: Files = nodeFiles,
): Promise<string> {
  const request = await requestFor(repo, options, files);
  const { revision, settings } = request;
  // of a data set a part may be there, which Python's own downloads show file by file
  if (settings.offline || (isCommit(revision) && repo.type === "model")) {
    const folder = await fromCache(request);
    if (folder !== undefined) return folder;
    if (settings.offline) throw notCached(request);
  }
  try {
    return await fromHub(request);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    const folder = await fromCache(request);
    if (folder === undefined) throw noAnswer(error, repo, settings);
    settings.progress({ kind: "offline", reason: error.message });
    return folder;
  }
}

/**
 * Names of all files of a repository, as the Hub lists them; without it, of those in the cache. Throws hub.
 */
export async function repoFiles(
  repo: Repo,
  options: ResolveOptions,
  files: Files = nodeFiles,
): Promise<string[]> {
  const request = await requestFor(repo, options, files);
  const { revision, settings, cache } = request;
  try {
    if (!settings.offline) return (await repoAt(settings, repo.repo, revision, repo.type)).names;
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    if ((await cache.commitOf(revision)) === undefined) throw noAnswer(error, repo, settings);
    settings.progress({ kind: "offline", reason: error.message });
  }
  const commit = await cache.commitOf(revision);
  const names = commit === undefined ? [] : await cache.names(commit);
  if (names.length === 0) throw notCached(request);
  return names;
}

async function requestFor({ repo, type }: Repo, options: ResolveOptions, files: Files): Promise<Request> {
  const { revision = "main" } = options;
  checkId(repo, revision);
  const settings = await hubSettings(options, files);
  const cache = repoCache(settings.cacheDir, repo, files, type);
  return { repo, type, revision, patterns: options.files, settings, cache, files };
}

function checkId(name: string, revision: string): void {
  const part = "[A-Za-z0-9_](?:[\\w.-]*[\\w-])?";
  const isId = new RegExp(`^${part}(/${part})?$`).test(name) && !name.includes("--") && !name.includes("..");
  if (!isId) {
    throw new PeftError("hub", {
      what: `There is no folder "${name}".`,
      why: "it is not a Hub id either: those look like owner/name.",
      fix: "check the path, or give an id such as HuggingFaceTB/SmolLM2-135M.",
    });
  }
  if (/^[\w.-]+(\/[\w.-]+)*$/.test(revision) && !revision.includes("..")) return;
  throw new PeftError("hub", {
    what: `"${revision}" cannot be a revision.`,
    why: "branches, tags and commits are made of letters, digits, dots, dashes and slashes.",
    fix: 'use "main", a tag or a commit id.',
  });
}

async function fromCache({ cache, revision, patterns, files }: Request): Promise<string | undefined> {
  const commit = await cache.commitOf(revision);
  if (commit === undefined || !(await isComplete(cache, commit, patterns, files))) return undefined;
  return cache.snapshot(commit);
}

function notCached({ repo, revision, settings }: Request): PeftError {
  return new PeftError("hub", {
    what: `"${repo}" (revision "${revision}") is not in the cache, or not all of it.`,
    why: `offline mode is on (HF_HUB_OFFLINE) and ${settings.cacheDir} is the only place looked at.`,
    fix: "download it once with the network on, or set HF_HOME or HF_HUB_CACHE to where it is.",
  });
}

async function fromHub(request: Request): Promise<string> {
  const { repo, type, revision, patterns, settings, cache, files } = request;
  const { commit, names } = await repoAt(settings, repo, revision, type);
  const wanted = wantedFiles(names, patterns);
  for (const name of wanted) checkName(name, repo);
  if (wanted.length === 0) throw nothingWanted(request, names);
  const present = new Set(await cache.names(commit));
  const absent = wanted.filter((name) => !present.has(name));
  if (absent.length > 0) {
    const listed = (await listRepo(settings, repo, commit, type)).filter(({ path }) => absent.includes(path));
    const lacking = absent.filter((name) => listed.every(({ path }) => path !== name));
    if (lacking.length > 0)
      throw badAnswer(repo, `its list of files lacks ${lacking.slice(0, 5).join(", ")}`);
    await checkSpace(listed, settings, files);
    await downloadAll(listed, commit, request);
  }
  await cache.remember(revision, commit);
  return cache.snapshot(commit);
}

function nothingWanted({ repo, patterns }: Request, names: string[]): PeftError {
  const wanted = patterns?.join(", ") ?? "config.json and weights";
  return new PeftError("hub", {
    what: `"${repo}" has none of the files that are needed.`,
    why: `${wanted} are looked for; it holds ${names.slice(0, 8).join(", ") || "nothing"}.`,
    fix: "check that it is a model or adapter repository.",
  });
}

async function checkSpace(listed: RepoFile[], settings: HubSettings, files: Files): Promise<void> {
  await files.makeFolder(settings.cacheDir);
  const needed = listed.reduce((sum, { size }) => sum + size, 0);
  const free = await files.free(settings.cacheDir);
  if (needed <= free) return;
  throw new PeftError("output", {
    what: `The download takes ${needed} bytes and "${settings.cacheDir}" has ${free} left.`,
    why: "the disk is too full for it.",
    fix: "free some space, or set HF_HOME to a folder on a larger disk.",
  });
}

const lanes = 4;

/** Several files at a time; the first fault stops the others, and what has arrived is kept. */
async function downloadAll(listed: RepoFile[], commit: string, request: Request): Promise<void> {
  const { repo, type, settings, cache, files } = request;
  const allBytes = listed.reduce((sum, { size }) => sum + size, 0);
  settings.progress({ kind: "start", files: listed.length, bytes: allBytes });
  const loadedOf = new Map<string, number>();
  const onLoaded = ({ path: file, size }: RepoFile, loaded: number): void => {
    loadedOf.set(file, loaded);
    const allLoaded = [...loadedOf.values()].reduce((sum, value) => sum + value, 0);
    settings.progress({ kind: "progress", file, loaded, size, allLoaded, allBytes });
  };
  const stop = new AbortController();
  const signal =
    settings.signal === undefined ? stop.signal : AbortSignal.any([settings.signal, stop.signal]);
  const context: Download = { settings: { ...settings, signal }, repo, type, commit, cache, files, onLoaded };
  const queue = [...listed];
  const faults: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined && faults.length === 0; file = queue.shift()) {
      try {
        await downloadBlob(file, context);
        settings.progress({ kind: "done", file: file.path });
      } catch (error) {
        faults.push(error);
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (faults.length > 0) throw faults[0];
  // what is there of a commit is whole, so that a part of a data set's files is never taken for all of them
  for (const { path, id } of listed) await cache.show(commit, path, id);
}
