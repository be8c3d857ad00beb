import type { Dim } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { causalBias } from "./attention.js";
import type { Fields } from "./config.js";
import type { TextInputs } from "./model.js";

const types = ["default", "linear", "llama3"] as const;

/** Rotary position embeddings (2104.09864) as a config describes them. */
export type Rope = { readonly theta: number } & (
  | { readonly type: "default" }
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFactor: number;
      readonly highFactor: number;
      /** Context length of pretraining, in tokens. */
      readonly context: number;
    }
);

/** Reads `rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4). */
export function readRope(f: Fields, defaultTheta = 10000): Rope {
  const parameters = f.object("rope_parameters");
  const scaling = parameters ?? f.object("rope_scaling");
  const theta = (parameters?.has("rope_theta") ? parameters : f).number("rope_theta", defaultTheta);
  return scaledRope(f, scaling, theta);
}

/** `scaling`: the object that says how, in either form. */
export function scaledRope(f: Fields, scaling: Fields | undefined, theta: number): Rope {
  if (scaling === undefined) return { type: "default", theta };
  const type = scaling.choice(scaling.has("rope_type") ? "rope_type" : "type", types, "default");
  if (type === "default") return { type, theta };
  const factor = scaling.number("factor");
  if (type === "linear") return { type, theta, factor };
  const lowFactor = scaling.number("low_freq_factor");
  const highFactor = scaling.number("high_freq_factor");
  const known = scaling.has("original_max_position_embeddings");
  const context = known
    ? scaling.size("original_max_position_embeddings")
    : f.size("max_position_embeddings");
  return { type, theta, factor, lowFactor, highFactor, context };
}

/**
 * Angle per position of each pair of channels, [dim / 2], rounded to f32 at each step as torch does. An odd `dim` takes one channel
 * more, as there.
 * Reference: transformers/modeling_rope_utils.py
 */
export function frequencies(rope: Rope, dim: number): number[] {
  const f32 = Math.fround;
  return Array.from({ length: Math.ceil(dim / 2) }, (_, i) => {
    const plain = f32(1 / f32(rope.theta ** f32((2 * i) / dim)));
    if (rope.type === "default") return plain;
    if (rope.type === "linear") return f32(plain / rope.factor);
    const turns = rope.context / ((2 * Math.PI) / plain); // in the context of pretraining
    const smooth = (turns - rope.lowFactor) / (rope.highFactor - rope.lowFactor);
    const kept = Math.min(Math.max(smooth, 0), 1);
    return f32(((1 - kept) * plain) / rope.factor + kept * plain);
  });
}

/** Shared by all layers, [batch, seq, dim / 2] each. */
export type RotaryTables = { cos: Tensor; sin: Tensor };

/** positions [batch, seq] (i64) -> tables */
export function rotaryTables(g: Graph, positions: Tensor, rope: Rope, dim: number): RotaryTables {
  const [batch, seq] = positions.shape as [Dim, Dim];
  const at = g.reshape(g.cast(positions, "f32"), [batch, seq, 1]);
  const speeds = frequencies(rope, dim);
  const angle = g.mul(at, g.constant(speeds, [speeds.length]));
  return { cos: g.cos(angle), sin: g.sin(angle) };
}

/** What the layers of a causal stack with rotary positions share. */
export type CausalRotary = RotaryTables & { bias: Tensor };

/** Of an input `length` long, virtual tokens included. `dim`: channels of a head that positions turn. */
export function causalRotary(g: Graph, x: TextInputs, length: Dim, rope: Rope, dim: number): CausalRotary {
  return { bias: causalBias(g, x.mask, length), ...rotaryTables(g, x.positions, rope, dim) };
}

/** How many channels of a head positions turn, where the config names their part of all under `key`. */
export function readTurned(f: Fields, headDim: number, key: string, fallback: number): number {
  const parameters = f.object("rope_parameters");
  const inside = parameters?.has("partial_rotary_factor") === true;
  const part = inside ? parameters.number("partial_rotary_factor") : f.number(key, fallback);
  return Math.trunc(headDim * part);
}

/** A number of channels, which must be even. */
export function pairs(f: Fields, turned: number): number {
  if (turned % 2 !== 0 || turned < 2)
    f.fault(`rotary positions turn pairs of channels, and these are ${turned}`);
  return turned;
}

/**
 * x [batch, heads, seq, headDim]: each pair (x[i], x[i + dim / 2]) turned by its angle. Where the tables are narrower than a
 * head, its first channels are turned, and the others are left as they are.
 */
export function rotate(g: Graph, x: Tensor, tables: RotaryTables): Tensor {
  const { cos, sin } = tables;
  const [half, headDim] = [cos, x].map((y) => y.shape.at(-1)) as [number, number];
  const dim = 2 * half;
  if (dim < headDim) {
    const [first, rest] = g.split(x, -1, [dim, headDim - dim]) as [Tensor, Tensor];
    return g.concat([rotate(g, first, tables), rest], -1);
  }
  return g.rotary(x, cos, sin);
}
