import { nodeFiles } from "../hub/files.js";
import { formatJson } from "../hub/json.js";
import { isRecord } from "../narrow.js";
import { type AddedToken, storedToken } from "./pipeline/added_tokens.js";
import { parseJson } from "./pipeline/json.js";

/** Reads a file of a model's folder; undefined where it is not there. */
export type ReadText = (name: string) => Promise<string | undefined>;

/** The same of a file that is no text. */
export type ReadBytes = (name: string) => Promise<Uint8Array | undefined>;

/** Files that a tokenizer was made from. */
export interface TokenizerFiles {
  readonly read: ReadText;
  readonly readBytes: ReadBytes;
  /** What may be there. */
  readonly names: readonly string[];
}

/** Writes a tokenizer's files as they were, with its added tokens; config.json is the model's. */
export async function writeFiles(
  folder: string,
  { read, readBytes, names }: TokenizerFiles,
  added: ReadonlyMap<string, AddedToken>,
): Promise<void> {
  await nodeFiles.makeFolder(folder);
  const write = (name: string, bytes: Uint8Array): Promise<void> =>
    nodeFiles.writeAtomic(nodeFiles.join(folder, name), [bytes]);
  const tokens = [...added.values()].sort((a, b) => a.id - b.id);
  const hasWhole = (await read("tokenizer.json")) !== undefined;
  for (const name of names) {
    if (name === "config.json") continue;
    const change = name === "tokenizer.json" ? withTokens : hasWhole ? undefined : configChanges[name];
    const missing = name === "tokenizer_config.json" && tokens.length > 0 ? "{}" : undefined;
    const text = change === undefined ? undefined : ((await read(name)) ?? missing);
    if (change === undefined || text === undefined) {
      const bytes = (await readBytes(name)) ?? encoded(await read(name));
      if (bytes !== undefined) await write(name, bytes);
    } else await write(name, new TextEncoder().encode(change(text, name, tokens)));
  }
}

type Change = (text: string, name: string, tokens: readonly AddedToken[]) => string;

/** tokenizer.json lists all of them. A file that has them stays as it is, to the byte. */
const withTokens: Change = (text, name, tokens) => {
  const json = parseJson(text, name);
  const listed = Array.isArray(json["added_tokens"]) ? json["added_tokens"].filter(isRecord) : [];
  const known = new Set(listed.map(({ content }) => content));
  const more = tokens.filter(({ content }) => !known.has(content));
  if (more.length === 0) return text;
  const stored = more.map((token) => ({ id: token.id, ...storedToken(token) }));
  return `${formatJson({ ...json, added_tokens: [...listed, ...stored] })}\n`;
};

/** Without a tokenizer.json the configuration lists them, by id. */
const configChanges: Readonly<Record<string, Change>> = {
  "tokenizer_config.json": (text, name, tokens) => {
    const json = parseJson(text, name);
    const own = isRecord(json["added_tokens_decoder"]) ? json["added_tokens_decoder"] : {};
    const listed = Object.fromEntries(tokens.map((token) => [String(token.id), storedToken(token)]));
    if (tokens.every(({ id }) => String(id) in own)) return text;
    return `${formatJson({ ...json, added_tokens_decoder: { ...listed, ...own } })}\n`;
  },
};

function encoded(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : new TextEncoder().encode(text);
}
