import type { Shape } from "../../graph/dims.js";
import { evalDim } from "../../graph/dims.js";
import type { Ops } from "../../graph/ops.js";
import { elements } from "../formats/format.js";
import type { Program, ProgramNode } from "../program.js";
import type { Chunk } from "./arena.js";
import { Arena } from "./arena.js";
import type { Made } from "./formats.js";
import { headCost, productCost } from "./formats.js";
import { BYTES_OF, costOf } from "./ops.js";

/** How a program reads one of its weights. */
export interface WeightUse {
  readonly format: string;
  /** Held [in, out]. */
  readonly transposed: boolean;
  /** Its parts are inputs of every run; else they are mapped. */
  readonly fed: boolean;
}

/** A piece of memory in the arena; several values may be views of it. */
interface Piece {
  readonly bytes: number;
  /** Nodes that read it and have not run. */
  readers: number;
  chunk: Chunk | undefined;
}

/** A node as ONNX Runtime runs it. */
interface Kernel {
  readonly index: number;
  readonly after: Kernel[];
  readonly reads: Piece[];
  readonly makes: Piece[];
  readonly scratch: readonly number[];
  readers: number;
}

/** One value of a program: who makes it, and where it is; undefined: it comes from outside. */
interface Value {
  readonly kernel: Kernel | undefined;
  readonly piece: Piece | undefined;
}

const OUTSIDE: Value = { kernel: undefined, piece: undefined };

/**
 * Bytes that a run of a program takes of its arena: its kernels in the order in which ONNX Runtime runs them, each result taken
 * when it is made and given back after its last reader. `given`: outputs that are written to buffers of the caller.
 */
export function arenaBytes(
  program: Program,
  dims: ReadonlyMap<string, number>,
  useOf: (weight: string) => WeightUse,
  given: ReadonlySet<string>,
): number {
  const kernels = inOrder(new Kernels(program, dims, useOf).build(given));
  const arena = new Arena();
  for (const kernel of kernels) runKernel(kernel, arena);
  return arena.touched;
}

function runKernel(kernel: Kernel, arena: Arena): void {
  for (const piece of kernel.makes) piece.chunk = arena.take(piece.bytes);
  const scratch = kernel.scratch.map((bytes) => arena.take(bytes));
  for (const chunk of scratch) arena.give(chunk);
  for (const piece of kernel.reads) {
    piece.readers--;
    if (piece.readers === 0 && piece.chunk !== undefined) arena.give(piece.chunk);
  }
}

class Kernels {
  readonly #program: Program;
  readonly #useOf: (weight: string) => WeightUse;
  readonly #elements: (shape: Shape) => number;
  readonly #dim: (dim: Shape[number]) => number;
  readonly #values: Value[] = [];
  readonly #kernels: Kernel[] = [];
  /** Weights in f32, brought there once. */
  readonly #whole: Map<number, Value> = new Map();
  readonly #shared: Map<string, Value> = new Map();
  readonly #extra: Map<number, Value[]> = new Map();

  constructor(program: Program, dims: ReadonlyMap<string, number>, useOf: (weight: string) => WeightUse) {
    this.#program = program;
    this.#useOf = useOf;
    const known = new Map<Shape[number], number>();
    this.#dim = (dim) => {
      if (typeof dim === "number") return dim;
      if (!known.has(dim)) known.set(dim, evalDim(dim, dims));
      return known.get(dim)!;
    };
    this.#elements = (shape) => elements(shape.map(this.#dim));
  }

  build(given: ReadonlySet<string>): Kernel[] {
    const wanted = wantedResults(this.#program);
    for (const [i, node] of this.#program.nodes.entries()) this.#values.push(this.#add(i, node, wanted));
    for (const { name, node } of this.#program.outputs) this.#output(node, given.has(name));
    for (const { reads } of this.#kernels) for (const piece of reads) piece.readers++;
    return this.#kernels;
  }

  #add(i: number, node: ProgramNode, wanted: ReadonlyMap<number, ReadonlyMap<number, ProgramNode>>): Value {
    if (node.op === "input" || node.op === "weight" || node.op === "constant") return OUTSIDE;
    if (node.op === "aux") {
      const { index } = node.attrs as Ops["aux"];
      return this.#extra.get(node.inputs[0]!)![index]!;
    }
    const more = wanted.get(i) ?? NONE;
    const aux = [...more.values()];
    const input = (k: number): Shape => this.#program.nodes[node.inputs[k]!]!.shape;
    const cost = costOf(node, {
      elements: this.#elements,
      dim: this.#dim,
      input,
      wanted: new Set(more.keys()),
    });
    const weight = this.#weightRead(node);
    const scratch = [...(cost.scratch ?? []), ...this.#headScratch(node)];
    const product = node.op === "linear" ? this.#product(node as ProgramNode<"linear">) : undefined;
    scratch.push(...(product?.scratch ?? []));
    const reads =
      product?.reads ??
      node.inputs.map((from) => (from === weight ? this.#stored(node, from) : this.#read(from)));
    if (cost.alias) return { kernel: this.#kernel(reads, [], scratch), piece: reads[0]!.piece };
    const made = [node, ...aux].map((y) => piece(BYTES_OF[y.dtype] * this.#elements(y.shape)));
    const kernel = this.#kernel(reads, made, scratch);
    const extra: Value[] = [];
    for (const [k, index] of [...more.keys()].entries()) extra[index] = { kernel, piece: made[k + 1] };
    if (more.size > 0) this.#extra.set(i, extra);
    return { kernel, piece: made[0] };
  }

  #kernel(values: readonly Value[], makes: Piece[], scratch: readonly number[]): Kernel {
    const after: Kernel[] = [];
    const reads: Piece[] = [];
    for (const { kernel, piece } of values) {
      if (kernel !== undefined && !after.includes(kernel)) after.push(kernel);
      if (piece !== undefined && !reads.includes(piece)) reads.push(piece);
    }
    for (const k of after) k.readers++;
    const kernel = { index: this.#kernels.length, after, reads, makes, scratch, readers: 0 };
    this.#kernels.push(kernel);
    return kernel;
  }

  /** The input that a node reads in the weight's own format. */
  #weightRead({ op, attrs, inputs }: ProgramNode): number | undefined {
    if (op === "linear" || op === "crossEntropy") return inputs[1];
    return op === "gather" && (attrs as Ops["gather"]).axis === 0 ? inputs[0] : undefined;
  }

  /** A product with a weight in its own format; undefined: it is read in f32. */
  #product({
    attrs,
    inputs,
    shape,
  }: ProgramNode<"linear">): { reads: Value[]; scratch: readonly number[] } | undefined {
    const [from, w] = inputs as [number, number];
    const source = this.#program.nodes[w]!;
    if (source.op !== "weight") return undefined;
    const { name, shape: stored } = source.attrs as Ops["weight"];
    const { format, transposed } = this.#useOf(name);
    const forward = attrs.transposed === transposed;
    const x = this.#elements(this.#program.nodes[from]!.shape);
    const sizes = { x, weight: elements(stored), y: this.#elements(shape), forward };
    const cost = productCost(format, sizes);
    if (cost === undefined) return undefined;
    const { ofInput, brought, scratch } = cost;
    const reads = [this.#read(from)];
    if (ofInput !== undefined) reads.push(this.#once(`x${from} ${forward ? "" : w}`, reads, ofInput));
    if (brought !== undefined) reads.push(this.#made([reads[0]!], brought));
    return { reads, scratch };
  }

  #made(reads: readonly Value[], { bytes, scratch }: Made): Value {
    const made = piece(bytes);
    return { kernel: this.#kernel(reads, [made], scratch), piece: made };
  }

  #once(key: string, reads: readonly Value[], made: Made): Value {
    const known = this.#shared.get(key) ?? this.#made(reads, made);
    this.#shared.set(key, known);
    return known;
  }

  /** What the head of a loss takes for each chunk beyond what one in f32 does. */
  #headScratch(node: ProgramNode): number[] {
    if (node.op !== "crossEntropy") return [];
    const [x, w] = node.inputs.map((from) => this.#program.nodes[from]!);
    if (w!.op !== "weight" || this.#useOf((w!.attrs as Ops["weight"]).name).format !== "int8") return [];
    return [4 * this.#dim(x!.shape[1]!) * this.#dim(w!.shape[0]!)]; // squares of probabilities
  }

  #stored(node: ProgramNode, from: number): Value {
    const source = this.#program.nodes[from]!;
    if (source.op !== "weight") return this.#values[from]!;
    const { format } = this.#useOf((source.attrs as Ops["weight"]).name);
    if (node.op === "gather") {
      const rows = this.#elements(node.shape);
      return format === "f32" ? OUTSIDE : this.#temporary([piece(2 * rows)]);
    }
    const head = headCost(format, elements(source.shape.map(this.#dim)));
    if (head !== undefined) return this.#made([], head);
    return this.#inF32(from);
  }

  #read(from: number): Value {
    return this.#program.nodes[from]!.op === "weight" ? this.#inF32(from) : this.#values[from]!;
  }

  #temporary(makes: Piece[]): Value {
    return { kernel: this.#kernel([], makes, []), piece: makes[0] };
  }

  /** A weight of another type in f32: a copy that lives from its first use to its last. */
  #inF32(from: number): Value {
    const { name, shape } = this.#program.nodes[from]!.attrs as Ops["weight"];
    const { format, fed } = this.#useOf(name);
    if (format === "f32") return OUTSIDE;
    const known = this.#whole.get(from);
    if (known !== undefined) return known;
    const n = elements(shape);
    const stored = fed ? this.#temporary([piece(2 * n)]) : OUTSIDE;
    const copy = piece(4 * n);
    const made = { kernel: this.#kernel([stored], [copy], []), piece: copy };
    this.#whole.set(from, made);
    return made;
  }

  /** A result of the program; one that is a view is copied out. */
  #output(node: number, given: boolean): void {
    const value = this.#values[node]!;
    const { dtype, shape } = this.#program.nodes[node]!;
    const { kernel, piece: own } = value;
    const bytes = BYTES_OF[dtype] * this.#elements(shape);
    if (kernel === undefined || own === undefined || !kernel.makes.includes(own)) {
      this.#kernel([value], given ? [] : [piece(bytes)], []);
      return;
    }
    if (given) kernel.makes.splice(kernel.makes.indexOf(own), 1);
    else own.readers++; // its caller, after the run
  }
}

const NONE: ReadonlyMap<number, ProgramNode> = new Map();

function piece(bytes: number): Piece {
  return { bytes, readers: 0, chunk: undefined };
}

/** Results beyond the first that are asked for: node -> which -> the node that stands for it. */
function wantedResults(program: Program): Map<number, Map<number, ProgramNode>> {
  const wanted = new Map<number, Map<number, ProgramNode>>();
  for (const node of program.nodes)
    if (node.op === "aux") {
      const of = node.inputs[0]!;
      wanted.set(of, (wanted.get(of) ?? new Map()).set((node.attrs as Ops["aux"]).index, node));
    }
  return wanted;
}

/** Back from the results, the last one first, each kernel after what it reads: the order of ONNX Runtime's `ReverseDFSFrom`. */
function inOrder(kernels: readonly Kernel[]): Kernel[] {
  const ordered: Kernel[] = [];
  const seen = new Set<Kernel>();
  const open: { readonly kernel: Kernel; readonly leave: boolean }[] = kernels
    .filter((k) => k.readers === 0)
    .map((kernel) => ({ kernel, leave: false }));
  while (open.length > 0) {
    const { kernel, leave } = open.pop()!;
    if (leave) {
      ordered.push(kernel);
      continue;
    }
    if (seen.has(kernel)) continue;
    seen.add(kernel);
    open.push({ kernel, leave: true });
    const before =
      kernel.after.length < 2 ? kernel.after : kernel.after.toSorted((a, b) => a.index - b.index);
    for (const k of before) if (!seen.has(k)) open.push({ kernel: k, leave: false });
  }
  return ordered;
}
