import { internal } from "../../errors.js";
import { evalDim, solveDim } from "../../graph/dims.js";
import { at } from "../../present.js";
import { LARGE } from "../buffers.js";
import { elements } from "../formats/format.js";
import type { FormatName } from "../formats/index.js";
import type { NamedProgram, Schedule, Step } from "../messages.js";
import type { Program } from "../program.js";
import { dimSources, isNode, namesByRows, readByRows } from "../program.js";
import { arenaMemory } from "../region.js";
import { BYTES_OF } from "./ops.js";
import type { WeightUse } from "./program.js";
import { arenaBytes } from "./program.js";
import type { StepResult } from "./steps.js";
import { FedWeights, HeldValues } from "./steps.js";

/** A weight of the model as the engine has it. */
export interface StoredAs {
  /** What it is held under: two weights may be one. */
  readonly name: string;
  readonly format: FormatName;
  /** Held [in, out]. */
  readonly transposed: boolean;
  readonly bytes: number;
  /** Under the model's name it is held in memory, as this; else it is mapped. */
  readonly held: { readonly format: FormatName; readonly bytes: number } | undefined;
}

export interface EstimateOptions {
  readonly weight: (name: string) => StoredAs;
  /** Shapes of what a run is fed, adapters' tensors included. */
  readonly feeds: ReadonlyMap<string, readonly number[]>;
  /** Bytes of weights fed block by block that stay in memory. */
  readonly keep: number;
  /** Arenas by program, where they were estimated before for the same weights and feeds. */
  readonly arenas?: Map<string, number>;
}

/** Bytes at a schedule's peak, by what they are for. */
export interface ScheduleBytes {
  /** Arenas of all sessions: intermediate results. */
  readonly arenas: number;
  /** Results that pass between steps. */
  readonly between: number;
  /** Results of all steps: copies of as much are left to the garbage collector. */
  readonly copied: number;
  /** Weights fed block by block that are in memory. */
  readonly blocks: number;
  /** Other weights that are in memory. */
  readonly held: number;
  /** What a step touches of weights that are mapped. */
  readonly mapped: number;
  /** Nodes of all programs, and of all steps. */
  readonly nodes: number;
  readonly stepNodes: number;
}

/** What Linux maps around a page of a file that is touched, of what it has in memory. */
const AROUND = 16 * 4096;

type Dims = Map<string, number>;
type Shapes = Map<string, readonly number[]>;

/** What running a schedule takes, without running it. */
export function estimateSchedule(schedule: Schedule, options: EstimateOptions): ScheduleBytes {
  const programs = new Map(schedule.programs.map((p) => [p.name, p]));
  const shapes: Shapes = new Map(options.feeds);
  const arenas = options.arenas ?? new Map<string, number>();
  const values = new HeldValues();
  const fed = new FedWeights((name) => options.weight(name).bytes, options.keep);
  const named = new NamedWeights(options);
  const { steps } = schedule;
  let stepNodes = 0;
  let copied = 0;
  for (const [i, step] of steps.entries()) {
    const program = programs.get(step.program) ?? internal(`no program ${step.program}`);
    const dims = dimsOf(program, step, shapes, schedule.dims);
    const results = resultsOf(program, step, dims, shapes, Object.keys(schedule.dims).length > 0);
    if (!arenas.has(program.name)) arenas.set(program.name, arenaOf(program, step, dims, results, options));
    values.run(step, results);
    fed.run(step, at(steps, (i + 1) % steps.length));
    if (program.fed === undefined) named.read(program, dims);
    stepNodes += program.program.nodes.length;
    copied += results.reduce((n, { bytes }) => n + bytes, 0);
  }
  return {
    arenas: [...arenas.values()].reduce((a, b) => a + b, 0),
    between: values.most,
    copied,
    blocks: fed.bytes,
    held: named.held,
    mapped: named.mapped,
    nodes: schedule.programs.reduce((n, p) => n + p.program.nodes.length, 0),
    stepNodes,
  };
}

/** Values of the dimensions that a step's program speaks of. */
function dimsOf({ program }: NamedProgram, step: Step, shapes: Shapes, sources: Schedule["dims"]): Dims {
  const dims: Dims = new Map();
  for (const [name, source] of Object.entries(sources)) {
    const shape = shapes.get(source.value) ?? internal(`no shape of "${source.value}"`);
    dims.set(name, solveDim(source, shape, dims));
  }
  for (const [name, source] of dimSources(program)) {
    const shape = shapes.get(step.inputs[source.value] ?? "");
    if (shape !== undefined && !dims.has(name)) dims.set(name, solveDim(source, shape, dims));
  }
  return dims;
}

/** A step's results; their shapes go to `shapes`. */
function resultsOf(
  { program }: NamedProgram,
  step: Step,
  dims: Dims,
  shapes: Shapes,
  pools: boolean,
): StepResult[] {
  return program.outputs.flatMap(({ name, node }) => {
    const value = step.outputs[name];
    const { dtype, shape } = at(program.nodes, node);
    if (value === undefined) return [];
    const size = shape.map((d) => evalDim(d, dims));
    shapes.set(value, size);
    const bytes = BYTES_OF[dtype] * elements(size);
    return [{ name, bytes, pooled: pools && (dtype === "f32" || dtype === "bool") && bytes >= LARGE }];
  });
}

function arenaOf(
  { program, fed }: NamedProgram,
  { weights }: Step,
  dims: Dims,
  results: readonly StepResult[],
  options: EstimateOptions,
): number {
  const byRows = namesByRows(program);
  const given = new Set(results.flatMap(({ name, pooled }) => (pooled ? [name] : [])));
  const useOf = (name: string): WeightUse => {
    const model = fed === undefined ? name : (weights[name] ?? internal(`no weight "${name}"`));
    const { format, transposed, held } = options.weight(model);
    if (fed !== undefined) return { format, transposed, fed: true };
    if (byRows.has(name)) return { format, transposed, fed: false };
    return { format: held?.format ?? format, transposed, fed: held !== undefined };
  };
  return arenaMemory(arenaBytes(program, dims, useOf, given));
}

/** Weights that are bound by the model's names. */
class NamedWeights {
  readonly #options: EstimateOptions;
  /** By name: what was touched of it where it is mapped. */
  readonly #mapped: Map<string, number> = new Map();
  readonly #held: Map<string, number> = new Map();

  constructor(options: EstimateOptions) {
    this.#options = options;
  }

  get mapped(): number {
    const others = [...this.#mapped].filter(([name]) => !this.#held.has(name));
    return others.reduce((n, [, bytes]) => n + bytes, 0);
  }

  get held(): number {
    return [...this.#held.values()].reduce((a, b) => a + b, 0);
  }

  read({ program }: NamedProgram, dims: Dims): void {
    const rows = rowsRead(program, dims);
    for (const [i, node] of program.nodes.entries()) {
      if (!isNode(node, "weight")) continue;
      const { name: read, shape } = node.attrs;
      const { name, bytes, held } = this.#options.weight(read);
      if (held !== undefined && !rows.has(i)) this.#held.set(name, held.bytes);
      else {
        const row = Math.ceil(bytes / (shape[0] ?? 1) / AROUND) * AROUND;
        const touched = Math.min(bytes, (rows.get(i) ?? Number.POSITIVE_INFINITY) * row);
        this.#mapped.set(name, Math.max(this.#mapped.get(name) ?? 0, touched));
      }
    }
  }
}

/** Weights of which some rows only are read -> how many, at most. */
function rowsRead(program: Program, dims: Dims): Map<number, number> {
  const count = (ids: number): number => elements(at(program.nodes, ids).shape.map((d) => evalDim(d, dims)));
  const found = [...readByRows(program)];
  return new Map(found.map(([node, ids]) => [node, ids.reduce((n, y) => n + count(y), 0)]));
}
