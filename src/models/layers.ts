import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { StackOutput } from "./model.js";

/** One layer: what it makes of x [batch, seq, hidden], and its keys and values including the past, if any. */
export type Layer<S> = (
  w: Module,
  x: Tensor,
  shared: S,
  past: KeyValue | undefined,
  index: number,
) => { readonly x: Tensor; readonly present?: KeyValue };

/** Writes `count` layers, one after another below `w`, each as a block of the graph. */
export function repeat<S extends Record<string, Tensor>>(
  w: Module,
  count: number,
  x: Tensor,
  past: readonly KeyValue[] | undefined,
  shared: S,
  layer: Layer<S>,
): StackOutput {
  const present: KeyValue[] = [];
  let hidden = x;
  for (let i = 0; i < count; i++) {
    const at = w.at(i);
    const given = past?.[i];
    const inputs: BlockInputs = given === undefined ? { x: hidden } : { x: hidden, k: given.k, v: given.v };
    const out: BlockInputs = w.g.block(at.path, inputs, shared, ({ x, k, v }, s) => {
      const made = layer(at, x, s, k === undefined || v === undefined ? undefined : { k, v }, i);
      return { x: made.x, ...made.present };
    });
    hidden = out.x;
    if (out.k !== undefined && out.v !== undefined) present.push({ k: out.k, v: out.v });
  }
  return { hidden, present };
}

type BlockInputs = { x: Tensor; k?: Tensor; v?: Tensor };
