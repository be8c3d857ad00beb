import { type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { toCode, words } from "../words.js";
import type { Files } from "./files.js";
import { nodeFiles } from "./files.js";
import { commitFiles, createRepository } from "./hub_api.js";
import { Unreachable } from "./requests.js";
import type { HubOptions } from "./settings.js";
import { hubNames, hubSettings } from "./settings.js";

/** How a folder goes to the Hub. */
export interface PushOptions extends HubOptions {
  /**
   * Whether a repository that does not exist yet is made private. @default what the account's settings say
   */
  readonly private?: boolean | undefined;
  /** The commit's message. @default says that peft.js uploaded it */
  readonly message?: string | undefined;
  /** The branch. @default "main" */
  readonly revision?: string | undefined;
}

export const pushNames: NamesOf<PushOptions> = {
  ...hubNames,
  private: {},
  message: { python: "commit_message" },
  revision: { also: ["branch"] },
};

/** What was uploaded. */
export interface PushResult {
  /** The repository's page. */
  readonly url: string;
  /** The commit's hash. */
  readonly commit: string;
  /** What was sent. */
  readonly files: readonly string[];
  /** What lies in the folder and is no part of a model or adapter. */
  readonly leftBehind: readonly string[];
}

/**
 * Names of what makes an adapter or a model, of what tells about it, and of no data and no state of a run.
 */
const published = [
  /^(README\.md|LICENSE|LICENSE\.(md|txt)|NOTICE)$/,
  /^adapter_.*\.(json|safetensors|bin)$/,
  /^(pytorch_)?model.*\.(safetensors|bin|index\.json)$/,
  /^(modules|config|.+_config|config_.+)\.json$/,
  /^(tokenizer\.(json|model)|special_tokens_map\.json|added_tokens\.json|.+\.jinja)$/,
  /^(vocab\.(txt|json)|merges\.txt|spiece\.model|sentencepiece.*\.model)$/,
];
/** training_config.json names the user's own paths. */
const ofRun = /(^|\/)(\..*|checkpoints|checkpoint-\d+)\/|(^|\/)training_config\.json$/;

function isPublished(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return !ofRun.test(path) && published.some((form) => form.test(name));
}

/**
 * Puts the adapters, model and tokenizer of a folder into a Hub repository, which is made where it does not
 * exist, in one commit. Checkpoints, metrics, reports, data and hidden files stay behind. Throws hub,
 * checkpoint (nothing to send), aborted.
 */
export async function pushFolder(
  folder: string,
  repo: string,
  options: PushOptions = {},
  files: Files = nodeFiles,
): Promise<PushResult> {
  refuseUnknown("pushFolder", options, pushNames);
  const settings = await hubSettings(options, files);
  if (!/^[\w.-]+\/[\w.-]+$/.test(repo)) throw badName(repo);
  if (settings.token === undefined) throw noToken(settings.endpoint);
  if (settings.offline) throw isOffline();
  const all = await files.listDeep(folder);
  const names = all.filter(isPublished);
  const leftBehind = all.filter((name) => !isPublished(name));
  if (names.length === 0) throw nothingToSend(folder, all);
  const message = options.message ?? "Upload with peft.js";
  const contents = names.map((path) => ({ path, content: files.url(files.join(folder, path)) }));
  try {
    await createRepository(settings, repo, options.private);
    const commit = await commitFiles(settings, repo, contents, {
      message,
      revision: options.revision ?? "main",
    });
    return { url: `${settings.endpoint}/${repo}`, commit, files: names, leftBehind };
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

function nothingToSend(folder: string, names: readonly string[]): PeftError {
  return new PeftError("checkpoint", {
    what: `"${folder}" holds no files to upload.`,
    why:
      names.length === 0
        ? "the folder is empty or absent."
        : `none of ${names.slice(0, 5).join(", ")} belongs to an adapter, a model or a tokenizer.`,
    fix: words`give the folder that ${toCode("savePretrained", "peft train or peft merge")} wrote.`,
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
