import type { About } from "./requests.js";
import { hubFetch } from "./requests.js";
import type { HubSettings } from "./settings.js";

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
): Promise<{ commit: string; names: string[] }> {
  const { modelInfo } = await import("@huggingface/hub");
  const info = await modelInfo({
    name: repo,
    revision,
    additionalFields: ["sha", "filePaths"],
    hubUrl: settings.endpoint,
    fetch: hubFetch(settings, { repo, revision }),
  });
  return { commit: info.sha, names: info.filePaths };
}

/** Names, sizes and content ids of all files at a commit. */
export async function listRepo(settings: HubSettings, repo: string, commitId: string): Promise<RepoFile[]> {
  const { listFiles } = await import("@huggingface/hub");
  const found: RepoFile[] = [];
  const about: About = { repo, revision: commitId };
  const params = {
    recursive: true,
    revision: commitId,
    hubUrl: settings.endpoint,
    fetch: hubFetch(settings, about),
  };
  for await (const { type, path, size, oid, lfs } of listFiles({
    repo: { type: "model", name: repo },
    ...params,
  })) {
    if (type !== "file") continue;
    found.push({
      path,
      size: lfs?.size ?? size,
      id: lfs?.oid ?? oid ?? "",
      kind: lfs === undefined ? "git" : "sha256",
    });
  }
  return found;
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
  const call = hubFetch(settings, { repo }, [409]);
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
    fetch: hubFetch(settings, { repo, revision: options.revision }),
    operations: contents.map((file) => ({ operation: "addOrUpdate", ...file })),
    ...(settings.signal === undefined ? {} : { abortSignal: settings.signal }),
  });
  return output?.commit.oid ?? "";
}
