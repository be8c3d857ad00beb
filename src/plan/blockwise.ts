import { gradients, leadsTo, vjp } from "../autodiff/gradient.js";
import type { NamedProgram, Step } from "../engine/messages.js";
import type { Program, ProgramNode } from "../engine/program.js";
import { inputsOf, toProgram, weightsOf } from "../engine/program.js";
import { internal } from "../errors.js";
import type { Segment } from "../graph/cut.js";
import { cut } from "../graph/cut.js";
import { dimNames, findDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { isOp } from "../graph/ops.js";
import type { Piece } from "../graph/piece.js";
import { pieceOf } from "../graph/piece.js";
import { at, entry } from "../present.js";
import type { Names, Planned, Wanted } from "./planned.js";
import { withResiduals } from "./residuals.js";

/**
 * Block after block: blocks of one kind share a session, weights are fed to it, and only what passes between
 * blocks is kept. Going back, a block is computed again inside its gradient's program, unless `keeps` says
 * that its products are kept (blocks are counted from the first that has a gradient). Gradients of what
 * several blocks read add up.
 */
export function blockwise(
  g: Graph,
  wanted: Wanted,
  names: Names,
  keeps: (block: number) => boolean,
): Planned {
  const all = Object.values(wanted.outputs);
  const roots = wanted.loss === undefined ? all : [...all, wanted.loss];
  const layout = new Layout(g, wanted, names);
  const parts = cut(g, roots).map((segment, at) => ({ segment, piece: pieceOf(segment), at }));
  const last = wanted.loss === undefined ? undefined : parts.pop();
  const turn = last && layout.turn(last);
  const back = last === undefined ? [] : parts.toReversed().map((part) => layout.backward(part));
  const trained = back.filter((b) => b !== undefined).reverse();
  const kept = new Map(trained.map((b, i) => [b.part.at, keeps(i) ? keeping(b) : b]));
  for (const part of parts) layout.add(forward(part, kept.get(part.at)?.residuals ?? []));
  if (turn !== undefined) layout.add(turn);
  for (const run of [...kept.values()].reverse()) layout.add(run);
  return layout.result();
}

interface Part {
  readonly segment: Segment;
  readonly piece: Piece;
  /** Its place among the segments. */
  readonly at: number;
}

/** One run of a part, forward or back. */
interface PartRun {
  readonly part: Part;
  /** By names of its own: results, and the values that they go to. */
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly values: Readonly<Record<string, string>>;
  /** Further inputs -> values: gradients from above, residuals. */
  readonly more: Readonly<Record<string, string>>;
}

interface Backward extends PartRun {
  /** Where the nodes of the gradient begin. */
  readonly first: number;
  readonly residuals: readonly Tensor[];
}

/** A result between segments, the gradient by it, and what a part keeps for its way back. */
const valueName = (x: Tensor): string => `t${x.id}`;
const slopeName = (x: Tensor): string => `d${x.id}`;
const residualName = ({ at }: Part, i: number): string => `r${at}.${i}`;

function forward(part: Part, residuals: readonly Tensor[]): PartRun {
  const outputs: Record<string, Tensor> = {};
  const values: Record<string, string> = {};
  for (const [i, y] of part.segment.outputs.entries()) {
    outputs[`y${i}`] = at(part.piece.outputs, i);
    values[`y${i}`] = valueName(y);
  }
  for (const [i, r] of residuals.entries()) {
    outputs[`r${i}`] = r;
    values[`r${i}`] = residualName(part, i);
  }
  return { part, outputs, values, more: {} };
}

function keeping(run: Backward): Backward {
  if (run.part.segment.block === undefined) return run;
  const { outputs, residuals } = withResiduals(run.outputs, run.first);
  const kept = Object.fromEntries(residuals.map((_, i) => [`r${i}`, residualName(run.part, i)]));
  return { ...run, outputs, residuals, more: { ...run.more, ...kept } };
}

class Layout {
  readonly #wanted: Wanted;
  /** Inputs of the whole graph, by name. */
  readonly #inputs: ReadonlyMap<string, Tensor<"input">>;
  readonly #names: Names;
  /** Which nodes depend on something trained. */
  readonly #leads: readonly boolean[];
  readonly #trained: ReadonlySet<string>;
  readonly #programs: Map<string, NamedProgram> = new Map();
  readonly #steps: Omit<Step, "free">[] = [];
  readonly #used: Map<string, Tensor<"input">> = new Map();
  /** By kind of block: the inputs that its gradient's program differentiates by. */
  readonly #differentiated: Map<string, ReadonlySet<string>> = new Map();
  /** Values of gradients that exist. */
  readonly #slopes: Set<string> = new Set();

  constructor(g: Graph, wanted: Wanted, names: Names) {
    this.#inputs = new Map(g.nodes.flatMap((x) => (isOp(x, "input") ? [[x.attrs.name, x]] : [])));
    this.#wanted = wanted;
    this.#names = names;
    this.#leads = wanted.loss === undefined ? [] : leadsTo(g, wanted.trained, wanted.loss.id);
    this.#trained = new Set(wanted.trained.map((x) => x.attrs.name));
  }

  /** The last segment, which makes the loss: the way back begins in it. */
  turn(part: Part): PartRun {
    const { segment, piece } = part;
    const ahead = forward(part, []);
    const by = this.#by(piece);
    const { loss: whole = internal("a way back without a loss") } = this.#wanted;
    const loss = piece.outputs[segment.outputs.indexOf(whole)];
    if (loss === undefined) internal("the loss is made in a block");
    const slopes = gradients(piece.g, loss, [...by.keys()]);
    const own = this.#slopeOutputs([...by.keys()], slopes, by);
    const outputs = { ...ahead.outputs, ...own.outputs };
    return { part, outputs, values: { ...ahead.values, ...own.values }, more: {} };
  }

  /** The way back through a part; undefined: nothing above depends on anything trained in it or below. */
  backward(part: Part): Backward | undefined {
    const { segment, piece } = part;
    const first = piece.g.nodes.length;
    const ys: Tensor[] = [];
    const dys: Tensor[] = [];
    const more: Record<string, string> = {};
    for (const [i, y] of segment.outputs.entries()) {
      if (!this.#slopes.has(slopeName(y))) continue;
      const own = at(piece.outputs, i);
      more[`d${i}`] = slopeName(y);
      ys.push(own);
      dys.push(piece.g.input(`d${i}`, own.shape));
    }
    const wanted = this.#by(piece);
    if (ys.length === 0 || wanted.size === 0) return undefined;
    const by = this.#asAnother(piece, Object.keys(more), [...wanted.keys()]);
    const { outputs, values } = this.#slopeOutputs(by, vjp(piece.g, ys, dys, by), wanted);
    if (Object.keys(values).length === 0) return undefined;
    return { part, outputs, values, more, first, residuals: [] };
  }

  /** Gradients as outputs; of these, the wanted ones as values. */
  #slopeOutputs(
    by: readonly Tensor<"input">[],
    slopes: readonly (Tensor | undefined)[],
    wanted: ReadonlyMap<Tensor<"input">, string>,
  ): Pick<PartRun, "outputs" | "values"> {
    const outputs: Record<string, Tensor> = {};
    const values: Record<string, string> = {};
    for (const [i, x] of by.entries()) {
      const slope = slopes[i];
      if (slope === undefined) continue;
      const output = `g${x.attrs.name}`;
      outputs[output] = slope;
      const value = wanted.get(x);
      if (value === undefined) continue;
      values[output] = value;
      this.#slopes.add(value);
    }
    return { outputs, values };
  }

  /**
   * What is differentiated by: as much as for another block of this kind, so that both share a session. (The
   * lowest one needs less; a session of its own would cost more memory than that saves time.)
   */
  #asAnother(piece: Piece, slopes: readonly string[], by: readonly Tensor<"input">[]): Tensor<"input">[] {
    const kind = JSON.stringify([toProgram(Object.fromEntries(piece.outputs.entries())), slopes]);
    const names = new Set(by.map((x) => x.attrs.name));
    const other = this.#differentiated.get(kind);
    const more = other !== undefined && [...names].every((name) => other.has(name));
    if (!more) this.#differentiated.set(kind, names);
    const all = [...piece.given.values(), ...piece.inputs.values()];
    return all.filter((x) => (more ? other : names).has(x.attrs.name));
  }

  result(): Planned {
    const results = Object.fromEntries(
      Object.entries(this.#wanted.outputs).map(([name, y]) => [name, valueName(y)]),
    );
    const gradients = [...this.#trained].filter((name) => this.#slopes.has(`gradient:${name}`));
    for (const name of gradients) results[`gradient:${name}`] = `gradient:${name}`;
    const inputs = [...this.#used.values()].map((x) => ({ shape: x.shape, value: x.attrs.name }));
    const dims = Object.fromEntries(findDims(inputs));
    const steps = withFrees(this.#steps, new Set(Object.values(results)));
    const schedule = { programs: [...this.#programs.values()], steps, results, dims };
    return { schedule, inputs: new Set(this.#used.keys()), gradients };
  }

  /** What of a piece's inputs has a gradient: its own tensors -> the values that gradients add up in. */
  #by(piece: Piece): Map<Tensor<"input">, string> {
    const by = new Map<Tensor<"input">, string>();
    for (const [x, own] of piece.given) if (this.#leads[x.id]) by.set(own, slopeName(x));
    for (const [name, own] of piece.inputs) if (this.#trained.has(name)) by.set(own, `gradient:${name}`);
    return by;
  }

  add({ part: { segment, piece }, outputs, values, more }: PartRun): void {
    const program = withDims(toProgram(outputs), piece.localDims);
    const reads = new Set(inputsOf(program));
    const inputs: Record<string, string> = { ...more };
    for (const [x, own] of piece.given) inputs[own.attrs.name] = valueName(x);
    for (const [name, own] of piece.inputs) {
      inputs[own.attrs.name] = name;
      if (reads.has(own.attrs.name)) this.#used.set(name, entry(this.#inputs, name));
    }
    for (const [own, value] of piece.numbers) inputs[own] = `${NUMBER}${value}`;
    for (const name of reads) if (name.startsWith(DIM)) inputs[name] = name;
    for (const name of Object.keys(inputs)) if (!reads.has(name)) delete inputs[name];
    const isBlock = segment.block !== undefined;
    const weights = isBlock ? ownWeights(piece, program) : {};
    const name = this.#program(program, isBlock ? weights : undefined);
    this.#steps.push({ program: name, inputs, weights, outputs: values });
  }

  #program(program: Program, weights: Readonly<Record<string, string>> | undefined): string {
    const fed =
      weights &&
      Object.fromEntries(Object.entries(weights).map(([own, name]) => [own, this.#names.typeOf(name)]));
    const name = this.#names.program(JSON.stringify([program, fed]));
    if (!this.#programs.has(name)) this.#programs.set(name, { name, program, fed, forwardOnly: false });
    return name;
  }
}

/** Prefixes of values that no segment makes: dimensions, and numbers by their value. */
const DIM = "dim:";
const NUMBER = "number:";

/**
 * Inputs that tell a program the dimensions it speaks of, whether or not its other inputs do; `local`: these
 * do.
 */
function withDims(program: Program, local: ReadonlySet<string>): Program {
  const names = new Set(program.nodes.flatMap((n) => n.shape.flatMap(dimNames)));
  const inputs = [...names]
    .filter((name) => !local.has(name))
    .map((name): ProgramNode<"input"> => {
      const shape = [name, 0];
      return {
        op: "input",
        attrs: { name: `${DIM}${name}`, shape, dtype: "f32" },
        inputs: [],
        shape,
        dtype: "f32",
      };
    });
  return { ...program, nodes: [...program.nodes, ...inputs] };
}

/** A block's weights that a program reads: the program's names -> the model's. */
function ownWeights(piece: Piece, program: Program): Record<string, string> {
  const read = new Set(weightsOf(program));
  return Object.fromEntries(
    [...piece.weights].flatMap(([name, own]) => (read.has(own) ? [[own, name]] : [])),
  );
}

/** Says of each step which values nobody reads after it. */
function withFrees(steps: readonly Omit<Step, "free">[], results: ReadonlySet<string>): Step[] {
  const lastUse = new Map<string, number>();
  for (const [i, step] of steps.entries())
    for (const value of [...Object.values(step.inputs), ...Object.values(step.outputs)])
      lastUse.set(value, i);
  const frees: string[][] = steps.map(() => []);
  for (const [value, i] of lastUse) if (!results.has(value)) at(frees, i).push(value);
  return steps.map((step, i) => ({ ...step, free: at(frees, i) }));
}
