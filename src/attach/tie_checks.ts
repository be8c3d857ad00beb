import type { AdapterParts } from "../adapters/adapter.js";
import { PeftError } from "../errors.js";
import type { AdapterConfig } from "../methods/method.js";
import { taskOf } from "../tasks/registry.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import type { Tie } from "../weights/tie.js";
import { tieOf } from "../weights/tie.js";
import { option, type Words, words } from "../words.js";
import { savesTied, targetsTied } from "./ties.js";

type Fault = readonly [what: string | Words, why: string | Words, fix: string | Words];

/**
 * What an adapter has on an embedding and its head: refuses what Python's PEFT 0.21.2 refuses, and what it
 * gets wrong. Returns warnings. Throws "adapter-config".
 */
export function checkTies<C extends AdapterConfig>(
  adapter: AdapterParts<C>,
  spec: ModelSpec,
  inventory: Inventory,
  fromFile: boolean,
): (string | Words)[] {
  const tie = tieOf(inventory);
  const fault =
    storageFault(adapter, spec, inventory) ??
    rowsFault(adapter, spec, inventory, tie) ??
    (tie === undefined ? undefined : tiedFault(adapter, tie, fromFile));
  if (fault !== undefined) {
    const [what, why, fix] = fault;
    throw new PeftError("adapter-config", { what, why, fix });
  }
  return tyingWarnings(adapter, tie);
}

/**
 * transformers reads the embedding of an encoder-decoder through other modules: what stands on it is never
 * computed.
 */
function storageFault<C extends AdapterConfig>(
  adapter: AdapterParts<C>,
  { architecture, config }: ModelSpec,
  { embeddings }: Inventory,
): Fault | undefined {
  const readers = architecture.embeddingReaders;
  const [embedding] = embeddings.values();
  if (readers === undefined || embedding === undefined) return undefined;
  const { path, weight } = embedding;
  const { layers, replaced, tokens, config: c, method } = adapter;
  const isTying = savesTied(c) || targetsTied(c, method?.layers?.select(c).targetModules);
  const headRows = tokens.get(architecture.tie?.[0].replace(/\.weight$/, "") ?? "");
  const isApart = headRows !== undefined && tokens.has(path) && tokens.get(path)?.entry !== headRows.entry;
  if (!layers.has(path) && !replaced.has(weight) && !isTying && !isApart) return undefined;
  return [
    `The adapter stands on ${path} of a ${config.modelType} model.`,
    `transformers reads that table through ${readers.join(" and ")}: in Python what stands on it has no effect, until it is merged.`,
    words`leave "${path}" out of ${option("targetModules")} and ${option("modulesToSave")} (and ${option("ensureWeightTying")}); ${option("trainableTokenIndices")} trains rows of it and of the head alike.`,
  ];
}

/**
 * Rows of a table that is trained otherwise too, and those that Python would write into a head of other
 * weights.
 */
function rowsFault<C extends AdapterConfig>(
  adapter: AdapterParts<C>,
  { architecture, config, task }: ModelSpec,
  { linears }: Inventory,
  tie: Tie | undefined,
): Fault | undefined {
  const { tokens, layers, replaced } = adapter;
  const twice = [...tokens].find(
    ([path, { entry }]) =>
      replaced.has(`${path}.weight`) || (layers.has(path) && entry.startsWith(`${path}.`)),
  );
  if (twice !== undefined)
    return [
      `The adapter trains rows of ${twice[0]}, and ${twice[0]} itself.`,
      "one of them would take the other's place.",
      words`leave it out of ${option("trainableTokenIndices")}, or out of ${option("targetModules")} and ${option("modulesToSave")}.`,
    ];
  const biased = [...tokens.keys()].find((path) => linears.get(path)?.bias !== undefined);
  if (biased !== undefined)
    return [
      `The adapter trains rows of ${biased}, which has a bias.`,
      "Python's PEFT 0.21.2 leaves the bias out of such a layer's results.",
      words`train all of it: ${option("modulesToSave", [biased])}.`,
    ];
  const [head, embedding] = architecture.tie ?? [];
  const forced = architecture.embeddingReaders !== undefined && tie === undefined && taskOf(task).generates;
  const path = embedding?.replace(/\.weight$/, "") ?? "";
  const hasHead = tokens.has(head?.replace(/\.weight$/, "") ?? "");
  if (forced && tokens.has(path) && !hasHead)
    return [
      `The adapter trains rows of ${path} of a ${config.modelType} model whose head has weights of its own.`,
      "Python's PEFT 0.21.2 takes such a model for tied: it writes the rows into the head too, which changes the model before any training.",
      "choose rows of the head, or train with LoRA.",
    ];
  return undefined;
}

function tiedFault<C extends AdapterConfig>(
  adapter: AdapterParts<C>,
  { embedding, head, own }: Tie,
  fromFile: boolean,
): Fault | undefined {
  const { config, tokens, replaced } = adapter;
  const method = adapter.method?.layers;
  if (method?.tokensSaved?.copies && tokens.has(embedding.path) && (method.tokens?.(config)?.size ?? 0) > 1)
    return [
      `The adapter names ${embedding.path} and ${head.path}, which is tied to it.`,
      "Python's PEFT 0.21.2 cannot run such an adapter: the head has the embedding's rows by itself.",
      words`${option("targetModules", [embedding.path])}.`,
    ];
  if (config.ensureWeightTying !== true) return undefined;
  const names = `${embedding.path} and ${head.path}`;
  const [rows, headRows] = [tokens.get(embedding.path), tokens.get(head.path)];
  if (rows !== undefined && headRows !== undefined && rows.entry !== headRows.entry)
    return [
      words`${option("ensureWeightTying")} is true, and ${names} train the rows ${rows.ids} and ${headRows.ids}.`,
      "tied modules have the same rows.",
      words`name the same ids, or leave ${option("ensureWeightTying")} out.`,
    ];
  if (savesTied(config) && replaced.has(own) && adapter.layers.has(head.path))
    return [
      words`${option("ensureWeightTying")} is true with ${option("modulesToSave")} ${JSON.stringify(config.modulesToSave)}, and ${head.path} is a target.`,
      "the head is the saved embedding then.",
      words`leave ${head.path} out of ${option("targetModules")}.`,
    ];
  if (fromFile || !targetsTied(config, method?.select(config).targetModules)) return undefined;
  return [
    words`${option("ensureWeightTying")} is true with ${option("targetModules")} on ${names}.`,
    "Python's PEFT 0.21.2 steps such an adapter twice in each step, and merges it twice.",
    words`leave ${option("ensureWeightTying")} out (each has LoRA of its own), or train them whole: ${option("modulesToSave", [embedding.path])}.`,
  ];
}

function tyingWarnings<C extends AdapterConfig>(
  { config, method, tokens }: AdapterParts<C>,
  tie?: Tie,
): Words[] {
  if (config.ensureWeightTying !== true) return [];
  if (tie === undefined)
    return [
      words`${option("ensureWeightTying")} has no effect: the model's embedding and head are two weights.`,
    ];
  const targets = method?.layers?.select(config).targetModules;
  if (savesTied(config) || targetsTied(config, targets) || tokens.size > 0) return [];
  return [
    words`${option("ensureWeightTying")} has no effect: neither ${option("modulesToSave")} nor ${option("targetModules")} name "embed_tokens" or "lm_head".`,
  ];
}
