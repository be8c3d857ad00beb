import { PeftError } from "../errors.js";
import { at, entry } from "../present.js";
import { random, uniform } from "../random.js";
import { withFields } from "./config.js";
import type { Dense } from "./decomposition.js";
import { addTimes } from "./decomposition.js";
import type { LoraConfig } from "./lora_config.js";
import { nearest } from "./lora_factors.js";
import type { MixedConfig, Mixing, MixOptions, MixPart } from "./method.js";

/** A and B of one adapter at a layer. */
interface Pair extends Pick<MixPart, "weight" | "scale"> {
  readonly a: Dense;
  readonly b: Dense;
}

/** Combinations of A with A and B with B, which need one rank; the others go through products B A. */
const isByFactors = (type: string): boolean => type !== "cat" && !type.endsWith("svd");

/**
 * The mixture's config: alpha is its rank, so that its scale is 1. Reference: peft/tuners/lora/model.py
 * add_weighted_adapter
 */
function config(all: readonly MixedConfig<LoraConfig>[], options: MixOptions): LoraConfig {
  const configs = all.map(({ config }) => config);
  if (configs.some((c) => (c.targetParameters ?? []).length > 0))
    throw cannot("changes of experts' stacks", "are no part of a mixture, in Python's PEFT neither");
  const kinds = configs.map(({ useDora, loraBias }) => (useDora ? "DoRA" : loraBias ? "biases" : "plain"));
  if (new Set(kinds).size > 1)
    throw cannot(kinds.join(", "), "are of several kinds, and a mixture is of one");
  const ranks = configs.map((c) => Math.max(c.r, ...Object.values(c.rankPattern)));
  const type = options.combinationType;
  if (isByFactors(type) && new Set(ranks).size > 1)
    throw cannot(`ranks ${ranks.join(", ")}`, `cannot be added number by number, as "${type}" does`);
  const largest = Math.max(...ranks);
  const svdRank = type.endsWith("svd") ? (options.svdRank ?? largest) : largest;
  const r = type === "cat" ? ranks.reduce((n, rank) => n + rank) : svdRank;
  const targets = all.map(({ targetModules }) => targetModules);
  const texts = targets.filter((t) => typeof t === "string");
  const lists = targets.filter((t) => typeof t !== "string");
  if (texts.length > 0 && lists.length > 0)
    throw cannot("a pattern and a list of targets", "cannot be joined");
  const targetModules =
    texts.length > 0 ? texts.map((pattern) => `(${pattern})`).join("|") : [...new Set(lists.flat())];
  return withFields(at(configs, 0), {
    ...{ r, loraAlpha: r, rankPattern: {}, alphaPattern: {}, targetModules, initLoraWeights: true },
  });
}

function cannot(what: string, why: string): PeftError {
  return new PeftError("adapter-config", {
    what: `These adapters cannot be mixed: ${what} ${why}.`,
    why: "a mixture is one LoRA that stands for all of them.",
    fix: 'use combinationType "cat" or "svd", which take any ranks, with plain LoRA adapters.',
  });
}

/** The mixture's tensors at one layer. */
function site(parts: readonly MixPart[], r: number, options: MixOptions): Record<string, Float32Array> {
  const isLinear = at(parts, 0).tensors.has("lora_A.weight");
  const [keyA, keyB] = isLinear
    ? ["lora_A.weight", "lora_B.weight"]
    : ["lora_embedding_A", "lora_embedding_B"];
  const pairs = parts.map(({ tensors, weight, scale }): Pair => {
    return { a: dense(entry(tensors, keyA)), b: dense(entry(tensors, keyB)), weight, scale };
  });
  const { combinationType: type } = options;
  const mixture =
    type === "cat"
      ? joined(pairs, r)
      : isByFactors(type)
        ? byFactors(pairs, options)
        : byProduct(pairs, r, options);
  return { [keyA]: Float32Array.from(mixture.a), [keyB]: Float32Array.from(mixture.b) };
}

function dense({ shape, data }: { shape: readonly number[]; data: Float32Array }): Dense {
  return { rows: at(shape, 0), cols: at(shape, 1), data: Float64Array.from(data) };
}

/** All ranks side by side. */
function joined(pairs: readonly Pair[], r: number): { a: Float64Array; b: Float64Array } {
  const [inDim, outDim] = [at(pairs, 0).a.cols, at(pairs, 0).b.rows];
  const [a, b] = [new Float64Array(r * inDim), new Float64Array(outDim * r)];
  let first = 0;
  for (const pair of pairs) {
    const factor = pair.weight * pair.scale;
    for (const [i, x] of pair.a.data.entries()) a[first * inDim + i] = x * factor;
    const rank = pair.a.rows;
    for (const [i, x] of pair.b.data.entries()) b[Math.floor(i / rank) * r + first + (i % rank)] = x;
    first += rank;
  }
  return { a, b };
}

/** A and B apart, each by the root of weight times scale; A has its sign. */
function byFactors(pairs: readonly Pair[], options: MixOptions): { a: Float64Array; b: Float64Array } {
  const factors = pairs.map(({ weight, scale }) => weight * scale);
  const roots = factors.map((factor) => Math.sqrt(Math.abs(factor)));
  const signed = factors.map((factor) => Math.sqrt(Math.abs(factor)) * (factor >= 0 ? 1 : -1));
  return {
    a: combined(
      pairs.map(({ a }) => a.data),
      signed,
      options,
    ),
    b: combined(
      pairs.map(({ b }) => b.data),
      roots,
      options,
    ),
  };
}

/** Products B A are combined, and the largest singular values kept. */
function byProduct(
  pairs: readonly Pair[],
  r: number,
  options: MixOptions,
): { a: Float64Array; b: Float64Array } {
  const [rows, cols] = [at(pairs, 0).b.rows, at(pairs, 0).a.cols];
  const weights = pairs.map(({ weight }) => weight);
  const data = combined(pairs.map(product), weights, options);
  const { a, b } = nearest({ rows, cols, data }, r);
  if (options.svdClamp !== undefined) clamp([a, b], options.svdClamp);
  return { a, b };
}

/** s B A [out, in] */
function product({ a, b, scale }: Pair): Float64Array {
  const [out, r, inner] = [b.rows, a.rows, a.cols];
  const y = new Float64Array(out * inner);
  for (let i = 0; i < out; i++) {
    const row = y.subarray(i * inner, (i + 1) * inner);
    for (let k = 0; k < r; k++)
      addTimes(row, scale * at(b.data, i * r + k), a.data.subarray(k * inner, (k + 1) * inner));
  }
  return y;
}

/** Bounds numbers by a quantile of all of them. */
function clamp(all: readonly Float64Array[], quantile: number): void {
  const sorted = Float64Array.from(all.flatMap((x) => [...x])).sort();
  const place = quantile * (sorted.length - 1);
  const [low, high] = [at(sorted, Math.floor(place)), at(sorted, Math.ceil(place))];
  const most = low + (high - low) * (place % 1);
  for (const data of all) for (const [i, x] of data.entries()) data[i] = Math.max(-most, Math.min(most, x));
}

/**
 * Tensors of one shape as one: pruned, with or without a vote on signs, and added up. Reference:
 * peft/utils/merge_utils.py
 */
function combined(
  tensors: readonly Float64Array[],
  weights: readonly number[],
  options: MixOptions,
): Float64Array {
  const { combinationType: type, density = 1, seed = 0 } = options;
  const next = random(seed, at(tensors, 0).length);
  const pruned = tensors.map((x) => {
    if (/^(ties|magnitude_prune)/.test(type)) return largest(x, density);
    return type.startsWith("dare") ? someOf(x, density, next) : x;
  });
  return /ties/.test(type) ? elected(pruned, weights, options) : sum(pruned, weights);
}

function sum(tensors: readonly Float64Array[], weights: readonly number[]): Float64Array {
  return at(tensors, 0).map((_, i) => tensors.reduce((total, x, k) => total + at(weights, k) * at(x, i), 0));
}

/** The largest share of the numbers; zeros for the others (2306.01708). */
function largest(x: Float64Array, density: number): Float64Array {
  if (density >= 1) return x;
  const order = Array.from(x.entries()).sort(([, v], [, w]) => Math.abs(w) - Math.abs(v));
  const y = new Float64Array(x.length);
  for (const [i, v] of order.slice(0, Math.trunc(density * x.length))) y[i] = v;
  return y;
}

/** A random share of the numbers, grown so that their mean stays (2311.03099). */
function someOf(x: Float64Array, density: number, next: () => number): Float64Array {
  return density >= 1 ? x : x.map((v) => (uniform(next) < density ? v / density : 0));
}

/** The mean of those that have the sign most have, or that the sum has (TIES, 2306.01708). */
function elected(
  tensors: readonly Float64Array[],
  weights: readonly number[],
  { majoritySignMethod = "total" }: MixOptions,
): Float64Array {
  const vote = majoritySignMethod === "total" ? (v: number): number => v : Math.sign;
  return at(tensors, 0).map((_, i) => {
    const sign = tensors.reduce((total, x) => total + vote(at(x, i)), 0) >= 0 ? 1 : -1;
    let [total, count] = [0, 0];
    for (const [k, x] of tensors.entries())
      if (Math.sign(at(x, i)) === sign) {
        total += at(weights, k) * at(x, i);
        count++;
      }
    return total / Math.max(count, 1);
  });
}

export const loraMixing: Mixing<LoraConfig> = { config, site };
