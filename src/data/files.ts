import { PeftError } from "../errors.js";
import type { Files } from "../hub/files.js";
import type { HubOptions } from "../hub/settings.js";
import { isOneOf } from "../narrow.js";
import { listNames } from "./faults.js";
import { hubFiles, isHubName } from "./hub_dataset.js";
import { formatOf } from "./tables/formats.js";
import { mediaOf, SPLITS } from "./tables/media_folder.js";

/** Files by paths, folders and patterns, in the order of their names. */

/** What `datasets` and others write beside data. */
const notData = new Set(["dataset_info.json", "state.json", "dataset_dict.json", "dataset_infos.json"]);

/**
 * The files that names stand for: a file itself, what lies in a folder, what a pattern matches. Throws "data"
 * where there are none.
 */
export async function filesOf(names: readonly string[], files: Files, hub?: HubOptions): Promise<string[]> {
  const lists = names.map(async (name) => {
    if (isHubName(name)) return hubFiles(name, hub, files);
    if (await files.isFolder(name)) return inFolder(name, files);
    if (!/[*?]/.test(name) || (await files.exists(name))) return [name];
    return matching(name, files);
  });
  return (await Promise.all(lists)).flat();
}

async function inFolder(folder: string, files: Files): Promise<string[]> {
  const all = (await files.list(folder)).filter((name) => !/^[._]/.test(name));
  const names = all.filter((name) => formatOf(name) !== undefined && !notData.has(name));
  const forms = new Set(names.map(formatOf));
  if (forms.size === 0) {
    const split = all.find((name) => isOneOf(name, SPLITS));
    const part = split === undefined ? undefined : files.join(folder, split);
    if (part !== undefined && (await files.isFolder(part))) return inFolder(part, files);
    const below = await files.listDeep(folder);
    if (below.some((name) => mediaOf(name) !== undefined)) return [`${folder.replace(/[/\\]+$/, "")}/`];
  }
  if (forms.size === 1) return names.map((name) => files.join(folder, name));
  throw new PeftError("data", {
    what: `The folder ${folder} ${forms.size === 0 ? "holds no data" : "holds data of several forms"}.`,
    why: `in it lie ${listNames(all) || "no files"}.`,
    fix: `name the files: ${files.join(folder, forms.size === 0 ? "rows.jsonl" : `*.${[...forms][0]}`)}.`,
  });
}

/** The files of a pattern: \* is any text within a name, ? any character, \*\* any folders. */
async function matching(pattern: string, files: Files): Promise<string[]> {
  const parts = pattern.split(/[/\\]/);
  const fixed = parts.findIndex((part) => /[*?]/.test(part));
  const root = parts.slice(0, fixed).join("/") || (pattern.startsWith("/") ? "/" : ".");
  const found: string[] = [];
  await walk(root, parts.slice(fixed), fixed === 0 ? "" : root);
  if (found.length > 0) return [...new Set(found)].sort();
  throw new PeftError("data", {
    what: `No file matches ${pattern}.`,
    why: `in ${root} lie ${listNames(await files.list(root)) || "no files"}.`,
    fix: "correct the pattern: * is any text within a name, ? any character, ** any folders.",
  });

  async function walk(folder: string, rest: readonly string[], shown: string): Promise<void> {
    const [part = "", ...below] = rest;
    if (part === "**") await walk(folder, below.length === 0 ? ["*"] : below, shown);
    for (const name of await files.list(folder)) {
      if (name.startsWith(".") && !part.startsWith(".")) continue;
      const path = shown === "" ? name : files.join(shown, name);
      const isFolder = await files.isFolder(path);
      if (part === "**") {
        if (isFolder) await walk(path, rest, path);
      } else if (fits(name, part)) {
        if (below.length === 0 && !isFolder) found.push(path);
        else if (below.length > 0 && isFolder) await walk(path, below, path);
      }
    }
  }
}

/** Whether a name fits a pattern of * and ?, in time that is bounded by the product of their lengths. */
export function fits(name: string, pattern: string): boolean {
  let [i, j, star, mark] = [0, 0, -1, 0];
  while (i < name.length) {
    if (j < pattern.length && pattern[j] !== "*" && (pattern[j] === "?" || pattern[j] === name[i])) {
      i++;
      j++;
    } else if (pattern[j] === "*") {
      star = j++;
      mark = i;
    } else if (star >= 0) {
      j = star + 1;
      i = ++mark;
    } else return false;
  }
  while (pattern[j] === "*") j++;
  return j === pattern.length;
}
