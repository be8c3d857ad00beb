import { dimAt } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { CacheShape, KeyValue, Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import { at } from "../../present.js";
import type { TextInputs } from "../model.js";
import { attend, causalBias, splitHeads, withPast } from "./attention.js";
import type { Fields } from "./config.js";
import type { DecoderConfig } from "./decoder_config.js";
import { norm } from "./norms.js";
import type { RotaryTables } from "./rotary.js";
import { rotaryTables, rotate } from "./rotary.js";

/** Sizes of one layer. */
export interface LayerSizes {
  readonly kvHeads: number;
  readonly headDim: number;
  readonly inter: number;
}

/** A decoder of whose layers the last ones read keys and values of others. */
export interface SharedKvConfig extends DecoderConfig {
  readonly sizes: readonly LayerSizes[];
  /** The layer whose keys and values each layer reads; undefined: its own. */
  readonly sources: readonly (number | undefined)[];
  /** Layers whose values are their keys, before norms and positions. */
  readonly valuesAreKeys: readonly boolean[];
}

/**
 * Layers from the end on, as many as `num_kv_shared_layers` says, read what the last layer before them made
 * that has a window, or none, as they have.
 */
export function readSources(f: Fields, windowed: readonly boolean[]): (number | undefined)[] {
  const shared = f.has("num_kv_shared_layers") ? f.number("num_kv_shared_layers") : 0;
  const first = windowed.length - shared;
  return windowed.map((isNear, i) => {
    if (i < first) return undefined;
    const source = windowed.lastIndexOf(isNear, first - 1);
    if (first < 1 || source < 0) {
      f.fault(`"num_kv_shared_layers" is ${shared}, and no layer before those makes what layer ${i} reads`);
      return undefined;
    }
    return source;
  });
}

/** What generation caches of such a model. */
export function cacheOf(c: Pick<SharedKvConfig, "sizes" | "sources">): CacheShape {
  const each = c.sizes.filter((_, i) => c.sources[i] === undefined);
  const { kvHeads, headDim } = at(each, 0);
  const isUniform = each.every((x) => x.kvHeads === kvHeads && x.headDim === headDim);
  return { layers: each.length, kvHeads, headDim, ...(!isUniform && { each }) };
}

export type SharedKv = RotaryTables & { full: Tensor; near: Tensor; nearCos: Tensor; nearSin: Tensor };

/** Masks and tables of layers with and without a window. */
export function sharedTables(g: Graph, c: SharedKvConfig, x: TextInputs, embedded: Tensor): SharedKv {
  const length = dimAt(embedded.shape, 1);
  const dimOf = (isNear: boolean): number => c.sizes[c.windowed.indexOf(isNear)]?.headDim ?? c.headDim;
  const near = rotaryTables(g, x.positions, c.windowRope ?? c.rope, dimOf(true));
  return {
    full: causalBias(g, x.mask, length),
    near: causalBias(g, x.mask, length, c.window),
    ...rotaryTables(g, x.positions, c.rope, dimOf(false)),
    ...{ nearCos: near.cos, nearSin: near.sin },
  };
}

/** x [batch, seq, hidden] -> what attention gives. `past`: of a layer that reads another's, all of it. */
export function sharedAttention(
  layer: Module,
  c: SharedKvConfig,
  x: Tensor,
  s: SharedKv,
  past: KeyValue | undefined,
  index: number,
): { x: Tensor; present?: KeyValue } {
  const w = layer.at("self_attn");
  const { kvHeads, headDim } = at(c.sizes, index);
  const isNear = c.windowed[index] === true;
  const tables = isNear ? { cos: s.nearCos, sin: s.nearSin } : { cos: s.cos, sin: s.sin };
  const project = (name: string, heads: number): Tensor =>
    splitHeads(w, w.linear(name, x, heads * headDim, { bias: c.qkvBias }), heads, headDim);
  const turned = (name: "q" | "k", x: Tensor): Tensor =>
    rotate(w.g, norm(w.padded, "rms", `${name}_norm`, x, c.eps), tables);
  const q = turned("q", project("q_proj", c.heads));
  const own = (): KeyValue => {
    const keys = project("k_proj", kvHeads);
    const values = c.valuesAreKeys[index] === true ? keys : project("v_proj", kvHeads);
    return { k: turned("k", keys), v: norm(w.padded, "bareRms", "v_norm", values, c.eps) };
  };
  const isOwn = c.sources[index] === undefined;
  const kv = isOwn || past === undefined ? withPast(w.g, own(), past) : past;
  const options = { scale: 1, bias: isNear ? s.near : s.full, dropout: c.attentionDropout };
  const mixed = attend(w, q, kv, options);
  const y = w.output(w.linear("o_proj", mixed, c.hiddenSize, { bias: c.outBias }));
  return { x: y, ...(isOwn && { present: kv }) };
}
