import type { Activation } from "../../graph/activations.js";
import { activate } from "../../graph/activations.js";
import { axes, dimAt, lengthAt, mulDims, subDims } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Module, Slots } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { StackOutput, TextInputs } from "../model.js";
import type { Fields } from "./config.js";
import type { FeedForward, Sublayers } from "./decoder.js";
import { decoderStack } from "./decoder.js";
import type { DecoderConfig } from "./decoder_config.js";

/** Mixtures of experts: tokens choose k of them. Sizes of a model whose layers have them. */
export interface ExpertsConfig {
  readonly experts: number;
  /** Experts that a token chooses. */
  readonly chosen: number;
  /** Width inside of an expert. */
  readonly expertInter: number;
  /** What the balance of the experts counts in the loss; undefined: nothing. */
  readonly balance: number | undefined;
}

/** Their fields. `experts`: the name of their number in this model's config.json, of two that are in use. */
export function readExperts(f: Fields, experts: string, inter: string, chosen?: number): ExpertsConfig {
  const known = ["num_local_experts", "num_experts", experts].find((key) => f.has(key)) ?? experts;
  const count = f.size(known);
  const each = f.size("num_experts_per_tok", chosen);
  if (each > count) f.fault(`"num_experts_per_tok" is ${each}, and there are ${count} experts`);
  const isBalanced = f.flag("output_router_logits", false);
  const balance = isBalanced ? f.number("router_aux_loss_coef", 0.001) : undefined;
  return { experts: count, chosen: each, expertInter: f.size(inter), balance };
}

/** The experts that tokens chose, [tokens, k], i64, and how much each counts, [tokens, k]. */
export interface Choice {
  readonly ids: Tensor;
  readonly weights: Tensor;
}

/** The k likeliest experts of each token, by their probabilities, which `isWhole` makes add up to 1. */
export function likeliest(g: Graph, logits: Tensor, k: number, isWhole: boolean): Choice {
  const shares = g.softmax(logits);
  const ids = g.topK(shares, k);
  const weights = g.gatherLast(shares, ids);
  return { ids, weights: isWhole ? g.div(weights, g.sum(weights, -1, true)) : weights };
}

/** The same where probabilities are of the k experts alone. */
export function likeliestOf(g: Graph, logits: Tensor, k: number): Choice {
  const ids = g.topK(logits, k);
  return { ids, weights: g.softmax(g.gatherLast(logits, ids)) };
}

/** A module that tells the experts' logits, [tokens, experts]; no linear layer in Python. */
export function router(w: Module, name: string, x: Tensor, experts: number, bias = false): Tensor {
  return w.g.rows(w.linear(name, x, experts, { bias, isBare: true }));
}

/** Slots that are sorted by expert, and which expert each is of, [slots], i64. */
export interface ExpertSlots extends Slots {
  readonly expert: Tensor;
}

/**
 * What the experts that each token of x [batch, seq, hidden] chose make of it, weighed: in its shape.
 * `expert` sees one row for each choice, [slots, hidden]; rows of an expert lie together.
 */
export function mixture(
  g: Graph,
  x: Tensor,
  experts: number,
  { ids, weights }: Choice,
  expert: (x: Tensor, slots: ExpertSlots) => Tensor,
): Tensor {
  const [tokens, k] = [dimAt(ids.shape, 0), lengthAt(ids.shape, 1)];
  const count = mulDims(tokens, k);
  const chosen = g.reshape(ids, [count]);
  // the order of slots by expert, and of an expert's by token
  const order = g.argsort(g.add(g.mul(chosen, g.size(count, "i64")), g.iota(count)));
  const inverse = g.argsort(order);
  const of = (x: Tensor): Tensor => {
    const width = dimAt(x.shape, 1);
    const each = g.reshape(g.expand(g.unsqueeze(x, 1), [tokens, k, width]), [count, width]);
    return g.moveRows(each, order, inverse);
  };
  const slots = {
    starts: startsOf(g, chosen, experts),
    expert: g.gather(chosen, order),
    of,
    ofSample: (y: Tensor): Tensor => of(g.rows(g.expand(y, [...x.shape.slice(0, -1), 1]))),
  };
  const made = g.moveRows(expert(of(g.rows(x)), slots), inverse, order);
  const width = dimAt(made.shape, 1);
  const weighed = g.mul(g.reshape(made, [tokens, k, width]), g.unsqueeze(weights, -1));
  return g.reshape(g.sum(weighed, 1), [...x.shape.slice(0, -1), width]);
}

/** Where each expert's slots begin: [experts + 1] */
function startsOf(g: Graph, chosen: Tensor, experts: number): Tensor {
  const isOf = g.equal(g.unsqueeze(chosen, -1), g.iota(experts)); // [slots, experts]
  const ends = g.cumsum(g.sum(g.cast(isOf, "i64"), 0), 0);
  return g.pad(ends, 0, 1, 0);
}

/** Experts as gated feed-forward layers, gate and up in one matrix: down(act(gate x) * up x). */
export function gatedExperts(
  w: Module,
  c: { readonly expertInter: number; readonly activation: Activation },
): (x: Tensor, slots: Slots) => Tensor {
  const { g } = w;
  return (x, slots) => {
    const both = w.experts("gate_up_proj", x, 2 * c.expertInter, slots);
    const [gate, up] = g.split(both, -1, [c.expertInter, c.expertInter]);
    const inner = g.mul(activate(g, c.activation, gate), up);
    return w.experts("down_proj", inner, lengthAt(x.shape, -1), slots);
  };
}

/** Layers of experts and their router in transformers 4, as Qwen names them: see LayerRoles. */
export const LAYER_NAMES: Readonly<Record<string, string>> = {
  ...{ gate: "gate.weight", gate_proj: "gate_up_proj", up_proj: "gate_up_proj", down_proj: "down_proj" },
};

/** What experts give, and their router's logits, for the balance of all layers. */
export function routed(x: Tensor, router: Tensor): FeedForward {
  return { x, beside: { router } };
}

/** A decoder's stack with experts in place of feed-forward layers, or of some of them. */
export function expertStack<C extends DecoderConfig & ExpertsConfig>(
  feedForward: Sublayers<C>["feedForward"],
  others: Partial<Sublayers<C>> = {},
): (w: Module, c: C, x: TextInputs) => StackOutput {
  const stack = decoderStack<C>({ ...others, feedForward });
  return (w, c, x) => withBalance(w, c, x.mask, stack(w, c, x));
}

/**
 * Balance of experts over all layers (2101.03961, equations 4 to 6):
 *   experts * sum over e of (choices of e / tokens) (probability of e / tokens)
 * Padding counts nothing. mask: [batch, length] or more in front. Reference: load_balancing_loss_func in
 * transformers/models/mixtral
 */
function withBalance(
  w: Module,
  { experts, chosen, balance }: ExpertsConfig,
  mask: Tensor,
  out: StackOutput,
): StackOutput {
  const { g } = w;
  const logits = (out.beside ?? []).flatMap(({ router }) => (router === undefined ? [] : [router]));
  if (balance === undefined || logits.length === 0) return out;
  const [batch, total] = axes(mask.shape, 2);
  const [, length] = axes(w.unpack(out.hidden).shape, 3);
  const own = g.slice(mask, 1, subDims(total, length), total);
  const real = g.rows(w.pack(g.reshape(g.cast(g.less(0, own), "f32"), [batch, length, 1]))); // [tokens, 1]
  const add = (all: readonly Tensor[]): Tensor => all.reduce((sum, x) => g.add(sum, x));
  const choices = logits.map((x) => {
    const isOf = g.equal(g.unsqueeze(g.topK(g.softmax(x), chosen), -1), g.iota(experts));
    return g.sum(g.mul(g.sum(g.cast(isOf, "f32"), 1), real), 0); // [experts]
  });
  const shares = logits.map((x) => g.sum(g.mul(g.softmax(x), real), 0));
  const tokens = g.mul(g.sum(real), logits.length);
  const product = g.mul(g.div(add(choices), tokens), g.div(add(shares), tokens));
  return { ...out, penalty: g.mul(g.sum(product), balance * experts) };
}
