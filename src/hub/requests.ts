import { PeftError } from "../errors.js";
import { codeOf } from "../narrow.js";
import { type HubSettings, type RepoType, repoPath } from "./settings.js";

/** The repository a request is about, for errors. */
export interface About {
  readonly repo: string;
  readonly revision?: string;
  readonly file?: string;
  readonly type?: RepoType;
}

/** The branch in which the Hub keeps a data set as Parquet files. */
export const PARQUET_BRANCH = "refs/convert/parquet";

/** No answer from the Hub, or only "try later", after every try. A copy in the cache may still do. */
export class Unreachable extends Error {}

const tries = 5;
/**
 * Where the Hub's name cannot be looked up there is no network: the cache, or the error, should not be waited
 * for.
 */
const triesWithoutNetwork = 2;
const longestWait = 300_000;

/**
 * A fetch for the Hub: sends the token to the Hub and to nobody else, tries again on 429, 5xx and broken
 * connections, and turns every other refusal into a PeftError (hub) that says what to do.
 * @param accepted statuses from 400 up that the caller handles itself
 */
export function hubFetch(
  settings: HubSettings,
  about: About,
  accepted: readonly number[] = [],
): typeof fetch {
  const origin = new URL(settings.endpoint).origin;
  return async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    headers.delete("authorization");
    if (settings.token !== undefined && url.origin === origin)
      headers.set("authorization", `Bearer ${settings.token}`);
    headers.set("user-agent", "peft.js");
    const signal = init?.signal ?? settings.signal ?? null;
    const repeatable = ["GET", "HEAD", "PUT"].includes((init?.method ?? "GET").toUpperCase());
    for (let attempt = 1; ; attempt++) {
      stopIfAborted(settings.signal);
      const answer = await ask(settings, url, { ...init, headers, signal });
      if (answer instanceof Response) {
        if (answer.status < 400 || accepted.includes(answer.status)) return answer;
        if (!isPassing(answer.status)) throw await refusal(answer, url, about, settings);
      }
      const reason = answer instanceof Response ? `${url.host} answered ${answer.status}` : answer.message;
      const mayRepeat = repeatable || (answer instanceof Response && [429, 503].includes(answer.status));
      const most = isWithoutNetwork(answer) ? triesWithoutNetwork : tries;
      if (attempt >= most || !mayRepeat) throw new Unreachable(reason, { cause: answer });
      await pause(
        settings,
        reason,
        attempt,
        answer instanceof Response ? answer.headers.get("retry-after") : null,
      );
      if (answer instanceof Response) await answer.body?.cancel();
    }
  };
}

/** The most that an answer of the Hub's API holds: a page of a thousand files takes some 300 KB. */
const LARGEST_ANSWER = 32 << 20;
const LARGEST_REFUSAL = 4096;
/** Milliseconds that one of them may take. */
const LONGEST_ANSWER = 300_000;

/**
 * hubFetch for calls whose answers are short texts: they are read here, no further than a limit. JSON that is
 * none is refused.
 */
export function hubJson(settings: HubSettings, about: About, accepted: readonly number[] = []): typeof fetch {
  const call = hubFetch(settings, about, accepted);
  return async (input, init) => {
    const answer = await call(input, init);
    const { text, isWhole } = await shortText(answer, LARGEST_ANSWER);
    if (!isWhole)
      throw badAnswer(about.repo, `it is longer than ${LARGEST_ANSWER >> 20} MB, or does not end`);
    if (text !== "" && (init?.method ?? "GET").toUpperCase() !== "PUT") {
      try {
        JSON.parse(text);
      } catch {
        throw badAnswer(about.repo, `it is no JSON, and begins ${JSON.stringify(text.slice(0, 60))}`);
      }
    }
    const { status, headers } = answer;
    return new Response(text === "" && [204, 304].includes(status) ? null : text, { status, headers });
  };
}

/** The text of an answer, as far as it comes within so many bytes and within LONGEST_ANSWER. */
async function shortText(answer: Response, most: number): Promise<{ text: string; isWhole: boolean }> {
  const decoder = new TextDecoder();
  const end = Date.now() + LONGEST_ANSWER;
  let [text, bytes] = ["", 0];
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.byteLength;
    text += decoder.decode(chunk.subarray(0, chunk.byteLength - Math.max(bytes - most, 0)), { stream: true });
    // leaving the loop cancels the body
    if (bytes > most || Date.now() > end) return { text, isWhole: false };
  }
  return { text: text + decoder.decode(), isWhole: true };
}

export function badAnswer(repo: string, why: string): PeftError {
  return new PeftError("hub", {
    what: `The answer about "${repo}" is not one that the Hub gives.`,
    why: `${why}.`,
    fix: "check HF_ENDPOINT and the network: a proxy, a mirror or a login page may answer in the Hub's place.",
  });
}

/** Waits before the next try: what the server asked for, else 1, 2, 4, ... seconds. */
export async function pause(
  settings: HubSettings,
  reason: string,
  attempt: number,
  retryAfter: string | null = null,
): Promise<void> {
  const asked =
    retryAfter === null ? Number.NaN : Number(retryAfter) * 1000 || Date.parse(retryAfter) - Date.now();
  const milliseconds = Number.isFinite(asked) ? asked : 1000 * 2 ** (attempt - 1);
  const bounded = Math.min(Math.max(milliseconds, 0), longestWait);
  settings.progress({ kind: "retry", reason, seconds: bounded / 1000 });
  await raceAbort(settings.wait(bounded), settings.signal);
}

/** Waits, but no longer than until the caller asks to stop. */
export async function raceAbort(waiting: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return waiting;
  const { promise, resolve } = withResolvers();
  signal.addEventListener("abort", resolve);
  await Promise.race([waiting, promise]).finally(() => signal.removeEventListener("abort", resolve));
  stopIfAborted(signal);
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** Throws aborted where the caller asked to stop. */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new PeftError("aborted", {
    what: "The transfer was stopped.",
    why: "it was asked to stop.",
    fix: "run the same command again: what has arrived is kept.",
  });
}

async function ask(settings: HubSettings, url: URL, init: RequestInit): Promise<Response | Error> {
  try {
    return await settings.fetch(url, init);
  } catch (error) {
    stopIfAborted(settings.signal);
    if (init.signal?.aborted === true) throw error;
    return new Error(`${url.host} cannot be reached (${innermost(error)})`, { cause: error });
  }
}

/** undici says "fetch failed" and keeps the reason inside. */
export function innermost(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  if (cause instanceof Error) return innermost(cause);
  if (!(error instanceof Error)) return String(error);
  return error.message || codeOf(error) || error.name;
}

function isWithoutNetwork(answer: unknown): boolean {
  if (!(answer instanceof Error)) return false;
  const code = codeOf(answer);
  return code === "ENOTFOUND" || code === "EAI_AGAIN" || isWithoutNetwork(answer.cause);
}

const isPassing = (status: number): boolean => status === 429 || status === 408 || status >= 500;

/** What the caller of resolveFolder or pushFolder sees when the Hub gave no answer. */
export function noAnswer(error: Unreachable, { repo }: About, settings: HubSettings): PeftError {
  return new PeftError("hub", {
    what: `"${repo}" could not be taken from the Hub, and no complete copy is in the cache.`,
    why: `${error.message}; the cache is ${settings.cacheDir}.`,
    fix: "check the network (or HF_ENDPOINT) and run it again, or give the path of a local folder.",
    cause: error,
  });
}

async function refusal(answer: Response, url: URL, about: About, settings: HubSettings): Promise<PeftError> {
  const { repo, revision = "main", file = "", type = "model" } = about;
  const kind = answer.headers.get("x-error-code") ?? "";
  const said = answer.headers.get("x-error-message") ?? (await beginning(answer));
  const { what, why, fix } = explain(answer.status, kind, { repo, revision, file, type }, settings);
  const quoted = said === "" ? "" : ` (${url.host} said: ${said.trim()})`;
  return new PeftError("hub", { what, why: `${why}${quoted}.`, fix });
}

/** What a refusal begins with; a body that breaks off says nothing. */
async function beginning(answer: Response): Promise<string> {
  const { text } = await shortText(answer, LARGEST_REFUSAL).catch(() => ({ text: "" }));
  return text.slice(0, 200);
}

interface Explanation {
  readonly what: string;
  readonly why: string;
  readonly fix: string;
}

function explain(status: number, kind: string, about: Required<About>, settings: HubSettings): Explanation {
  const { repo, revision, file, type } = about;
  const tokens = `${settings.endpoint}/settings/tokens`;
  if (status === 401) {
    const what = `The Hub does not let you see "${repo}".`;
    if (settings.token === undefined) {
      const why = "it does not exist, or it is private and no token was given";
      return { what, why, fix: `check the spelling, or set HF_TOKEN to a token from ${tokens}.` };
    }
    const why = "your token is wrong or has expired, or the repository does not exist";
    return { what, why, fix: `make a new token at ${tokens} and set HF_TOKEN.` };
  }
  if (status === 403) {
    const gated = kind === "GatedRepo";
    const why = gated ? "its owner asks users to agree to terms first" : "your token does not permit this";
    const page = `${settings.endpoint}/${repoPath(repo, type)}`;
    const fix = gated
      ? `agree at ${page} with the account of your token.`
      : `use a token that may, from ${tokens}.`;
    return { what: `The Hub refuses access to "${repo}".`, why, fix };
  }
  if (status === 404 && kind === "RevisionNotFound" && revision === PARQUET_BRANCH) {
    const what = `The data set "${repo}" has no Parquet branch.`;
    const why = "the Hub makes none where a script makes the rows, or where it does not know the files";
    const fix = `run: hf download ${repo} --repo-type dataset --local-dir FOLDER, and give the folder's files.`;
    return { what, why, fix };
  }
  if (status === 404 && kind === "RevisionNotFound") {
    const what = `"${repo}" has no revision "${revision}".`;
    return { what, why: "no branch, tag or commit has that name", fix: 'use "main" or an existing name.' };
  }
  if (status === 404 && (kind === "EntryNotFound" || file !== "")) {
    const what = `"${repo}" has no file "${file}" at revision "${revision}".`;
    return { what, why: "it is not in the repository", fix: "check the repository's list of files." };
  }
  if (status === 404) {
    const what = `There is no repository "${repo}" on the Hub.`;
    const why = `${settings.endpoint} does not know the name, and no local folder has it`;
    return { what, why, fix: "check the spelling, or set HF_TOKEN if it is private." };
  }
  const what = `The Hub refused a request about "${repo}".`;
  return { what, why: `it answered ${status}`, fix: "check the options, or try again later." };
}
