import type { Dim } from "../../graph/dims.js";
import { axes, lengthAt } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";
import type { TextInputs } from "../model.js";
import { causalBias } from "./attention.js";
import type { Fields } from "./config.js";

const types = ["default", "linear", "dynamic", "yarn", "longrope", "su", "llama3", "proportional"] as const;

/**
 * Rotary position embeddings (2104.09864) as a config describes them, and how they go beyond the context of
 * pretraining.
 */
export type Rope = {
  readonly theta: number;
  /** What cosines and sines are multiplied by. @default 1 */
  readonly scale?: number;
} & (
  | { readonly type: "default" }
  | { readonly type: "linear"; readonly factor: number }
  /** Of all channels, `part` turn, as slowly as if all did. */
  | { readonly type: "proportional"; readonly factor: number; readonly part: number }
  /** The base grows with the longest sequence of a batch, in tokens, once that is longer than `context`. */
  | { readonly type: "dynamic"; readonly factor: number; readonly context: number }
  /** Slow channels are stretched, fast ones are not, between `low` and `high` a part (2309.00071). */
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly ramp: (dim: number) => readonly [number, number];
    }
  /**
   * Each pair of channels is stretched by a factor of its own; another where a sequence is longer than
   * `context` (2402.13753).
   */
  | {
      readonly type: "longrope";
      readonly short: readonly number[];
      readonly long: readonly number[];
      readonly context: number;
    }
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

/**
 * One rope per kind of layer: by their names in transformers 5; in transformers 4 `rope_scaling` is of layers
 * without a window.
 * @param near - base of layers with a window, where the config does not say
 */
export function readRopes(f: Fields, theta: number, near: number): { rope: Rope; windowRope: Rope } {
  const parameters = f.object("rope_parameters");
  const full = parameters?.object("full_attention");
  const sliding = parameters?.object("sliding_attention");
  const base = (fields: Fields | undefined): number | undefined =>
    fields?.has("rope_theta") === true ? fields.number("rope_theta") : undefined;
  return {
    rope: scaledRope(f, full ?? f.object("rope_scaling"), base(full) ?? f.number("rope_theta", theta)),
    windowRope: scaledRope(f, sliding, base(sliding) ?? near),
  };
}

/**
 * `scaling`: the object that says how, in either form.
 * Reference: transformers/modeling_rope_utils.py
 */
export function scaledRope(f: Fields, scaling: Fields | undefined, theta: number): Rope {
  if (scaling === undefined) return { type: "default", theta };
  const type = scaling.choice(scaling.has("rope_type") ? "rope_type" : "type", types, "default");
  if (type === "default") return { type, theta };
  if (type === "linear") return { type, theta, factor: scaling.number("factor") };
  if (type === "proportional")
    return {
      ...{ type, theta, factor: scaling.number("factor", 1) },
      part: scaling.number("partial_rotary_factor", 1),
    };
  if (type === "dynamic")
    return { type, theta, factor: scaling.number("factor"), context: f.count("max_position_embeddings") };
  const known = [f, scaling].find((fields) => fields.has("original_max_position_embeddings"));
  const context = known?.count("original_max_position_embeddings") ?? f.count("max_position_embeddings");
  if (type === "llama3") {
    const factor = scaling.number("factor");
    const lowFactor = scaling.number("low_freq_factor");
    return { type, theta, factor, lowFactor, highFactor: scaling.number("high_freq_factor"), context };
  }
  const stretch = scaling.has("factor")
    ? scaling.number("factor")
    : f.count("max_position_embeddings") / context;
  if (type === "yarn" && !scaling.has("short_factor")) return yarn(scaling, theta, stretch, context);
  const short = scaling.numbers("short_factor"); // Phi 3's first files say "su" or "yarn"
  const long = scaling.numbers("long_factor");
  const usual = stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(context));
  return { type: "longrope", theta, short, long, context, scale: scaling.number("attention_factor", usual) };
}

function yarn(scaling: Fields, theta: number, factor: number, context: number): Rope {
  const strength = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
  const [all, some] = [scaling.number("mscale_all_dim", 0), scaling.number("mscale", 0)];
  const usual = all !== 0 && some !== 0 ? strength(some) / strength(all) : strength(1);
  const [fast, slow] = [scaling.number("beta_fast", 32) || 32, scaling.number("beta_slow", 1) || 1];
  const whole = scaling.flag("truncate", true);
  const ramp = (dim: number): readonly [number, number] => {
    // the channel that turns so often in the context of pretraining
    const at = (turns: number): number =>
      (dim * Math.log(context / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
    const [low, high] = whole ? [Math.floor(at(fast)), Math.ceil(at(slow))] : [at(fast), at(slow)];
    return [Math.max(low, 0), Math.min(high, dim - 1)];
  };
  return { type: "yarn", theta, factor, ramp, scale: scaling.number("attention_factor", usual) };
}

/**
 * Angle per position of each pair of channels, [dim / 2], rounded to f32 at each step as torch does. An odd
 * `dim` takes one channel more, as there. Of ropes that change with a sequence's length: those of short ones.
 * Reference: transformers/modeling_rope_utils.py
 */
export function frequencies(rope: Rope, dim: number): number[] {
  const f32 = Math.fround;
  const [low, high] = rope.type === "yarn" ? rope.ramp(dim) : [0, 0];
  return Array.from({ length: Math.ceil(dim / 2) }, (_, i) => {
    const plain = f32(1 / f32(rope.theta ** f32((2 * i) / dim)));
    if (rope.type === "default" || rope.type === "dynamic") return plain;
    if (rope.type === "linear") return f32(plain / rope.factor);
    if (rope.type === "proportional")
      return i < Math.trunc((rope.part * dim) / 2) ? f32(plain / rope.factor) : 0;
    if (rope.type === "longrope") return stretched(rope.theta, dim, rope.short[i] ?? 1, i);
    if (rope.type === "yarn") {
      const slow = Math.min(Math.max(f32((i - low) / (high - low || 0.001)), 0), 1);
      return f32(f32(stretched(rope.theta, dim, rope.factor, i) * slow) + f32(plain * f32(1 - slow)));
    }
    const turns = rope.context / ((2 * Math.PI) / plain); // in the context of pretraining
    const smooth = (turns - rope.lowFactor) / (rope.highFactor - rope.lowFactor);
    const kept = Math.min(Math.max(smooth, 0), 1);
    return f32(((1 - kept) * plain) / rope.factor + kept * plain);
  });
}

/** 1 / (factor theta^(2i/dim)) */
function stretched(theta: number, dim: number, factor: number, i: number): number {
  const f32 = Math.fround;
  return f32(1 / f32(f32(factor) * f32(theta ** f32((2 * i) / dim))));
}

/** Shared by all layers, [batch, seq, dim / 2] each. */
export type RotaryTables = { cos: Tensor; sin: Tensor };

/** positions [batch, seq] (i64) -> tables */
export function rotaryTables(g: Graph, positions: Tensor, rope: Rope, dim: number): RotaryTables {
  const [batch, seq] = axes(positions.shape, 2);
  const at = g.reshape(g.cast(positions, "f32"), [batch, seq, 1]);
  const angle = g.mul(at, speedsOf(g, at, rope, dim));
  const [cos, sin] = [g.cos(angle), g.sin(angle)];
  const { scale = 1 } = rope;
  return scale === 1 ? { cos, sin } : { cos: g.mul(cos, scale), sin: g.mul(sin, scale) };
}

/**
 * Angles per position, [dim / 2] or [1, 1, dim / 2]: of some ropes they depend on the longest sequence. at:
 * positions, [batch, seq, 1]
 */
function speedsOf(g: Graph, at: Tensor, rope: Rope, dim: number): Tensor {
  const short = frequencies(rope, dim);
  const half = [short.length];
  const plain = g.constant(short, half);
  if (rope.type !== "longrope" && rope.type !== "dynamic") return plain;
  const length = g.add(g.amax(at, [0, 1, 2], true), 1); // [1, 1, 1]
  const isLonger = g.less(rope.context, length);
  if (rope.type === "longrope") {
    const long = short.map((_, i) => stretched(rope.theta, dim, rope.long[i] ?? 1, i));
    return g.where(isLonger, g.constant(long, half), plain);
  }
  // theta (factor length / context - (factor - 1))^(dim / (dim - 2))
  const growth = g.sub(g.mul(g.div(length, rope.context), rope.factor), rope.factor - 1);
  const base = g.mul(g.pow(g.max(growth, 1), dim / (dim - 2)), rope.theta);
  const powers = short.map((_, i) => (2 * i) / dim);
  return g.where(isLonger, g.div(1, g.pow(base, g.constant(powers, half))), plain);
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

/** A number of channels of heads `width` wide, which must be even. */
export function pairs(f: Fields, turned: number, width: number): number {
  if (turned % 2 === 0 && turned >= 2 && turned <= width) return turned;
  f.fault(`rotary positions turn pairs of channels, and these are ${turned} of heads ${width} wide`);
  return 2;
}

/** The same where an odd number takes one channel more, as in transformers. */
export function wholePairs(f: Fields, turned: number, width: number): number {
  if (turned >= 1 && turned + (turned % 2) <= width) return turned;
  f.fault(`rotary positions turn ${turned} channels of heads ${width} wide, in pairs`);
  return 2;
}

/**
 * x [batch, heads, seq, headDim]: each pair (x[i], x[i + dim / 2]) turned by its angle. Where the tables are
 * narrower than a head, its first channels are turned, and the others are left as they are.
 */
export function rotate(g: Graph, x: Tensor, tables: RotaryTables): Tensor {
  const { cos, sin } = tables;
  const [dim, headDim] = [2 * lengthAt(cos.shape, -1), lengthAt(x.shape, -1)];
  if (dim < headDim) {
    const [first, rest] = g.split(x, -1, [dim, headDim - dim]);
    return g.concat([rotate(g, first, tables), rest], -1);
  }
  return g.rotary(x, cos, sin);
}

/**
 * x [batch, heads, seq, headDim]: of as many channels as the tables turn, each pair (x[2i], x[2i + 1]) turned
 * by its angle.
 */
export function rotateNeighbours(g: Graph, x: Tensor, tables: RotaryTables): Tensor {
  const [batch, heads, seq, headDim] = axes(x.shape, 4);
  const half = lengthAt(tables.cos.shape, -1);
  const swap = (x: Tensor, rows: number, columns: number): Tensor => {
    const apart = g.reshape(x, [batch, heads, seq, rows, columns]);
    return g.reshape(g.transpose(apart, [0, 1, 2, 4, 3]), [batch, heads, seq, 2 * half]);
  };
  const turn = (x: Tensor): Tensor => swap(rotate(g, swap(x, half, 2), tables), 2, half);
  if (2 * half === headDim) return turn(x);
  const [first, rest] = g.split(x, -1, [2 * half, lengthAt(x.shape, -1) - 2 * half]);
  return g.concat([turn(first), rest], -1);
}
