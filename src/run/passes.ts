import { parameterName } from "../adapters/adapter.js";
import type { View } from "../adapters/view.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { HostTensor } from "../engine/messages.js";
import { internal, PeftError } from "../errors.js";
import type { Parameters } from "../graph/parameters.js";
import type { RunRequest, Written } from "../plan/plan.js";
import type { BackwardOptions, PassOptions } from "../plan/requests.js";
import { backwardRequest, noLoss, prepare, withCustomLoss } from "../plan/requests.js";
import { type Inputs, rowsOf } from "../trace/feeds.js";
import type { ModelTrace } from "../trace/trace.js";
import { writeLogits, writeLoss } from "../trace/write.js";
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
    return { logits: floatsOf(outputs, "logits"), loss: undefined, count: undefined };
  }
  const request: RunRequest = {
    kind: `logits and ${loss.name}`,
    view,
    packed,
    write: (trace) => {
      const { sum, count, logits } = writeLoss(spec, trace, loss);
      return { outputs: { sum, count, logits: logits() } };
    },
    feeds,
  };
  const { outputs } = await runtime.run(withCustomLoss(options.loss, spec, request));
  const count = numberOf(outputs, "count");
  return { logits: floatsOf(outputs, "logits"), loss: numberOf(outputs, "sum") / count, count };
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
  const request: RunRequest = {
    kind: `loss ${named.name}`,
    view,
    packed,
    write: (trace) => {
      const { sum, count } = writeLoss(spec, trace, named);
      return { outputs: { sum, count } };
    },
    feeds,
  };
  const { outputs } = await runtime.run(withCustomLoss(options.loss, spec, request));
  return { sum: numberOf(outputs, "sum"), count: numberOf(outputs, "count") };
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
  const request = backwardRequest(runtime.weights, view, batch, options, states);
  const { outputs } = await add(request);
  const sum = numberOf(outputs, "sum");
  const count = numberOf(outputs, "count");
  parameters.count += count;
  return { sum, count };
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
