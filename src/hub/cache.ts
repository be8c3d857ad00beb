import { PeftError } from "../errors.js";
import { LIBRARY_FILES } from "./adapters_library.js";
import { readWeightMap } from "./checkpoint.js";
import type { Files } from "./files.js";
import type { RepoType } from "./settings.js";

/**
 * One repository in the cache, laid out as Python's huggingface_hub does:
 * `refs/<revision>` holds a commit, `blobs/<id>` contents, `snapshots/<commit>/<name>` links to blobs.
 * Reference: huggingface_hub/file_download.py
 */
export interface RepoCache {
  blob(id: string): string;
  readonly blobs: string;
  readonly locks: string;
  snapshot(commit: string): string;
  /** The commit a revision stood for when it was last seen; a full commit id stands for itself. */
  commitOf(revision: string): Promise<string | undefined>;
  remember(revision: string, commit: string): Promise<void>;
  /** Makes a blob visible under its name at a commit. */
  show(commit: string, name: string, id: string): Promise<void>;
  /** Names of the files of a commit that are here. */
  names(commit: string): Promise<string[]>;
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

export function repoCache(cacheDir: string, repo: string, files: Files, type: RepoType = "model"): RepoCache {
  const folder = `${type}s--${repo.split("/").join("--")}`;
  const root = files.join(cacheDir, folder);
  const snapshot = (commit: string): string => files.join(root, "snapshots", commit);
  const ref = (revision: string): string => files.join(root, "refs", revision);
  const blobs = files.join(root, "blobs");
  const blob = (id: string): string => files.join(blobs, id);
  return {
    blobs,
    locks: files.join(cacheDir, ".locks", folder),
    blob,
    snapshot,
    commitOf: async (revision) => {
      if (isCommit(revision)) return revision;
      const commit = (await files.exists(ref(revision))) ? (await files.text(ref(revision))).trim() : "";
      return isCommit(commit) ? commit : undefined;
    },
    remember: async (revision, commit) => {
      if (revision === commit) return;
      await files.makeFolder(files.parent(ref(revision)));
      await files.writeAtomic(ref(revision), [new TextEncoder().encode(commit)]);
    },
    show: async (commit, name, id) => {
      const path = files.join(snapshot(commit), ...name.split("/"));
      await files.makeFolder(files.parent(path));
      await files.link(blob(id), path);
    },
    names: async (commit) => {
      const all = await files.listDeep(snapshot(commit));
      const present = await Promise.all(all.map((name) => files.exists(files.join(snapshot(commit), name))));
      return all.filter((_, i) => present[i]);
    },
  };
}

/**
 * Which of a repository's files are wanted: those that match a pattern ("*" stands for any text), or, without
 * patterns, what a model or adapter needs: configs, tokenizer, and the weights once, safetensors before .bin.
 */
export function wantedFiles(names: readonly string[], patterns?: readonly string[]): string[] {
  if (patterns !== undefined)
    return names.filter((name) => patterns.some((pattern) => matches(name, pattern)));
  const weights = weightFiles(names);
  return names.filter((name) => weights.has(name) || plainFiles.some((pattern) => matches(name, pattern)));
}

const plainFiles = [
  "config.json",
  "generation_config.json",
  "preprocessor_config.json",
  "chat_template.jinja",
  "chat_template.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "*.spm",
  "spiece.model",
  "tokenizer.model",
  "sentencepiece.bpe.model",
  "adapter_*.json",
  "modules.json",
  "*_Pooling/config.json",
  "sentence_bert_config.json",
  "config_sentence_transformers.json",
  "head_config.json",
];

/** The first form that is there: one file or shards, safetensors or .bin; and the same for an adapter. */
function weightFiles(names: readonly string[]): Set<string> {
  const model = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
  ];
  const first = model.find((name) => names.includes(name));
  const [stem = "", ending = ""] = first?.replace(".index.json", "").split(".") ?? [];
  const sharded = first?.endsWith(".index.json") === true;
  const shard = new RegExp(`^${stem}-.*\\.${ending}$`);
  const chosen = names.filter((name) => name === first || (sharded && shard.test(name)));
  const adapter = names.includes("adapter_model.safetensors")
    ? /^adapter_.*\.safetensors$/
    : /^adapter_.*\.bin$/;
  const library = Object.values(LIBRARY_FILES).flatMap((files) => {
    const file = files.find((name) => names.includes(name));
    return file === undefined ? [] : [file];
  });
  return new Set([...chosen, ...library, ...names.filter((name) => adapter.test(name))]);
}

function matches(name: string, pattern: string): boolean {
  const source = pattern.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${source.join(".*")}$`).test(name);
}

/** Whether a cached commit holds what is wanted, as far as that can be known without asking the Hub. */
export async function isComplete(
  cache: RepoCache,
  commit: string,
  patterns: readonly string[] | undefined,
  files: Files,
): Promise<boolean> {
  const names = new Set(await cache.names(commit));
  if (patterns !== undefined) return wantedFiles([...names], patterns).length > 0;
  const has = (...options: string[]): boolean => options.some((name) => names.has(name));
  if (has("adapter_config.json"))
    return has("adapter_model.safetensors", "adapter_model.bin", ...LIBRARY_FILES.adapter);
  if (!has("config.json")) return false;
  if (has("model.safetensors", "pytorch_model.bin")) return true;
  for (const index of ["model.safetensors.index.json", "pytorch_model.bin.index.json"]) {
    if (!names.has(index)) continue;
    const map = await readWeightMap(files.join(cache.snapshot(commit), index), files);
    if ([...map.values()].every((shard) => names.has(shard))) return true;
  }
  return false;
}

/** Names come from a server: they must stay inside the snapshot. */
export function checkName(name: string, repo: string): void {
  const parts = name.split("/");
  if (!/[\\:\0]/.test(name) && parts.every((part) => part !== "" && part !== "." && part !== "..")) return;
  throw new PeftError("hub", {
    what: `"${repo}" lists a file named ${JSON.stringify(name)}.`,
    why: "such a name would be written outside the cache.",
    fix: "do not use this repository or endpoint.",
  });
}
