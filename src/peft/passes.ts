import type { Floats, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { internal, PeftError } from "../errors.js";
import type { Parameters } from "../graph/parameters.js";
import { parameterName } from "./adapter.js";
import type { Inputs } from "./feeds.js";
import { checkBatch, forwardFeeds, lossFeeds, randomKeys } from "./feeds.js";
import type { Loss } from "./losses.js";
import { defaultLoss } from "./losses.js";
import type { RunOutcome, Runtime, View } from "./runtime.js";
import { parseEntryInput } from "./trace.js";
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

/** Logits, and the loss where there are labels; dropout is off. */
export async function forwardPass(
  runtime: Runtime,
  view: View,
  batch: Inputs,
  options: PassOptions = {},
): Promise<ForwardResult> {
  const { spec } = runtime.weights;
  const virtual = virtualOf(view);
  checkBatch(runtime.weights, batch, virtual);
  const loss = options.loss ?? (hasLabels(batch) ? lossOf(spec, batch) : undefined);
  const feeds = forwardFeeds(spec, batch, virtual);
  if (loss === undefined) {
    const { outputs } = await runtime.run({
      kind: "logits",
      view,
      write: (trace) => ({ outputs: { logits: writeLogits(spec, trace) } }),
      feeds,
    });
    return { logits: outputs["logits"] as Result, loss: undefined, count: undefined };
  }
  const { outputs } = await runtime.run({
    kind: `logits and ${loss.name}`,
    view,
    write: (trace) => {
      const { sum, count, logits } = writeLoss(spec, trace, loss);
      return { outputs: { sum, count, logits: logits() } };
    },
    feeds: { ...feeds, ...lossFeeds(spec, batch, virtual) },
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
  const virtual = virtualOf(view);
  checkBatch(runtime.weights, batch, virtual);
  const loss = options.loss ?? lossOf(spec, batch) ?? noLoss(spec.task);
  const { outputs } = await runtime.run({
    kind: `loss ${loss.name}`,
    view,
    write: (trace) => {
      const { sum, count } = writeLoss(spec, trace, loss);
      return { outputs: { sum, count } };
    },
    feeds: { ...forwardFeeds(spec, batch, virtual), ...lossFeeds(spec, batch, virtual) },
  });
  return { sum: numberOf(outputs, "sum"), count: numberOf(outputs, "count") };
}

function lossOf({ task, config }: ModelSpec, batch: Inputs): Loss | undefined {
  const floats = (batch as { labels?: Ids | Floats }).labels?.data instanceof Float32Array;
  return defaultLoss(task, config, floats ? "floats" : "ids");
}

function noLoss(task: string): never {
  throw new PeftError("training", {
    what: `${task} has no loss of its own.`,
    why: "what features should be is for you to say.",
    fix: "pass a loss: forwardBackward(batch, { loss }).",
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
  const { spec } = runtime.weights;
  const virtual = virtualOf(view);
  checkBatch(runtime.weights, batch, virtual);
  const loss = options.loss ?? lossOf(spec, batch) ?? noLoss(spec.task);
  const samples = "rows" in batch && batch.rows ? batch.rows : counting(batch.inputIds.shape[0]);
  const outcome = await runtime.run({
    kind: `gradient of ${loss.name}`,
    view,
    training: options.training ?? true,
    write: (trace) => {
      const { sum, count } = writeLoss(spec, trace, loss);
      return { outputs: { sum, count }, loss: sum };
    },
    feeds: {
      ...forwardFeeds(spec, batch, virtual),
      ...lossFeeds(spec, batch, virtual),
      randomKey: randomKeys(options.seed, options.step, samples),
    },
  });
  const sum = numberOf(outcome.outputs, "sum");
  const count = numberOf(outcome.outputs, "count");
  addGradients(parameters, view, outcome);
  parameters.count += count;
  return { sum, count };
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
