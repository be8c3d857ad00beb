import type { Shape } from "../graph/dims.js";
import type { DType, OpName, Ops, Tensor } from "../graph/ops.js";

/** One operation of a program; inputs are indices of earlier ones. */
export interface ProgramNode<K extends OpName = OpName> {
  readonly op: K;
  readonly attrs: Ops[K];
  readonly inputs: readonly number[];
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
  while (open.length > 0) {
    const tensor = open.pop()!;
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
      inputs: inputs.map((x) => index.get(x.id)!),
      shape,
      dtype,
    })),
    outputs: Object.entries(outputs).map(([name, x]) => ({ name, node: index.get(x.id)! })),
  };
}

export function inputsOf(program: Program): string[] {
  return program.nodes.flatMap((n) => (n.op === "input" ? [(n.attrs as Ops["input"]).name] : []));
}

/** Names of the frozen weights that a program reads. */
export function weightsOf(program: Program): string[] {
  return program.nodes.flatMap((n) => (n.op === "weight" ? [(n.attrs as Ops["weight"]).name] : []));
}
