import type { View } from "../adapters/view.js";
import type { Feed, HeldEntry } from "../engine/messages.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { isOp } from "../graph/ops.js";
import { at } from "../present.js";
import type { AdapterInputs } from "../trace/adapter_inputs.js";
import type { TraceOptions } from "../trace/trace.js";
import { ModelTrace } from "../trace/trace.js";
import { blockwise } from "./blockwise.js";
import { fused } from "./fused.js";
import { areLong } from "./long.js";
import type { BatchSizes } from "./memory/batch.js";
import type { Names, Planned, Wanted } from "./planned.js";

/** What a program computes: outputs, and of which inputs the gradient of which output is wanted. */
export interface Written {
  readonly outputs: Readonly<Record<string, Tensor>>;
  readonly loss?: Tensor;
}

/** How a step runs: in one piece, block by block, or block by block with weights read ahead of their use. */
export const PLAN_NAMES = ["fused", "checkpointed", "streamed"] as const;
/** Ways to run a step: in one piece, block by block, or with weights that are streamed. */
export type PlanName = (typeof PLAN_NAMES)[number];

/** How a step runs. */
export interface Plan {
  readonly name: PlanName;
  /** How many blocks, from the first, are computed again on the way back; the rest keep their products. */
  readonly recompute: number;
  /** Bytes of block weights that stay in memory. */
  readonly keep: number;
}

export interface RunRequest {
  /** What is computed, beside the adapters' structure: part of the compiled program's name. */
  readonly kind: string;
  readonly view: View;
  readonly training?: boolean;
  readonly virtual?: boolean;
  readonly packed?: boolean;
  /** Of a training step: what its memory is planned by. */
  readonly sizes?: BatchSizes;
  /** Its loss is a custom one: sizes alone do not say what it takes. */
  readonly isCustom?: boolean;
  /** Attention goes in chunks of queries. @default where the sequences that are fed are long */
  readonly long?: boolean;
  /** Noise on embeddings, in training mode. */
  readonly neftune?: number;
  /** It runs block by block whatever the plan, so that blocks of one kind share a session. */
  readonly forceBlockwise?: boolean;
  readonly write: (trace: ModelTrace) => Written;
  readonly feeds: Readonly<Record<string, Feed>>;
  readonly keep?: Readonly<Record<string, string>>;
  /** Results that are written into held caches, from an entry on. */
  readonly entries?: Readonly<Record<string, HeldEntry>>;
}

/** What a run's trace depends on, beside the adapters' structure. */
function traceOptions(request: RunRequest): TraceOptions {
  return {
    adapters: request.view.adapters,
    mixed: request.view.gates.some((gate) => typeof gate !== "number"),
    training: request.training ?? false,
    neftune: request.neftune ?? 0,
    virtual: request.virtual ?? true,
    packed: request.packed ?? false,
    long: request.long ?? areLong(request.feeds),
  };
}

/** Tells a run's compiled form from every other. */
export function programName(request: RunRequest): string {
  const { adapters, ...flags } = traceOptions(request);
  return [request.kind, JSON.stringify(flags), ...adapters.map((a) => a.structure)].join("\n");
}

/** Where a run is written. */
export function traceOf(request: RunRequest, weightOf?: TraceOptions["weightOf"]): ModelTrace {
  return new ModelTrace({ ...traceOptions(request), weightOf });
}

/** A run's schedule, and what its graph reads of adapters. */
export interface PlannedRun extends Planned {
  readonly adapterInputs: AdapterInputs;
}

/** Traces a run and lays it out in the way of a plan. */
export function planRun(request: RunRequest, name: string, plan: Plan, names: Names): PlannedRun {
  const run = writeRun(request, names);
  return { ...layOut(run, name, plan, names), adapterInputs: run.adapterInputs };
}

/** A run as a graph, and what is wanted of it. */
export interface WrittenRun {
  readonly g: Graph;
  readonly wanted: Wanted;
  readonly adapterInputs: AdapterInputs;
}

export function writeRun(request: RunRequest, names: Pick<Names, "weightOf">): WrittenRun {
  const { view, write } = request;
  const trace = traceOf(request, names.weightOf);
  const { outputs, loss } = write(trace);
  const { g, adapterInputs } = trace;
  const isTrained = (name: string): boolean => {
    const input = adapterInputs.get(name);
    return input?.kind === "tensor" && !at(view.adapters, input.slot).entry(input.key).frozen;
  };
  const inputs = g.nodes.filter((x): x is Tensor<"input"> => isOp(x, "input"));
  const trained = loss === undefined ? [] : inputs.filter((x) => isTrained(x.attrs.name));
  return { g, wanted: { outputs, loss, trained }, adapterInputs };
}

/** May be done several times: what a plan adds to the graph is of no matter to others. */
export function layOut({ g, wanted }: WrittenRun, name: string, plan: Plan, names: Names): Planned {
  if (plan.name === "fused") return fused(name, g, wanted);
  return blockwise(g, wanted, names, (block) => block >= plan.recompute);
}
