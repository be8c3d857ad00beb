import { dimAt } from "../graph/dims.js";
import { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { isOp, mapInputs } from "../graph/ops.js";

/** Products over an inner dimension up to this one (an adapter's rank) are cheap. */
const NARROW = 16;

/** Gradients that read results of the forward pass as inputs `r0`, `r1`, ... of their own. */
export interface WithResiduals {
  readonly outputs: Readonly<Record<string, Tensor>>;
  /** What the forward pass must give, in that order. */
  readonly residuals: readonly Tensor[];
}

/**
 * Splits gradients from the forward pass that they were written after: nodes from `first` on are the
 * gradients' own. Results of linear layers and dropout's masks are kept; what is cheap (norms, activations,
 * attention, which grows with the square of the length) is computed again from them. Where comparisons are
 * all that is needed of a layer's result (ReLU), these are kept in place of it.
 */
export function withResiduals(outputs: Readonly<Record<string, Tensor>>, first: number): WithResiduals {
  const isOwn = (x: Tensor): boolean => x.id < first;
  const readsProduct = productReader();
  const isForward = (x: Tensor): boolean => isOwn(x) || isOp(x, "constant");
  const isComparison = (x: Tensor): boolean =>
    x.dtype === "bool" && x.inputs.every(isForward) && readsProduct(x);
  const compared = split(outputs, (x) => isComparison(x) || (isOwn(x) && isKept(x)));
  if (!compared.residuals.some(isComparison)) return compared;
  const plain = split(outputs, (x) => isOwn(x) && isKept(x));
  const products = ({ residuals }: WithResiduals): number =>
    residuals.filter((x) => isOp(x, "linear")).length;
  return products(compared) < products(plain) ? compared : plain;
}

function split(outputs: Readonly<Record<string, Tensor>>, isResidual: (x: Tensor) => boolean): WithResiduals {
  const g = new Graph();
  const copies = new Map<number, Tensor>();
  const residuals: Tensor[] = [];
  const copy = (x: Tensor): Tensor => {
    const known = copies.get(x.id);
    if (known !== undefined) return known;
    const made = isResidual(x) ? residual(x) : g.add_(x.op, x.attrs, mapInputs(x.inputs, copy));
    copies.set(x.id, made);
    return made;
  };
  const residual = (x: Tensor): Tensor => g.input(`r${residuals.push(x) - 1}`, x.shape, x.dtype);
  const copied = Object.entries(outputs).map(([name, y]) => [name, copy(y)] as const);
  return { outputs: Object.fromEntries(copied), residuals };
}

/**
 * Whether it costs more to compute again than to keep. Of random numbers, only what was kept of them is
 * needed: a byte an element.
 */
function isKept(x: Tensor): boolean {
  if (x.dtype === "bool") return x.inputs.some((y) => isOp(y, "random") || (y.dtype === "bool" && isKept(y)));
  if (!isOp(x, "linear")) return isOp(x, "random");
  const inner = dimAt(x.inputs[0].shape, -1);
  return typeof inner === "number" && inner > NARROW;
}

/** Tells whether a linear layer's result is among what a tensor is computed from by cheap means. */
function productReader(): (x: Tensor) => boolean {
  const known = new Map<number, boolean>();
  const reads = (x: Tensor): boolean => {
    const answer = known.get(x.id) ?? (isKept(x) ? isOp(x, "linear") : x.inputs.some(reads));
    known.set(x.id, answer);
    return answer;
  };
  return reads;
}
