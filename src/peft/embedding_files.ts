import { nodeFiles } from "../hub/files.js";
import { formatJson, readJson, readJsonObject } from "../hub/json.js";
import type { Pooling } from "../models/model.js";
import { keysOf } from "../narrow.js";
import { type Words, words } from "../words.js";

/** The files that make a folder of sentence-transformers of a model's, or an adapter's, folder. */
const MODULES = "modules.json";
const LENGTHS = "sentence_bert_config.json";
const MODEL = "config_sentence_transformers.json";

/** How pooling is named in files of sentence-transformers: today, and before its version 6. */
const MODES: { readonly [T in Pooling["tokens"]]: readonly [mode: string, flag: string] } = {
  mean: ["mean", "pooling_mode_mean_tokens"],
  cls: ["cls", "pooling_mode_cls_token"],
  last: ["lasttoken", "pooling_mode_lasttoken"],
};

/**
 * How a folder of sentence-transformers makes vectors of texts; undefined: it says nothing of it, or
 * something that is not built here, which `warn` hears.
 */
export async function readPooling(
  folder: string,
  warn: (message: Words) => void,
): Promise<Pooling | undefined> {
  const path = nodeFiles.join(folder, MODULES);
  if (!(await nodeFiles.exists(path))) return undefined;
  const modules = [await readJson(path)].flat().map((module) => Object(module) as Record<string, unknown>);
  const kinds = modules.map(({ type }) => String(type).split(".").at(-1) ?? "");
  const unknown = kinds.filter((kind) => !["Transformer", "Pooling", "Normalize"].includes(kind));
  const at = kinds.indexOf("Pooling");
  const pooling = nodeFiles.join(folder, String(modules[at]?.["path"] ?? ""), "config.json");
  const json = at >= 0 && (await nodeFiles.exists(pooling)) ? await readJsonObject(pooling) : {};
  const tokens = modeOf(json);
  if (unknown.length > 0 || tokens === undefined) {
    const what = unknown.length > 0 ? unknown.join(", ") : JSON.stringify(json);
    warn(words`"${path}" makes vectors with ${what}, which is not built here: vectors are means of tokens.`);
    return undefined;
  }
  const lengths = nodeFiles.join(folder, LENGTHS);
  const longest = (await nodeFiles.exists(lengths))
    ? (await readJsonObject(lengths))["max_seq_length"]
    : undefined;
  const maxLength = Number.isSafeInteger(longest) && Number(longest) > 0 ? Number(longest) : undefined;
  return { tokens, normalize: kinds.includes("Normalize"), maxLength };
}

/** Without a file the mean of the tokens, as sentence-transformers has it. */
function modeOf(json: Readonly<Record<string, unknown>>): Pooling["tokens"] | undefined {
  const { pooling_mode: mode } = json;
  const flags = Object.keys(json).filter((key) => key.startsWith("pooling_mode_") && json[key] === true);
  if (mode === undefined && flags.length === 0) return "mean";
  const said = mode === undefined ? flags : [mode].flat();
  if (said.length !== 1) return undefined;
  return keysOf(MODES).find((tokens) => MODES[tokens].includes(String(said[0])));
}

/**
 * Writes what makes the model in a folder, or the adapter, one of sentence-transformers. `from`: the folder
 * of the model before.
 */
export async function writePooling(
  folder: string,
  { tokens, normalize, maxLength }: Pooling,
  { width, from }: { readonly width: number; readonly from: string },
): Promise<void> {
  const write = (name: string, value: unknown): Promise<void> =>
    nodeFiles.writeAtomic(nodeFiles.join(folder, name), [new TextEncoder().encode(`${formatJson(value)}\n`)]);
  const names = ["Transformer", "Pooling", ...(normalize ? ["Normalize"] : [])];
  const modules = names.map((name, idx) => ({
    idx,
    name: `${idx}`,
    path: idx === 0 ? "" : `${idx}_${name}`,
    type: `sentence_transformers.models.${name}`,
  }));
  for (const { path } of modules.slice(1)) await nodeFiles.makeFolder(nodeFiles.join(folder, path));
  const flags = Object.entries(MODES).map(([name, [, flag]]) => [flag, name === tokens] as const);
  await write("1_Pooling/config.json", { word_embedding_dimension: width, ...Object.fromEntries(flags) });
  if (normalize) await write("2_Normalize/config.json", {});
  await write(LENGTHS, {
    ...(maxLength === undefined ? {} : { max_seq_length: maxLength }),
    do_lower_case: false,
  });
  const own = nodeFiles.join(from, MODEL);
  const known = (await nodeFiles.exists(own)) ? await readJsonObject(own) : {};
  await write(MODEL, { model_type: "SentenceTransformer", similarity_fn_name: "cosine", ...known });
  await write(MODULES, modules);
}
