import { PeftError } from "../errors.js";
import type { Files } from "../hub/files.js";
import { PARQUET_BRANCH } from "../hub/requests.js";
import { type Repo, repoFiles, resolveRepo } from "../hub/resolve.js";
import type { HubOptions } from "../hub/settings.js";
import { listNames } from "./faults.js";

/** Data sets of the Hub, by the Parquet files that it makes of them: config/split/0000.parquet, ... */

const SCHEME = "hf://";

/** The two parts of a revision's name that may have slashes, and any other. */
const NAME =
  /^hf:\/\/datasets\/([^/@]+\/[^/@]+)(?:@(refs\/(?:convert|pr)\/[^/]+|[^/]+))?(?:\/([^/]+))?(?:\/([^/]+))?\/?$/;

export function isHubName(name: string): boolean {
  return name.startsWith(SCHEME);
}

/**
 * The files of `hf://datasets/OWNER/NAME[@REVISION][/CONFIG][/SPLIT]` in the cache, downloaded where they are
 * not there. Throws hub, data, output, aborted.
 */
export async function hubFiles(name: string, hub: HubOptions = {}, files: Files): Promise<string[]> {
  const found = NAME.exec(name);
  const repo = found?.[1];
  if (repo === undefined) throw misspelled(name);
  const parts = found?.slice(3).filter((part) => part !== undefined) ?? [];
  const revision = found?.[2]?.replaceAll("%2F", "/") ?? PARQUET_BRANCH;
  const set: Repo = { repo, type: "dataset" };
  const options = { ...hub, revision };
  const wanted = choose(repo, await repoFiles(set, options, files), parts);
  const folder = await resolveRepo(set, { ...options, files: wanted }, files);
  const paths = wanted.map((file) => files.join(folder, ...file.split("/")));
  const present = await Promise.all(paths.map((path) => files.exists(path)));
  if (present.every(Boolean)) return paths;
  throw new PeftError("hub", {
    what: `The data set "${repo}" changed while it was read.`,
    why: `${listNames(wanted.filter((_, i) => !present[i]))} is not in the revision that is there now.`,
    fix: "run it again, or name a commit: hf://datasets/OWNER/NAME@COMMIT.",
  });
}

/** The files of one split of one config. */
function choose(repo: string, names: readonly string[], parts: readonly string[]): string[] {
  const shards = names.filter((name) => /^[^/]+\/[^/]+\/[^/]+\.parquet$/.test(name));
  const folders = [...new Set(shards.map((name) => name.slice(0, name.lastIndexOf("/"))))];
  const configs = [...new Set(folders.map((folder) => folder.slice(0, folder.indexOf("/"))))];
  const [first = "", second] = parts;
  const isConfig = parts.length === 2 || configs.includes(first);
  const config = isConfig ? first : usual(configs, "default");
  const splits = folders
    .filter((folder) => folder.startsWith(`${config}/`))
    .map((folder) => folder.slice(folder.indexOf("/") + 1));
  const split = (isConfig ? second : parts[0]) ?? usual(splits, "train");
  const chosen = shards.filter((name) => name.startsWith(`${config}/${split}/`)).sort();
  if (chosen.length > 0) return chosen;
  const asked = parts.length === 0 ? "no config and split are named" : `"${parts.join("/")}" is none of them`;
  throw new PeftError("data", {
    what: `The data set "${repo}" has ${folders.length === 0 ? "no Parquet files" : `the configs and splits ${listNames(folders)}`}.`,
    why: folders.length === 0 ? "only CONFIG/SPLIT/NAME.parquet is read of a revision." : `${asked}.`,
    fix:
      folders.length === 0
        ? "leave the revision out: the Hub's own Parquet branch is read then."
        : `name one: hf://datasets/${repo}/${folders[0]}.`,
  });
}

/** The only one, or that of the usual name. */
function usual(names: readonly string[], name: string): string | undefined {
  return names.length === 1 ? names[0] : names.find((each) => each === name);
}

function misspelled(name: string): PeftError {
  return new PeftError("data", {
    what: `"${name}" names no data set of the Hub.`,
    why: "such names are hf://datasets/OWNER/NAME[@REVISION][/CONFIG][/SPLIT].",
    fix: "write for example hf://datasets/nyu-mll/glue/sst2/train.",
  });
}
