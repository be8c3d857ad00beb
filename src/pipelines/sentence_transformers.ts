import { PeftError } from "../errors.js";
import { nodeFiles } from "../hub/files.js";
import { readJson, readJsonObject } from "../hub/json.js";

/** How a text's vector is made of those of its tokens. */
export interface FeatureExtractionOptions {
  /** Their mean, the first one, or the last one. @default as modules.json of sentence-transformers says, else "mean" */
  readonly pooling?: "mean" | "cls" | "last" | undefined;
  /** Whether it gets length 1, so that products are cosines. @default as modules.json says, else false */
  readonly normalize?: boolean | undefined;
  /** Tokens that a text may have; the rest is cut. @default as sentence-transformers' files say, else as many as the model reads */
  readonly maxLength?: number | undefined;
}

/** Files in which sentence-transformers writes how texts become vectors. */
export const sentenceFiles: readonly string[] = [
  "modules.json",
  "sentence_bert_config.json",
  "*_Pooling/config.json",
];

/** Of the ways to pool, those that are known here, by the names that they have in the file. */
const poolings: Readonly<Record<string, NonNullable<FeatureExtractionOptions["pooling"]>>> = {
  pooling_mode_mean_tokens: "mean",
  pooling_mode_cls_token: "cls",
  pooling_mode_lasttoken: "last",
};

/** What the first of these folders that is one of sentence-transformers says; {}: none is. Throws "file-format". */
export async function sentenceTransformer(folders: readonly string[]): Promise<FeatureExtractionOptions> {
  for (const folder of folders) {
    const path = nodeFiles.join(folder, "modules.json");
    if (await nodeFiles.exists(path)) return await readModules(folder, path);
  }
  return {};
}

async function readModules(folder: string, path: string): Promise<FeatureExtractionOptions> {
  const modules = await readJson(path);
  let options: FeatureExtractionOptions = { normalize: false };
  for (const module of Array.isArray(modules) ? modules : []) {
    const { type, path: part } = Object(module);
    const kind = String(type).split(".").at(-1) ?? "";
    if (kind === "Pooling") {
      const pooling = await poolingIn(nodeFiles.join(folder, String(part), "config.json"));
      options = { ...options, pooling };
    } else if (kind === "Normalize") options = { ...options, normalize: true };
    else if (kind !== "Transformer")
      throw new PeftError("file-format", {
        what: `"${path}" has a module ${JSON.stringify(kind)}.`,
        why: "of sentence-transformers' modules Transformer, Pooling and Normalize are known.",
        fix: "use a model without it.",
      });
  }
  const limits = nodeFiles.join(folder, "sentence_bert_config.json");
  const most = (await nodeFiles.exists(limits))
    ? (await readJsonObject(limits))["max_seq_length"]
    : undefined;
  const isLimit = typeof most === "number" && Number.isInteger(most) && most > 2;
  return isLimit ? { ...options, maxLength: most } : options;
}

async function poolingIn(path: string): Promise<NonNullable<FeatureExtractionOptions["pooling"]>> {
  const modes = Object.entries(await readJsonObject(path)).flatMap(([name, value]) =>
    name.startsWith("pooling_mode_") && value === true ? [name] : [],
  );
  const pooling = poolings[modes[0] ?? ""];
  if (pooling !== undefined && modes.length === 1) return pooling;
  throw new PeftError("file-format", {
    what: `"${path}" pools by ${modes.join(" and ") || "nothing"}.`,
    why: `one of ${Object.keys(poolings).join(", ")} is known.`,
    fix: "use a model that pools by one of them.",
  });
}
