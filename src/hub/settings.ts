import type { NamesOf } from "../arguments.js";
import type { Files } from "./files.js";
import { environment } from "./files.js";

/** What happens while files come or go; the command line shows it. */
export type HubEvent =
  | { readonly kind: "start"; readonly files: number; readonly bytes: number }
  | {
      readonly kind: "progress";
      readonly file: string;
      readonly loaded: number;
      readonly size: number;
      readonly allLoaded: number;
      readonly allBytes: number;
    }
  | { readonly kind: "done"; readonly file: string }
  | { readonly kind: "retry"; readonly reason: string; readonly seconds: number }
  | { readonly kind: "offline"; readonly reason: string };

/** What a repository of the Hub holds. */
export type RepoType = "model" | "dataset";

/** A repository in addresses of pages and files: those of data sets have a folder of their own. */
export function repoPath(repo: string, type: RepoType | undefined): string {
  return type === "dataset" ? `datasets/${repo}` : repo;
}

/**
 * Where the Hub is and who asks. What is left out comes from the environment, as in Python's
 * huggingface_hub.
 */
export interface HubOptions {
  /** Who asks. @default HF_TOKEN, else the token that `hf auth login` stored */
  readonly token?: string | undefined;
  /** The Hub's address. @default HF_ENDPOINT, else https://huggingface.co */
  readonly endpoint?: string | undefined;
  /** Only the cache is read. @default whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set */
  readonly offline?: boolean | undefined;
  /**
   * The cache, which Python's huggingface_hub shares. @default HF_HUB_CACHE, else HF_HOME/hub, else
   * ~/.cache/huggingface/hub
   */
  readonly cacheDir?: string | undefined;
  /** How requests are made. @default the runtime's fetch */
  readonly fetch?: typeof fetch | undefined;
  /** How to let time pass between two tries. @default a timer */
  readonly wait?: ((milliseconds: number) => Promise<void>) | undefined;
  /** Variables that the defaults above are read from. @default the process's environment */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Hears what is downloaded. @default nobody */
  readonly progress?: ((event: HubEvent) => void) | undefined;
  /** Ends the work: the call throws "aborted". */
  readonly signal?: AbortSignal | undefined;
}

export const hubNames: NamesOf<HubOptions> = {
  token: { also: ["useAuthToken", "hfToken"] },
  endpoint: {},
  offline: { also: ["localFilesOnly"] },
  cacheDir: { also: ["cache"] },
  fetch: {},
  wait: {},
  env: {},
  progress: {},
  signal: {},
};

export interface HubSettings {
  readonly token: string | undefined;
  readonly endpoint: string;
  readonly offline: boolean;
  readonly cacheDir: string;
  readonly fetch: typeof fetch;
  readonly wait: (milliseconds: number) => Promise<void>;
  readonly progress: (event: HubEvent) => void;
  readonly signal: AbortSignal | undefined;
}

/** Options, then environment, then defaults. */
export async function hubSettings(options: HubOptions, files: Files): Promise<HubSettings> {
  const env = options.env ?? environment();
  const expand = (path: string): string => path.replace(/^~(?=$|[/\\])/, () => files.home());
  const caches = env["XDG_CACHE_HOME"] || files.join(files.home(), ".cache");
  const home = expand(env["HF_HOME"] || files.join(caches, "huggingface"));
  const cache =
    options.cacheDir || env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"] || files.join(home, "hub");
  const tokenFile = expand(env["HF_TOKEN_PATH"] || files.join(home, "token"));
  return {
    token:
      options.token || env["HF_TOKEN"] || env["HUGGING_FACE_HUB_TOKEN"] || (await stored(tokenFile, files)),
    endpoint: (options.endpoint || env["HF_ENDPOINT"] || "https://huggingface.co").replace(/\/+$/, ""),
    offline: options.offline ?? (isTrue(env["HF_HUB_OFFLINE"]) || isTrue(env["TRANSFORMERS_OFFLINE"])),
    cacheDir: files.resolve(expand(cache)),
    fetch: options.fetch ?? fetch,
    wait: options.wait ?? ((milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds))),
    progress: options.progress ?? (() => {}),
    signal: options.signal,
  };
}

async function stored(path: string, files: Files): Promise<string | undefined> {
  if (!(await files.exists(path))) return undefined;
  return (await files.text(path)).trim() || undefined;
}

const isTrue = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "");
