import { PeftError } from "../errors.js";
import type { Files } from "./files.js";
import { nodeFiles } from "./files.js";
import { commitFiles, createRepository } from "./hub_api.js";
import { Unreachable } from "./requests.js";
import type { HubOptions } from "./settings.js";
import { hubSettings } from "./settings.js";

export interface PushOptions extends HubOptions {
  /** For a repository that does not exist yet; the default is what the account's settings say. */
  readonly private?: boolean | undefined;
  readonly message?: string | undefined;
  /** The branch; the default is main. */
  readonly revision?: string | undefined;
}

/**
 * Puts the files of a folder into a Hub repository, which is made where it does not exist, in one commit.
 * Hidden files stay behind. Throws hub, checkpoint (an empty folder), aborted.
 */
export async function pushFolder(
  folder: string,
  repo: string,
  options: PushOptions = {},
  files: Files = nodeFiles,
): Promise<{ url: string; commit: string }> {
  const settings = await hubSettings(options, files);
  if (!/^[\w.-]+\/[\w.-]+$/.test(repo)) throw badName(repo);
  if (settings.token === undefined) throw noToken(settings.endpoint);
  if (settings.offline) throw isOffline();
  const names = (await files.listDeep(folder)).filter((name) => !/(^|\/)\./.test(name));
  if (names.length === 0) throw emptyFolder(folder);
  const message = options.message ?? "Upload with peft.js";
  const contents = names.map((path) => ({ path, content: files.url(files.join(folder, path)) }));
  try {
    await createRepository(settings, repo, options.private);
    const commit = await commitFiles(settings, repo, contents, {
      message,
      revision: options.revision ?? "main",
    });
    return { url: `${settings.endpoint}/${repo}`, commit };
  } catch (error) {
    if (error instanceof Unreachable) throw notSent(repo, error);
    throw error;
  }
}

function badName(repo: string): PeftError {
  return new PeftError("hub", {
    what: `"${repo}" is not a repository name.`,
    why: "a repository belongs to a user or organization.",
    fix: 'write it as "owner/name".',
  });
}

function noToken(endpoint: string): PeftError {
  return new PeftError("hub", {
    what: "There is no token to upload with.",
    why: "the Hub only takes files from those it knows.",
    fix: `make a token with write access at ${endpoint}/settings/tokens and set HF_TOKEN.`,
  });
}

function isOffline(): PeftError {
  return new PeftError("hub", {
    what: "Nothing was uploaded.",
    why: "offline mode is on (HF_HUB_OFFLINE).",
    fix: "unset HF_HUB_OFFLINE.",
  });
}

function emptyFolder(folder: string): PeftError {
  return new PeftError("checkpoint", {
    what: `"${folder}" holds no files to upload.`,
    why: "the folder is empty or absent.",
    fix: "give the folder that savePretrained wrote.",
  });
}

function notSent(repo: string, error: Unreachable): PeftError {
  return new PeftError("hub", {
    what: `The files could not be sent to "${repo}".`,
    why: `${error.message}.`,
    fix: "check the network (or HF_ENDPOINT) and run it again; nothing half done is visible there.",
    cause: error,
  });
}
