import type { Floats, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { internal, PeftError } from "../errors.js";
import type { Parameters } from "../graph/parameters.js";
import type { TaskType } from "../models/model.js";
import { parameterName } from "./adapter.js";
import type { Inputs } from "./feeds.js";
import { batchPlaces, checkBatch, forwardFeeds, lossFeeds, randomKeys } from "./feeds.js";
import type { Loss } from "./losses.js";
import { defaultLoss } from "./losses.js";
import { packingFeeds } from "./packing.js";
import type { RunRequest, View, Written } from "./plan_run.js";
import type { RunOutcome, Runtime } from "./runtime.js";
import type { ModelTrace } from "./trace.js";
import { parseEntryInput } from "./trace.js";
import type { BoundWeights } from "./weights.js";
import type { ModelSpec } from "./write.js";
import { writeLogits, writeLoss } from "./write.js";

/** A tensor of results. */
export interface Result {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface ForwardResult {
  /** [batch, total, n] where virtual tokens count, [batch, n] where the task pools; hidden states for FEATURE_EXTRACTION. */
  readonly logits: Result;
  /** The mean loss, where the batch has labels. */
  readonly loss: number | undefined;
  /** What the loss was divided by. */
  readonly count: number | undefined;
}

export interface PassOptions {
  /** In place of the task's own loss. */
  readonly loss?: Loss;
}

/** Virtual tokens of a view's prompt method. */
export function virtualOf(view: View): { input: number; cache: number } {
  const virtual = { input: 0, cache: 0 };
  for (const { method, config } of view.adapters)
    if (method?.prompt !== undefined) virtual[method.prompt.place] += method.prompt.tokens(config);
  return virtual;
}

function hasLabels(batch: Inputs): boolean {
  return "labels" in batch || "startPositions" in batch;
}

/**
 * Tasks whose padding can be left out of everything but attention. Question answering cannot: its loss runs over padding too; nor can
 * a loss of the user's own, which may read any position.
 */
const PACKED: ReadonlySet<TaskType> = new Set(["CAUSAL_LM", "SEQ_2_SEQ_LM", "SEQ_CLS", "TOKEN_CLS"]);

interface Prepared {
  readonly loss: Loss | undefined;
  readonly packed: boolean;
  readonly feeds: Record<string, HostTensor>;
}

/** Checks a batch and lays out all that a pass over it feeds. `keys`: random keys of the rows, in training. */
function prepare(
  weights: Pick<BoundWeights, "spec" | "inventory">,
  view: View,
  batch: Inputs,
  loss: Loss | undefined,
  more: { logits?: boolean; keys?: HostTensor } = {},
): Prepared {
  const { keys } = more;
  const { spec } = weights;
  const virtual = virtualOf(view);
  checkBatch(weights, batch, virtual);
  const used = loss ?? (hasLabels(batch) ? lossOf(spec, batch) : undefined);
  const packed =
    loss === undefined && PACKED.has(spec.task) && view.gates.every((g) => typeof g === "number");
  const feeds: Record<string, HostTensor> = forwardFeeds(spec, batch, virtual);
  const places = packed ? batchPlaces(spec, batch, virtual, more.logits ?? false) : undefined;
  if (used !== undefined) Object.assign(feeds, lossFeeds(spec, batch, virtual, places));
  if (keys !== undefined) feeds["randomKey"] = keys;
  if (places !== undefined) {
    const rowKeys = keys?.data as Int32Array | undefined;
    Object.assign(feeds, packingFeeds("inputIds", places.input, rowKeys));
    if (places.decoder) Object.assign(feeds, packingFeeds("decoderInputIds", places.decoder, rowKeys));
  }
  return { loss: used, packed, feeds };
}

/** Logits, and the loss where there are labels; dropout is off. */
export async function forwardPass(
  runtime: Runtime,
  view: View,
  batch: Inputs,
  options: PassOptions = {},
): Promise<ForwardResult> {
  const { spec } = runtime.weights;
  const { loss, packed, feeds } = prepare(runtime.weights, view, batch, options.loss, { logits: true });
  if (loss === undefined) {
    const write = (trace: ModelTrace): Written => ({ outputs: { logits: writeLogits(spec, trace) } });
    const { outputs } = await runtime.run({ kind: "logits", view, packed, write, feeds });
    return { logits: outputs["logits"] as Result, loss: undefined, count: undefined };
  }
  const { outputs } = await runtime.run({
    kind: `logits and ${loss.name}`,
    view,
    packed,
    write: (trace) => {
      const { sum, count, logits } = writeLoss(spec, trace, loss);
      return { outputs: { sum, count, logits: logits() } };
    },
    feeds,
  });
  const count = numberOf(outputs, "count");
  return { logits: outputs["logits"] as Result, loss: numberOf(outputs, "sum") / count, count };
}

/** The loss alone; dropout is off. */
export async function lossPass(
  runtime: Runtime,
  view: View,
  batch: Inputs,
  options: PassOptions = {},
): Promise<BackwardResult> {
  const { spec } = runtime.weights;
  const { loss, packed, feeds } = prepare(runtime.weights, view, batch, options.loss);
  const named = loss ?? noLoss(spec.task, batch);
  const { outputs } = await runtime.run({
    kind: `loss ${named.name}`,
    view,
    packed,
    write: (trace) => {
      const { sum, count } = writeLoss(spec, trace, named);
      return { outputs: { sum, count } };
    },
    feeds,
  });
  return { sum: numberOf(outputs, "sum"), count: numberOf(outputs, "count") };
}

function lossOf({ task, config }: ModelSpec, batch: Inputs): Loss | undefined {
  const floats = (batch as { labels?: Ids | Floats }).labels?.data instanceof Float32Array;
  return defaultLoss(task, config, floats ? "floats" : "ids");
}

function noLoss(task: TaskType, batch: Inputs): never {
  const features = task === "FEATURE_EXTRACTION";
  throw new PeftError(features ? "training" : "batch", {
    what: features ? `${task} has no loss of its own.` : `This batch has no labels: ${Object.keys(batch)}.`,
    why: features ? "what features should be is for you to say." : "a loss needs them.",
    fix: features ? "pass a loss: forwardBackward(batch, { loss })." : "use rows with a target or label.",
  });
}

export interface BackwardOptions extends PassOptions {
  /** Dropout, the base's and the adapter's; default true. */
  readonly training?: boolean;
  readonly seed: number;
  readonly step: number;
}

export interface BackwardResult {
  /** Sum of the loss over what it counts, and that count: labelled tokens, rows. */
  readonly sum: number;
  readonly count: number;
}

/** Adds the gradient of the loss's sum to `parameters`, those of the view's adapters, and its count. */
export async function backwardPass(
  runtime: Runtime,
  view: View,
  parameters: Parameters,
  batch: Inputs,
  options: BackwardOptions,
): Promise<BackwardResult> {
  const training = options.training ?? true;
  const states = await runtime.encoderStates.of(runtime, view, batch, training);
  const outcome = await runtime.run(backwardRequest(runtime.weights, view, batch, options, states));
  const sum = numberOf(outcome.outputs, "sum");
  const count = numberOf(outcome.outputs, "count");
  addGradients(parameters, view, outcome);
  parameters.count += count;
  return { sum, count };
}

/** A step's run; `states`: the encoder's output, where it is known. Throws "batch" for what cannot be run. */
export function backwardRequest(
  weights: Pick<BoundWeights, "spec" | "inventory">,
  view: View,
  batch: Inputs,
  options: BackwardOptions,
  states?: HostTensor,
): RunRequest {
  const { spec } = weights;
  const samples = "rows" in batch && batch.rows ? batch.rows : counting(batch.inputIds.shape[0]);
  const keys = randomKeys(options.seed, options.step, samples);
  const { loss, packed, feeds } = prepare(weights, view, batch, options.loss, { keys });
  const named = loss ?? noLoss(spec.task, batch);
  return {
    kind: `gradient of ${named.name}${states === undefined ? "" : " from states"}`,
    view,
    packed,
    training: options.training ?? true,
    write: (trace) => {
      const { sum, count } = writeLoss(spec, trace, named, states !== undefined);
      return { outputs: { sum, count }, loss: sum };
    },
    feeds: states === undefined ? feeds : { ...feeds, encoderStates: states },
  };
}

function counting(n: number): Int32Array {
  return Int32Array.from({ length: n }, (_, i) => i);
}

function numberOf(outputs: Readonly<Record<string, HostTensor>>, name: string): number {
  return outputs[name]?.data[0] ?? internal(`no output "${name}"`);
}

/** Adds packed gradients into the flat buffer, entry by entry. */
function addGradients(parameters: Parameters, view: View, { packed, gradients }: RunOutcome): void {
  const index = new Map(parameters.list.map((p, i) => [p.name, i]));
  let at = 0;
  for (const input of gradients) {
    const entry = parseEntryInput(input);
    const i = entry && index.get(parameterName(view.adapters, entry.slot, entry.key));
    if (i === undefined) internal(`gradient of "${input}"`);
    const into = parameters.gradientOf(i);
    for (let k = 0; k < into.length; k++) into[k]! += packed[at + k]!;
    at += into.length;
  }
}
