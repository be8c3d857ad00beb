import type { DimSource, Shape } from "../graph/dims.js";
import { findDims } from "../graph/dims.js";
import { storedInput } from "../graph/op_rows.js";
import type { DType, Inputs, OpName, Ops, Tensor } from "../graph/ops.js";
import { mapInputs } from "../graph/ops.js";
import { at, entry } from "../present.js";

/** One operation of a program; inputs are indices of earlier ones. */
export interface ProgramNode<K extends OpName = OpName> {
  readonly op: K;
  readonly attrs: Ops[K];
  readonly inputs: Inputs<number>[K];
  readonly shape: Shape;
  readonly dtype: DType;
}

/** A traced graph as plain data, only what its outputs need: this crosses to the worker. */
export interface Program {
  readonly nodes: readonly ProgramNode[];
  readonly outputs: readonly { readonly name: string; readonly node: number }[];
}

export function toProgram(outputs: Readonly<Record<string, Tensor>>): Program {
  const reached = new Map<number, Tensor>();
  const open = Object.values(outputs);
  for (let tensor = open.pop(); tensor !== undefined; tensor = open.pop()) {
    if (reached.has(tensor.id)) continue;
    reached.set(tensor.id, tensor);
    open.push(...tensor.inputs);
  }
  const ordered = [...reached.values()].sort((a, b) => a.id - b.id);
  const index = new Map(ordered.map((x, i) => [x.id, i]));
  return {
    nodes: ordered.map(({ op, attrs, inputs, shape, dtype }) => ({
      op,
      attrs,
      inputs: mapInputs(inputs, (x) => entry(index, x.id)),
      shape,
      dtype,
    })),
    outputs: Object.entries(outputs).map(([name, x]) => ({ name, node: entry(index, x.id) })),
  };
}

/** Narrows a node to its primitive. */
export function isNode<K extends OpName>(node: ProgramNode, op: K): node is ProgramNode<K> {
  const found: OpName = node.op;
  return found === op;
}

export function inputsOf(program: Program): string[] {
  return program.nodes.flatMap((n) => (isNode(n, "input") ? [n.attrs.name] : []));
}

const sourcesOf = new WeakMap<Program, ReadonlyMap<string, DimSource<string>>>();

/** Which of a program's inputs tells which dimension. */
export function dimSources(program: Program): ReadonlyMap<string, DimSource<string>> {
  const known = sourcesOf.get(program);
  if (known !== undefined) return known;
  const inputs = program.nodes.flatMap((n) =>
    isNode(n, "input") ? [{ shape: n.shape, value: n.attrs.name }] : [],
  );
  const found = findDims(inputs);
  sourcesOf.set(program, found);
  return found;
}

/** Weights of which a program reads some rows only: node -> the nodes that say which. */
export function readByRows({ nodes, outputs }: Program): ReadonlyMap<number, readonly number[]> {
  const found = new Map<number, number[]>();
  const whole = new Set(outputs.map(({ node }) => node));
  for (const node of nodes) {
    const stored = storedInput(node.op, node.attrs);
    for (const [k, from] of node.inputs.entries()) {
      if (!isNode(at(nodes, from), "weight")) continue;
      const ids = stored?.as === "rows" && stored.input === k ? at(node.inputs, stored.ids) : undefined;
      if (ids !== undefined) found.set(from, [...(found.get(from) ?? []), ids]);
      else whole.add(from);
    }
  }
  for (const node of whole) found.delete(node);
  return found;
}

/** Their names, of those that no other node reads whole. */
export function namesByRows(program: Program): ReadonlySet<string> {
  const found = readByRows(program);
  const named = program.nodes.flatMap((n, i) => (isNode(n, "weight") ? [[n.attrs.name, i] as const] : []));
  const whole = new Set(named.flatMap(([name, i]) => (found.has(i) ? [] : [name])));
  return new Set(named.flatMap(([name]) => (whole.has(name) ? [] : [name])));
}

/** Names of the frozen weights that a program reads. */
export function weightsOf(program: Program): string[] {
  return program.nodes.flatMap((n) => (isNode(n, "weight") ? [n.attrs.name] : []));
}

/** Results beyond the first that are asked for: node -> which -> the node that stands for it. */
export function furtherResults({ nodes }: Program): Map<number, Map<number, ProgramNode>> {
  const found = new Map<number, Map<number, ProgramNode>>();
  for (const node of nodes)
    if (isNode(node, "aux")) {
      const [of] = node.inputs;
      found.set(of, (found.get(of) ?? new Map()).set(node.attrs.index, node));
    }
  return found;
}
