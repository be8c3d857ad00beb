import { internal } from "../errors.js";
import { at } from "../present.js";
import type { Segment } from "./cut.js";
import type { Dim } from "./dims.js";
import { dimNames, isLocalDim, renameDim } from "./dims.js";
import { Graph } from "./graph.js";
import { opRows } from "./op_rows.js";
import type { OpName, Ops, Tensor } from "./ops.js";
import { isOp, mapInputs } from "./ops.js";

/**
 * A segment as a graph of its own. Its names are its own where it is a block, so that blocks of one kind are
 * one graph.
 */
export interface Piece {
  readonly g: Graph;
  /** What it reads of other segments, as inputs of its own; by the tensor of the whole graph. */
  readonly given: ReadonlyMap<Tensor, Tensor<"input">>;
  /** Inputs of the whole graph that it reads, by their names there. */
  readonly inputs: ReadonlyMap<string, Tensor<"input">>;
  /** Its names of weights, by the whole graph's. */
  readonly weights: ReadonlyMap<string, string>;
  /** Numbers that differ between blocks of one kind, by the names of the inputs that stand for them. */
  readonly numbers: ReadonlyMap<string, number>;
  /** Its names of dimensions that adapters' tensors tell, and no other inputs need to. */
  readonly localDims: ReadonlySet<string>;
  /** Its results, as `outputs` of the segment. */
  readonly outputs: readonly Tensor[];
}

export function pieceOf(segment: Segment): Piece {
  const g = new Graph();
  const isBlock = segment.block !== undefined;
  const boundary = new Set(segment.inputs.map((x) => x.id));
  const copies = new Map<number, Tensor>();
  const given = new Map<Tensor, Tensor<"input">>();
  const inputs = new Map<string, Tensor<"input">>();
  const weights = new Map<string, string>();
  const numbers = new Map<string, number>();
  const dims = new Map<string, string>();
  const ownDim = (name: string): string => {
    if (!isLocalDim(name)) return name;
    const piecesName = dims.get(name) ?? (isBlock ? `rank${dims.size}` : name);
    dims.set(name, piecesName);
    return piecesName;
  };
  const source = (x: Tensor): Tensor | undefined => {
    if (boundary.has(x.id)) {
      const input = g.input(`x${given.size}`, x.shape.map(own), x.dtype);
      given.set(x, input);
      return input;
    }
    if (isOp(x, "input")) {
      const name = isBlock ? `p${inputs.size}` : x.attrs.name;
      const input = g.input(name, x.shape.map(own), x.dtype);
      inputs.set(x.attrs.name, input);
      return input;
    }
    if (!isOp(x, "weight")) return undefined;
    const name = isBlock ? `w${weights.size}` : x.attrs.name;
    weights.set(x.attrs.name, name);
    return g.weight(name, x.attrs.shape);
  };
  const own = (dim: Dim): Dim => renameDim(dim, ownDim);
  const site = (x: Tensor): Tensor => {
    const value = isOp(x, "constant") ? at(x.attrs.values, 0) : internal("a site that is no constant");
    const name = `n${numbers.size}`;
    numbers.set(name, value);
    return g.input(name, [], "i32");
  };
  const copy = (x: Tensor): Tensor => {
    const known = copies.get(x.id);
    if (known !== undefined) return known;
    const made = source(x) ?? node(x);
    copies.set(x.id, made);
    return made;
  };
  const node = (x: Tensor): Tensor => {
    const from = mapInputs(x.inputs, (y, i) => (isBlock && i === opRows[x.op].site ? site(y) : copy(y)));
    return g.add_(x.op, ownAttrs(x, own), from);
  };
  const outputs = segment.outputs.map(copy);
  return { g, given, inputs, weights, numbers, localDims: new Set(dims.values()), outputs };
}

/** Attributes with the piece's own names of dimensions. */
function ownAttrs<K extends OpName>({ op, attrs }: Tensor<K>, own: (dim: Dim) => Dim): Ops[K] {
  const { dims } = opRows[op];
  const entries = Object.entries(attrs).map(([key, value]) => {
    if (!(key in dims)) return [key, value];
    return [key, Array.isArray(value) ? value.map(own) : own(value)];
  });
  return Object.fromEntries(entries) as Ops[K];
}

/** Names of the dimensions that a graph speaks of. */
export function dimsOf(tensors: Iterable<Tensor>): Set<string> {
  const names = new Set<string>();
  for (const x of tensors) for (const dim of x.shape) for (const name of dimNames(dim)) names.add(name);
  return names;
}
