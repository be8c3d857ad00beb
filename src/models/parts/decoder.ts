import { dimAt } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { KeyValue, Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { StackOutput, TextInputs } from "../model.js";
import { causalBias, paddingBias, windowBias } from "./attention.js";
import type { DecoderShared } from "./decoder_attention.js";
import { decoderAttention } from "./decoder_attention.js";
import type { Around, DecoderConfig } from "./decoder_config.js";
import { decoderFeedForward } from "./decoder_feed_forward.js";
import type { Layer } from "./layers.js";
import { meet, meetBoth, repeat } from "./layers.js";
import { norm } from "./norms.js";
import { rotaryTables } from "./rotary.js";

/** What of a layer may be written otherwise. `layer` is its place. */
export interface Sublayers<C> {
  /** x [batch, seq, hidden] -> what attention gives, and its keys and values including the past. */
  readonly attention: (
    layer: Module,
    c: C,
    x: Tensor,
    shared: DecoderShared,
    past: KeyValue | undefined,
    index: number,
  ) => { x: Tensor; present: KeyValue };
  readonly feedForward: (layer: Module, c: C, x: Tensor, index: number) => Tensor | FeedForward;
  /** What its layers share beside masks and tables. */
  readonly shared: (g: Graph, c: C, x: TextInputs) => Partial<DecoderShared>;
}

/** What a feed-forward layer gives, with what all layers together make something of (a router's logits). */
export type FeedForward = Pick<ReturnType<Layer<DecoderShared>>, "x" | "beside">;

/** The stack of a decoder of Llama's kind. */
export function decoderStack<C extends DecoderConfig>(others: Partial<Sublayers<C>> = {}) {
  const sublayers = {
    ...{ attention: decoderAttention, feedForward: decoderFeedForward, shared: () => ({}) },
    ...others,
  };
  /** ids -> [batch, virtual + seq, hidden] */
  return (w: Module, c: C, x: TextInputs): StackOutput => {
    const { g } = w;
    const words = w.embedding("embed_tokens", x.ids, c.vocabSize, c.hiddenSize);
    const embedded = scale(g, w.trace.prepend(scale(g, words, c.embeddingScale)), c.inputScale);
    const dropped = w.dropout("embed_dropout", w.pack(embedded), c.embeddingDropout);
    const shared = { ...sharedOf(g, c, x), ...sublayers.shared(g, c, x) };
    const at = w.at("layers");
    const out = repeat(at, c.layers, dropped, x.past, shared, layerOf(c, sublayers));
    return { ...out, hidden: norm(w, c.norm, c.names.last, out.hidden, c.eps) };
  };
}

/** What the layers of a stack share. */
export function sharedOf(g: Graph, c: DecoderConfig, x: TextInputs): DecoderShared {
  const length = dimAt(x.positions.shape, 1);
  const full = c.bidirectional ? paddingBias(g, x.mask) : causalBias(g, x.mask, length);
  const windowed = (window: number): Tensor =>
    c.bidirectional ? windowBias(g, x.mask, length, window - 1) : causalBias(g, x.mask, length, window);
  return {
    full,
    near: c.window === undefined ? full : windowed(c.window),
    ...rotaryTables(g, x.positions, c.rope, c.turned),
    ...nearTables(g, c, x.positions),
    ...growthOf(g, c, x.positions),
  };
}

function nearTables(g: Graph, c: DecoderConfig, positions: Tensor): { nearCos?: Tensor; nearSin?: Tensor } {
  if (c.windowRope === undefined) return {};
  const { cos, sin } = rotaryTables(g, positions, c.windowRope, c.turned);
  return { nearCos: cos, nearSin: sin };
}

/** 1 + beta log(1 + floor(position / context)): positions [batch, seq] (i64) -> [batch, 1, seq, 1] */
function growthOf(g: Graph, c: DecoderConfig, positions: Tensor): { growth?: Tensor } {
  if (c.queryGrowth === undefined) return {};
  const { beta, context } = c.queryGrowth;
  const times = g.cast(g.div(positions, g.scalar(context, "i64")), "f32");
  const growth = g.add(g.mul(g.log(g.add(times, 1)), beta), 1);
  return { growth: g.unsqueeze(g.unsqueeze(growth, 1), 3) };
}

function layerOf<C extends DecoderConfig>(
  c: C,
  { attention, feedForward }: Pick<Sublayers<C>, "attention" | "feedForward">,
): Layer<DecoderShared> {
  return (w, x, shared, past, i) => {
    const { norms } = c;
    const read = before(w, c, norms.attention, x);
    const attended = attention(w, c, read, shared, past, i);
    const a = after(w, c, norms.attention, attended.x);
    if (c.parallel) {
      const { x: made, beside } = whole(feedForward(w, c, read, i));
      const y = after(w, c, norms.feedForward, made);
      return { x: meetBoth(w, x, a, y), present: attended.present, beside };
    }
    const h = meet(w, "attention", a, x);
    const { x: made, beside } = whole(feedForward(w, c, before(w, c, norms.feedForward, h), i));
    const y = after(w, c, norms.feedForward, made);
    return { x: meet(w, "feedForward", y, h), present: attended.present, beside };
  };
}

function whole(made: Tensor | FeedForward): FeedForward {
  return "op" in made ? { x: made } : made;
}

function before(w: Module, c: DecoderConfig, { before }: Around, x: Tensor): Tensor {
  return before === undefined ? x : norm(w, c.norm, before, x, c.eps);
}

function after(w: Module, c: DecoderConfig, { after }: Around, x: Tensor): Tensor {
  const normed = after === undefined ? x : norm(w, c.norm, after, x, c.eps);
  return scale(w.g, normed, c.residualScale);
}

function scale(g: Graph, x: Tensor, by: number): Tensor {
  return by === 1 ? x : g.mul(x, by);
}
