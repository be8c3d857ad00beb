import type { Adapter } from "../adapters/adapter.js";
import { parameterName } from "../adapters/adapter.js";
import type { View } from "../adapters/view.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { HostTensor } from "../engine/messages.js";
import { internal, PeftError } from "../errors.js";
import type { Parameters } from "../graph/parameters.js";
import type { RunRequest } from "../plan/plan.js";
import type { BackwardOptions, PassOptions } from "../plan/requests.js";
import { backwardRequest, batchSizes, forwardRequest, lossRequest, METRIC } from "../plan/requests.js";
import { type Inputs, rowsOf } from "../trace/feeds.js";
import { adaptedModel } from "../weights/adapted.js";
import { inChunks } from "./chunked_pass.js";
import type { RunOutcome, Runtime } from "./runtime.js";
/** A tensor of results. */
export interface Result {
  /** Row-major, f32. */
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** What a forward pass gave. */
export interface ForwardResult {
  /**
   * [batch, total, n] where virtual tokens count, [batch, n] where the task pools; hidden states for
   * FEATURE_EXTRACTION.
   */
  readonly logits: Result;
  /** The mean loss, where the batch has labels. */
  readonly loss: number | undefined;
  /** What the loss was divided by: labelled tokens, or rows. */
  readonly count: number | undefined;
}

/**
 * Plans the memory of a pass that is called now and runs when its turn has come, where it is to be awaited.
 * What a custom loss reads, sizes do not say: logits are the most.
 */
export function planPass(
  runtime: Runtime,
  adapters: readonly Adapter[],
  batch: Inputs,
  options: PassOptions,
  purpose: "forward" | "loss",
): Promise<void> {
  const sizes = batchSizes(adaptedModel(runtime.weights, adapters), adapters, batch, options);
  return runtime.planAhead(adapters, sizes, options.loss === undefined ? purpose : "forward");
}

/** Logits, and the loss where there are labels; dropout is off. */
export async function forwardPass(
  runtime: Runtime,
  view: View,
  batch: Inputs,
  options: PassOptions = {},
): Promise<ForwardResult> {
  const { outputs } = await runtime.run(
    forwardRequest(adaptedModel(runtime.weights, view.adapters), view, batch, options),
  );
  const logits = floatsOf(outputs, "logits");
  if (outputs["count"] === undefined) return { logits, loss: undefined, count: undefined };
  const count = numberOf(outputs, "count");
  return { logits, loss: numberOf(outputs, "sum") / count, count };
}

/** The loss alone; dropout is off. */
export async function lossPass(
  runtime: Runtime,
  view: View,
  batch: Inputs,
  options: PassOptions = {},
): Promise<BackwardResult> {
  const { outputs } = await runtime.run(
    lossRequest(adaptedModel(runtime.weights, view.adapters), view, batch, options),
  );
  return resultOf(outputs);
}

export interface BackwardResult {
  /** Sum of the loss over what it counts, and that count: labelled tokens, rows. */
  readonly sum: number;
  readonly count: number;
  /** What the loss says besides of the batch; none of what it has nothing of. */
  readonly metrics?: Metrics;
}

/** Numbers by their names. */
export type Metrics = Readonly<Record<string, number>>;

type Outputs = RunOutcome["outputs"];

function resultOf(outputs: Outputs): BackwardResult {
  const names = Object.keys(outputs).filter((name) => name.startsWith(METRIC));
  const metrics = names.map((name) => [name.slice(METRIC.length), numberOf(outputs, name)] as const);
  const there = metrics.filter(([, value]) => !Number.isNaN(value));
  return {
    ...{ sum: numberOf(outputs, "sum"), count: numberOf(outputs, "count") },
    ...(metrics.length > 0 && { metrics: Object.fromEntries(there) }),
  };
}

/** Adds the gradient of the loss's sum to `parameters`, those of the view's adapters, and its count. */
export async function backwardPass(
  runtime: Runtime,
  view: View,
  parameters: Parameters,
  batch: Inputs,
  options: BackwardOptions,
): Promise<BackwardResult> {
  rowsOf(batch);
  const training = options.training ?? true;
  const { version } = parameters;
  const add = async (request: RunRequest): Promise<RunOutcome> => {
    await runtime.planStep(request);
    const outcome = await runtime.run(request);
    if (parameters.version !== version) throw zeroedGradient();
    addGradients(parameters, view, outcome);
    return outcome;
  };
  const chunked = await inChunks(runtime, view, batch, options);
  if (chunked !== undefined) {
    const { sum, count } = chunked;
    const total = numberOf({ sum, count }, "count");
    for (const request of chunked.requests(total)) await add(request);
    parameters.count += total;
    return { sum: numberOf({ sum, count }, "sum"), count: total };
  }
  const states = await runtime.encoderStates.of(runtime, view, batch, training);
  const request = backwardRequest(adaptedModel(runtime.weights, view.adapters), view, batch, options, states);
  const { outputs } = await add(request);
  const result = resultOf(outputs);
  parameters.count += result.count;
  return result;
}

function zeroedGradient(): PeftError {
  return new PeftError("training", {
    what: "The gradient was zeroed while forwardBackward was under way.",
    why: "what it found belongs to the tensors as they were before.",
    fix: "await forwardBackward() before zero(); an optimizer's step() waits by itself.",
  });
}

function numberOf(outputs: Readonly<Record<string, HostTensor | undefined>>, name: string): number {
  return outputs[name]?.data[0] ?? internal(`no output "${name}"`);
}

/** Adds packed gradients into the flat buffer, entry by entry. */
function addGradients(parameters: Parameters, view: View, { packed, gradients }: RunOutcome): void {
  const index = new Map(parameters.list.map((p, i) => [p.name, i]));
  let at = 0;
  for (const { slot, key } of gradients) {
    const i = index.get(parameterName(view.adapters, slot, key));
    if (i === undefined) internal(`gradient of "${key}"`);
    const into = parameters.gradientOf(i);
    for (let k = 0; k < into.length; k++) into[k]! += packed[at + k]!;
    at += into.length;
  }
}
