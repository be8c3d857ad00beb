import type { AdapterDraft } from "../adapters/draft.js";
import { PeftError } from "../errors.js";
import type { AdapterConfig, LayerMethod } from "../methods/method.js";
import { entry } from "../present.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { tieOf } from "../weights/tie.js";
import { option, words } from "../words.js";
import { named } from "./targets.js";

/** A table whose rows tokens have: an embedding, or a head over the vocabulary. */
interface Table {
  readonly path: string;
  readonly rows: number;
  readonly dim: number;
}

function tablesOf({ embeddings, linears }: Inventory, vocabulary: number): Table[] {
  const heads = [...linears.values()].filter((l) => l.outDim === vocabulary && !l.transposed);
  return [
    ...[...embeddings.values()].map(({ path, vocab, dim }) => ({ path, rows: vocab, dim })),
    ...heads.map(({ path, outDim, inDim }) => ({ path, rows: outDim, dim: inDim })),
  ];
}

/**
 * Rows that train in place of the base's. A head that is tied to their embedding has the same ones, unless it
 * is given others. Reference: peft/utils/other.py, set_additional_trainable_modules;
 * peft/tuners/trainable_tokens/model.py
 */
export function addTrainedRows<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  layers: LayerMethod<C>,
  spec: ModelSpec,
  inventory: Inventory,
): void {
  const { key: ending, copies } = layers.tokensSaved ?? {
    key: "token_adapter.trainable_tokens_delta",
    copies: false,
  };
  const tables = tablesOf(inventory, spec.config.vocabSize);
  const tie = tieOf(inventory);
  const chosen = new Map<Table, readonly number[]>();
  for (const [module, ids] of layers.tokens?.(draft.config) ?? [])
    chosen.set(tableOf(tables, module, ids), ids);
  const source = [...chosen.keys()].find(({ path }) => path === tie?.embedding.path);
  const head = tables.find(({ path }) => path === tie?.head.path);
  const follows = source !== undefined && head !== undefined && sameIds(chosen, source, head);
  if (follows) chosen.delete(head);
  for (const [{ path, dim }, ids] of chosen) {
    const key = `${path}.${ending}`;
    draft.tokens.set(path, { ids, entry: key });
    draft.add({ key, savedKey: `base_model.model.${key}`, shape: [ids.length, dim] });
  }
  if (source === undefined) return;
  const rows = entry(draft.tokens, source.path);
  if (follows) draft.tokens.set(head.path, rows);
  if (!copies) return;
  const beside = source.path.slice(0, source.path.lastIndexOf(".") + 1);
  const readers = (spec.architecture.embeddingReaders ?? []).map((name) => beside + name);
  const tied = [...(follows ? [head.path] : []), ...readers];
  for (const path of tied)
    draft.addCopy(`${path}.${ending}`, `base_model.model.${path}.${ending}`, rows.entry);
}

function sameIds(chosen: ReadonlyMap<Table, readonly number[]>, source: Table, head: Table): boolean {
  const own = chosen.get(head);
  return own === undefined || `${own}` === `${chosen.get(source)}`;
}

function tableOf(tables: readonly Table[], module: string | undefined, ids: readonly number[]): Table {
  const table = tables.find(({ path }) => module === undefined || named(path, module));
  const beyond = table === undefined ? [] : ids.filter((id) => id < 0 || id >= table.rows);
  if (table !== undefined && beyond.length === 0) return table;
  throw new PeftError("adapter-config", {
    what: words`${option("trainableTokenIndices")} names ${table === undefined ? `the module "${module}"` : `the ids ${beyond}`}.`,
    why:
      table === undefined
        ? `the model's embeddings and heads are ${tables.map(({ path }) => path).join(", ")}.`
        : `${table.path} has ${table.rows} rows.`,
    fix: "name an embedding or a head that exists, and ids below its size.",
  });
}
