import type { Graph } from "../../graph/graph.js";
import type { KeyValue, Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import { attend, splitHeads, withPast } from "./attention.js";
import type { DecoderConfig, HeadNorm } from "./decoder_config.js";
import { norm, unbiased } from "./norms.js";
import type { RotaryTables } from "./rotary.js";
import { rotate, rotateNeighbours } from "./rotary.js";

/** Masks and tables of all layers; those with a window read `near` ones where there are such. */
export type DecoderShared = RotaryTables & {
  full: Tensor;
  near: Tensor;
  nearCos?: Tensor;
  nearSin?: Tensor;
  /** What queries are multiplied by, [batch, 1, seq, 1]. */
  growth?: Tensor;
  /** 1 at tokens that are read now, 0 at padding, [batch, seq, 1]: for layers that see neighbours. */
  isToken?: Tensor;
};

type Name = "q" | "k" | "v";

/** x [batch, seq, hidden] -> what attention gives, in its shape */
export function decoderAttention(
  layer: Module,
  c: DecoderConfig,
  x: Tensor,
  { full, near, cos, sin, nearCos = cos, nearSin = sin, growth }: DecoderShared,
  past: KeyValue | undefined,
  index: number,
): { x: Tensor; present: KeyValue } {
  const w = layer.at("self_attn");
  const isNear = c.windowed[index] === true;
  const tables = isNear ? { cos: nearCos, sin: nearSin } : { cos, sin };
  const turning = c.unturned[index] === true ? undefined : tables;
  const heads = c.fusedQkv ? fusedHeads(w, c, x) : undefined;
  const split = (name: Name): Tensor => heads?.[name] ?? project(w, c, name, x);
  const turned = position(w, c, "q", split("q"), turning);
  const q = growth === undefined ? turned : w.g.mul(turned, growth);
  const present = withPast(w.g, { k: position(w, c, "k", split("k"), turning), v: split("v") }, past);
  const mixed = attend(w, q, present, {
    scale: c.scoreScale,
    cap: c.scoreCap,
    bias: isNear ? near : full,
    dropout: c.attentionDropout,
    sinks: c.sinks ? w.get("sinks", [c.heads]) : undefined,
    beside: w.attention(c.hiddenSize, q, (rows) => ({
      k: project(w.same, c, "k", rows),
      v: project(w.same, c, "v", rows),
    })),
  });
  const y = w.linear(c.names.out, mixed, c.hiddenSize, { bias: c.outBias });
  return { x: w.output(w.dropout("residual_dropout", y, c.attendedDropout)), present };
}

/** x [batch, seq, hidden] -> [batch, heads, seq, headDim], without positions */
function project(w: Module, c: DecoderConfig, name: Name, x: Tensor): Tensor {
  const count = name === "q" ? c.heads : c.kvHeads;
  const y = w.linear(`${name}_proj`, x, count * c.headDim, { bias: c.qkvBias });
  const normed =
    name === "v" || c.headNorm?.over !== "width"
      ? y
      : norm(w, c.headNorm.kind, c.headNorm.names[name], y, c.eps);
  return splitHeads(w, clamp(w.g, normed, c.clip), count, c.headDim);
}

/** x within -limit to limit */
export function clamp(g: Graph, x: Tensor, limit: number | undefined): Tensor {
  return limit === undefined ? x : g.max(g.min(x, limit), -limit);
}

/** q, k, v side by side in one layer: [batch, heads, seq, headDim] each, without positions */
function fusedHeads(w: Module, c: DecoderConfig, x: Tensor): Record<Name, Tensor> {
  const [width, kvWidth] = [c.heads * c.headDim, c.kvHeads * c.headDim];
  const fused = w.linear("qkv_proj", x, width + 2 * kvWidth, { bias: c.qkvBias });
  const [q, k, v] = w.g.split(fused, -1, [width, kvWidth, kvWidth]);
  const split = (part: Tensor, count: number): Tensor => splitHeads(w, part, count, c.headDim);
  return { q: split(q, c.heads), k: split(k, c.kvHeads), v: split(v, c.kvHeads) };
}

/** x [batch, heads, seq, headDim] normed and turned, in the model's order. `tables`: none, not turned. */
function position(
  w: Module,
  c: DecoderConfig,
  name: "q" | "k",
  x: Tensor,
  tables: RotaryTables | undefined,
): Tensor {
  const { headNorm } = c;
  const byHead = headNorm?.over === "width" ? undefined : headNorm;
  const early = byHead?.isLate === false ? normHeads(w.padded, c, byHead, name, x) : x;
  const turn = c.neighbours ? rotateNeighbours : rotate;
  const turned = tables === undefined ? early : turn(w.g, early, tables);
  return byHead?.isLate === true ? normHeads(w.padded, c, byHead, name, turned) : turned;
}

/** x [batch, heads, seq, headDim] */
function normHeads(
  w: Module,
  c: DecoderConfig,
  { over, kind, names }: HeadNorm,
  name: "q" | "k",
  x: Tensor,
): Tensor {
  if (over === "head") return norm(w, kind, names[name], x, c.eps);
  const { g } = w;
  const at = w.at(names[name]);
  const count = name === "q" ? c.heads : c.kvHeads;
  const one = (_: unknown, i: number): Tensor => at.get(`norms.${i}.weight`, [c.headDim]);
  const scale =
    over === "heads" ? at.get("weight", [count, c.headDim]) : g.concat(Array.from({ length: count }, one), 0);
  const normed = unbiased(g, x, undefined, c.eps);
  return at.output(g.mul(normed, g.reshape(scale, [count, 1, c.headDim])));
}
