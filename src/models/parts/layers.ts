import type { KeyValue, Meeting, Module, SublayerSite } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { StackOutput } from "../model.js";
import { withPast } from "./attention.js";

/** One layer: what it makes of x [batch, seq, hidden], and its keys and values including the past, if any. */
export type Layer<S> = (
  w: Module,
  x: Tensor,
  shared: S,
  past: KeyValue | undefined,
  index: number,
  own: Readonly<Record<string, Tensor>>,
) => {
  readonly x: Tensor;
  readonly present?: KeyValue;
  /** What it gives beside its hidden states, if all layers together make something of it. */
  readonly beside?: Readonly<Record<string, Tensor>> | undefined;
};

/** What a layer reads beside x, by its number. */
export interface Reads {
  /** Tensors that it alone reads: `own` of the layer. `beside`: what each layer below gave beside x. */
  readonly own?: (
    layer: number,
    beside: readonly Readonly<Record<string, Tensor>>[],
  ) => Readonly<Record<string, Tensor>>;
  /** The layer whose keys and values are its `past`, whole already; undefined: its own. */
  readonly source?: (layer: number) => number | undefined;
}

/**
 * Writes layers, one after another below `w`, each as a block of the graph. `layers`: how many there are, or
 * their names, of which some may come again where they share weights. `states`: what the first layer reads,
 * and what each makes of it.
 */
export function repeat<S extends Record<string, Tensor>>(
  w: Module,
  layers: number | readonly string[],
  x: Tensor,
  past: readonly KeyValue[] | undefined,
  shared: S,
  layer: Layer<S>,
  reads: Reads = {},
): StackOutput & { readonly states: readonly Tensor[] } {
  const present: KeyValue[] = [];
  const beside: Readonly<Record<string, Tensor>>[] = [];
  let hidden = w.trace.embedded(x, w.layout);
  const states = [hidden];
  const names = typeof layers === "number" ? Array.from({ length: layers }, (_, i) => i) : layers;
  for (const [i, name] of names.entries()) {
    const at = w.at(name);
    const inputs: BlockInputs = {
      ...reads.own?.(i, beside),
      x: hidden,
      ...read(past, present, i, reads.source?.(i)),
    };
    const out: BlockInputs = w.g.block(
      at.path,
      inputs,
      shared,
      ({ x, k, v, place, nowK, nowV, ...own }, s) => {
        const given = k && v && { k, v, ...(place && { place }) };
        const now = nowK && nowV && { k: nowK, v: nowV };
        const made = layer(at, x, s, now ? withPast(w.g, now, given) : given, i, own);
        const kept = made.present?.parts?.now ?? made.present;
        return { ...made.beside, x: made.x, ...(kept && { k: kept.k, v: kept.v }) };
      },
    );
    const { x: next, k, v, ...more } = out;
    hidden = next;
    states.push(next);
    if (k !== undefined && v !== undefined) present.push({ k, v });
    beside.push(more);
  }
  return { hidden, present, beside, states };
}

type BlockInputs = {
  x: Tensor;
  k?: Tensor;
  v?: Tensor;
  place?: Tensor;
  nowK?: Tensor;
  nowV?: Tensor;
  [beside: string]: Tensor;
};

/**
 * Keys and values that layer `i` reads: its own past, or all of an earlier layer's; where pasts have room,
 * that layer's past and the token that it added.
 */
function read(
  past: readonly KeyValue[] | undefined,
  present: readonly KeyValue[],
  i: number,
  source: number | undefined,
): Pick<BlockInputs, "k" | "v" | "place" | "nowK" | "nowV"> {
  const own = past?.[source ?? i];
  const made = source === undefined ? undefined : present[source];
  if (made === undefined) return own ?? {};
  return own?.place === undefined ? made : { ...own, nowK: made.k, nowV: made.v };
}

type Does = SublayerSite["does"];

/** Modules of a layer that bottleneck adapters are in, by their names in the library "adapters". */
const PLACES: Readonly<Record<Does, string>> = {
  attention: "attention_adapters",
  crossAttention: "cross_attention_adapters",
  feedForward: "output_adapters",
};

/** Module.sublayer in a layer `w` that has no module of its own around the sublayer and its norm. */
export function meet(w: Module, does: Does, h: Tensor, x: Tensor, options?: Partial<Meeting>): Tensor {
  return w.at(PLACES[does]).sublayer(does, h, x, options);
}

/** (attended + y) + x: attention and feed-forward side by side, which share a residual. */
export function meetBoth(w: Module, x: Tensor, attended: Tensor, y: Tensor): Tensor {
  const a = meet(w, "attention", attended, x, { sum: (a) => a });
  return meet(w, "feedForward", y, x, { sum: (y) => w.g.add(w.g.add(a, y), x) });
}

/**
 * y, or in training with probability p what the layer read, x: one draw for all rows of a batch.
 * Reference: the layerdrop of transformers/models/bart
 */
export function leaveOut(w: Module, x: Tensor, y: Tensor, p: number): Tensor {
  if (p === 0) return y;
  const all = w.g.constant([1], [1, 1, 1]);
  const kept = w.same.dropout("layerdrop", all, p); // 0 or 1 / (1 - p)
  return kept === all ? y : w.g.where(w.g.less(0, kept), y, x);
}
