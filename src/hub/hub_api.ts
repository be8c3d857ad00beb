import { PeftError } from "../errors.js";
import { isRecord } from "../narrow.js";
import { isCommit } from "./cache.js";
import type { About } from "./requests.js";
import { badAnswer, hubJson, innermost, Unreachable } from "./requests.js";
import type { HubSettings, RepoType } from "./settings.js";

// @huggingface/hub is loaded when the Hub is asked, so that a start without it stays quick.

/** A file of a repository: `id` is what the Hub's etag says, the SHA-256 of large files or git's blob id. */
export interface RepoFile {
  readonly path: string;
  readonly size: number;
  readonly id: string;
  readonly kind: "sha256" | "git";
}

/** The commit that a revision stands for, and the names of its files. */
export async function repoAt(
  settings: HubSettings,
  repo: string,
  revision: string,
  type: RepoType,
): Promise<{ commit: string; names: string[] }> {
  const { datasetInfo, modelInfo } = await import("@huggingface/hub");
  const fetch = hubJson(settings, { repo, revision, type });
  const about = { name: repo, revision, hubUrl: settings.endpoint, fetch };
  const ask: Promise<{ sha: unknown; filePaths?: unknown }> =
    type === "dataset"
      ? datasetInfo({ ...about, additionalFields: ["sha"] })
      : modelInfo({ ...about, additionalFields: ["sha", "filePaths"] });
  const { sha, filePaths: given } = await ask.catch(notUnderstood(repo));
  if (typeof sha !== "string" || !isCommit(sha))
    throw badAnswer(repo, `it gives ${quoted(sha)} as the commit of "${revision}"`);
  const filePaths =
    type === "dataset" ? (await listRepo(settings, repo, sha, type)).map(({ path }) => path) : given;
  if (!Array.isArray(filePaths) || filePaths.length > MOST_FILES || !filePaths.every(isString))
    throw badAnswer(repo, `its list of files is no list of at most ${MOST_FILES} names`);
  return { commit: sha, names: filePaths };
}

/**
 * Names, sizes and content ids of all files at a commit. Ids name paths in the cache: they must be what ids
 * look like.
 */
export async function listRepo(
  settings: HubSettings,
  repo: string,
  commitId: string,
  type: RepoType,
): Promise<RepoFile[]> {
  const { listFiles } = await import("@huggingface/hub");
  const found: RepoFile[] = [];
  const about: About = { repo, revision: commitId, type };
  const asked = new Set<string>();
  const call = hubJson(settings, about);
  const params = {
    recursive: true,
    revision: commitId,
    hubUrl: settings.endpoint,
    fetch: (async (input, init) => {
      const page = String(input instanceof Request ? input.url : input);
      if (asked.has(page) || asked.size === MOST_FILES)
        throw badAnswer(repo, "the pages of its list of files do not end");
      asked.add(page);
      return call(input, init);
    }) satisfies typeof fetch,
  };
  try {
    for await (const entry of listFiles({ repo: { type, name: repo }, ...params })) {
      if (entry?.type !== "file") continue;
      if (found.length === MOST_FILES) throw badAnswer(repo, `it lists more than ${MOST_FILES} files`);
      found.push(repoFile(repo, entry));
    }
  } catch (error) {
    notUnderstood(repo)(error);
  }
  return found;
}

/** What the library throws where an answer has not the form that it expects. */
function notUnderstood(repo: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof PeftError || error instanceof Unreachable) throw error;
    throw badAnswer(repo, `it has another form (${innermost(error)})`);
  };
}

/** More than any repository of a model has. */
const MOST_FILES = 100_000;

const isString = (value: unknown): value is string => typeof value === "string";
const quoted = (value: unknown): string => `${JSON.stringify(value)}`.slice(0, 100);

function repoFile(
  repo: string,
  entry: { path: unknown; size: unknown; oid?: unknown; lfs?: unknown },
): RepoFile {
  const { path, lfs } = entry;
  const stored = isRecord(lfs) ? lfs : undefined;
  const [size, id] = [stored?.["size"] ?? entry.size, stored?.["oid"] ?? entry.oid];
  if (!isString(path)) throw badAnswer(repo, `it lists a file named ${quoted(path)}`);
  if (!isString(id) || !(stored === undefined ? /^[0-9a-f]{40}$/ : /^[0-9a-f]{64}$/).test(id))
    throw badAnswer(repo, `it gives ${quoted(id)} as the id of "${path}"`);
  if (!Number.isSafeInteger(size) || Number(size) < 0)
    throw badAnswer(repo, `it gives ${quoted(size)} as the size of "${path}"`);
  return { path, size: Number(size), id, kind: stored === undefined ? "git" : "sha256" };
}

// The library checks how tokens look (a private Hub may issue others); hubFetch sends the real one.
const accessToken = "hf_sent_by_hubFetch";

/** Makes the repository; one that exists already is as good. */
export async function createRepository(
  settings: HubSettings,
  repo: string,
  isPrivate?: boolean,
): Promise<void> {
  const { createRepo } = await import("@huggingface/hub");
  const call = hubJson(settings, { repo }, [409]);
  await createRepo({
    repo: { type: "model", name: repo },
    accessToken,
    hubUrl: settings.endpoint,
    ...(isPrivate === undefined ? {} : { visibility: isPrivate ? "private" : "public" }),
    fetch: async (input, init) => {
      const answer = await call(input, init);
      return answer.status === 409
        ? Response.json({ url: `${settings.endpoint}/${repo}`, id: repo })
        : answer;
    },
  });
}

/** One commit that adds or replaces files; large ones go to the Hub's store first. */
export async function commitFiles(
  settings: HubSettings,
  repo: string,
  contents: { path: string; content: URL }[],
  options: { readonly message: string; readonly revision: string },
): Promise<string> {
  const { commit } = await import("@huggingface/hub");
  const output = await commit({
    repo: { type: "model", name: repo },
    accessToken,
    title: options.message,
    branch: options.revision,
    hubUrl: settings.endpoint,
    fetch: hubJson(settings, { repo, revision: options.revision }),
    operations: contents.map((file) => ({ operation: "addOrUpdate", ...file })),
    ...(settings.signal === undefined ? {} : { abortSignal: settings.signal }),
  });
  return output?.commit.oid ?? "";
}
