import type { Shape } from "../../graph/dims.js";
import { dimAt, evalDim } from "../../graph/dims.js";
import type { StoredInput } from "../../graph/op_rows.js";
import { storedInput } from "../../graph/op_rows.js";
import { at, entry } from "../../present.js";
import type { Temporary } from "../formats/costs.js";
import { bytesOf, elements } from "../formats/format.js";
import type { FormatName } from "../formats/index.js";
import { formats } from "../formats/index.js";
import type { Program, ProgramNode } from "../program.js";
import { furtherResults, isNode } from "../program.js";
import type { Chunk } from "./arena.js";
import { Arena } from "./arena.js";
import { BYTES_OF, costOf, shareOf } from "./ops.js";

/** How a program reads one of its weights. */
export interface WeightUse {
  readonly format: FormatName;
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

/** What a kernel reads, and the scratch that comes of how a weight is stored. */
interface Reads {
  readonly reads: readonly Value[];
  readonly scratch: readonly number[];
}

/** One value of a program: who makes it, and where it is; undefined: it comes from outside. */
interface Value {
  readonly kernel: Kernel | undefined;
  readonly piece: Piece | undefined;
}

const OUTSIDE: Value = { kernel: undefined, piece: undefined };

/**
 * Bytes that a run of a program takes of its arena: its kernels in the order in which ONNX Runtime runs them,
 * each result taken when it is made and given back after its last reader. `given`: outputs that are written
 * to buffers of the caller.
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
      const length = known.get(dim) ?? evalDim(dim, dims);
      known.set(dim, length);
      return length;
    };
    this.#elements = (shape) => elements(shape.map(this.#dim));
  }

  #node(index: number): ProgramNode {
    return at(this.#program.nodes, index);
  }

  build(given: ReadonlySet<string>): Kernel[] {
    const wanted = furtherResults(this.#program);
    for (const [i, node] of this.#program.nodes.entries()) this.#values.push(this.#add(i, node, wanted));
    for (const { name, node } of this.#program.outputs) this.#output(node, given.has(name));
    for (const { reads } of this.#kernels) for (const piece of reads) piece.readers++;
    return this.#kernels;
  }

  #add(i: number, node: ProgramNode, wanted: ReadonlyMap<number, ReadonlyMap<number, ProgramNode>>): Value {
    const more = wanted.get(i) ?? NONE;
    const input = (k: number): Shape => this.#node(at(node.inputs, k)).shape;
    const cost = costOf(node, { elements: this.#elements, dim: this.#dim, input, wanted: more });
    if (cost.result === "outside") return OUTSIDE;
    if (isNode(node, "aux")) return at(entry(this.#extra, node.inputs[0]), node.attrs.index);
    const { reads, scratch: ofFormat } = this.#inputs(node);
    const scratch = [...cost.scratch, ...ofFormat];
    if (cost.result === "alias")
      return { kernel: this.#kernel(reads, [], scratch), piece: at(reads, 0).piece };
    const results = [node, ...more.values()].map((y) => piece(BYTES_OF[y.dtype] * this.#elements(y.shape)));
    const kernel = this.#kernel(reads, results, scratch);
    const extra: Value[] = [];
    for (const [k, index] of [...more.keys()].entries()) extra[index] = { kernel, piece: results[k + 1] };
    if (more.size > 0) this.#extra.set(i, extra);
    return { kernel, piece: results[0] };
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

  /**
   * What a node reads; of a weight that is read as it is stored, what its format makes of it, and takes
   * meanwhile.
   */
  #inputs(node: ProgramNode): Reads {
    const stored = storedInput(node.op, node.attrs);
    const source = stored && this.#node(at(node.inputs, stored.input));
    if (stored === undefined || source === undefined || !isNode(source, "weight"))
      return { reads: node.inputs.map((from) => this.#read(from)), scratch: [] };
    if (stored.as === "linear") return this.#product(node, stored, source);
    if (stored.as === "experts") return this.#expertProduct(node, stored, source);
    const { costs } = formats[this.#useOf(source.attrs.name).format];
    // of a chunk
    const logits = (): number => this.#elements([dimAt(node.shape, -1), dimAt(source.attrs.shape, 0)]);
    const head = stored.as === "head" ? costs.head?.(elements(source.attrs.shape), logits()) : undefined;
    const own = (from: number): Value => {
      if (stored.as === "rows") return this.#oneByOne(costs.rows(this.#elements(node.shape)));
      return head === undefined ? this.#read(from) : this.#temporary([], head.perWeight);
    };
    const reads = node.inputs.map((from, k) => (k === stored.input ? own(from) : this.#read(from)));
    return { reads, scratch: head?.scratch ?? [] };
  }

  #product(
    { inputs, shape }: ProgramNode,
    { x, input, transposed }: Extract<StoredInput, { as: "linear" }>,
    { attrs }: ProgramNode<"weight">,
  ): Reads {
    const [from, w] = [at(inputs, x), at(inputs, input)];
    const use = this.#useOf(attrs.name);
    const forward = transposed === use.transposed;
    const { perInput, perWeight, scratch } = formats[use.format].costs.linear({
      x: this.#elements(this.#node(from).shape),
      weight: elements(attrs.shape),
      y: this.#elements(shape),
      forward,
    });
    const value = this.#read(from);
    const reads = [value];
    if (perInput !== undefined) reads.push(this.#once(`x${from} ${forward ? "" : w}`, value, perInput));
    if (perWeight !== undefined) reads.push(this.#temporary([value], perWeight));
    return { reads, scratch };
  }

  /** One product after another: what the largest takes, all of it beside the product. */
  #expertProduct(
    { inputs, shape }: ProgramNode,
    { x, input, transposed }: Extract<StoredInput, { as: "experts" }>,
    { attrs }: ProgramNode<"weight">,
  ): Reads {
    const use = this.#useOf(attrs.name);
    const [experts, ...matrix] = attrs.shape;
    const share = shareOf(experts ?? 1);
    const weight = elements(matrix);
    const { costs, ...format } = formats[use.format];
    const { perInput, perWeight, scratch } = costs.linear({
      x: share * this.#elements(this.#node(at(inputs, x)).shape),
      weight,
      y: share * this.#elements(shape),
      forward: transposed === use.transposed,
    });
    const temporaries = [perInput, perWeight].flatMap((t) =>
      t === undefined ? [] : [t.bytes, ...t.scratch],
    );
    const own = bytesOf({ costs, ...format }, matrix, use.transposed);
    const reads = inputs.filter((_, k) => k !== input).map((from) => this.#read(from));
    return { reads, scratch: [own, ...temporaries, ...scratch] };
  }

  #temporary(reads: readonly Value[], { bytes, scratch }: Temporary): Value {
    const result = piece(bytes);
    return { kernel: this.#kernel(reads, [result], scratch), piece: result };
  }

  #once(key: string, read: Value, temporary: Temporary): Value {
    const known = this.#shared.get(key) ?? this.#temporary([read], temporary);
    this.#shared.set(key, known);
    return known;
  }

  /** Results that are each made of the one before; the first comes from outside. */
  #oneByOne(sizes: readonly number[]): Value {
    return sizes.reduce((from, bytes) => this.#temporary([from], { bytes, scratch: [] }), OUTSIDE);
  }

  #read(from: number): Value {
    const node = this.#node(from);
    return isNode(node, "weight") ? this.#inF32(from, node) : at(this.#values, from);
  }

  /** A weight of another type in f32: a copy that lives from its first use to its last. */
  #inF32(from: number, { attrs }: ProgramNode<"weight">): Value {
    const { format, fed } = this.#useOf(attrs.name);
    const known =
      this.#whole.get(from) ?? this.#oneByOne(formats[format].costs.weight(elements(attrs.shape), fed));
    this.#whole.set(from, known);
    return known;
  }

  /** A result of the program; one that is a view is copied out. */
  #output(node: number, given: boolean): void {
    const value = at(this.#values, node);
    const { dtype, shape } = this.#node(node);
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

/**
 * Back from the results, the last one first, each kernel after what it reads: the order of ONNX Runtime's
 * `ReverseDFSFrom`.
 */
function inOrder(kernels: readonly Kernel[]): Kernel[] {
  const ordered: Kernel[] = [];
  const seen = new Set<Kernel>();
  const open: { readonly kernel: Kernel; readonly leave: boolean }[] = kernels
    .filter((k) => k.readers === 0)
    .map((kernel) => ({ kernel, leave: false }));
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { kernel, leave } = next;
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
