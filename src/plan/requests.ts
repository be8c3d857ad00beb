import type { Adapter } from "../adapters/adapter.js";
import type { View } from "../adapters/view.js";
import type { NamesOf } from "../arguments.js";
import type { BatchColumn, Floats, Ids } from "../data/batch.js";
import type { HostTensor } from "../engine/messages.js";
import { PeftError } from "../errors.js";
import type { Input } from "../graph/inputs.js";
import type { Tensor } from "../graph/ops.js";
import { textHash } from "../hash.js";
import type { Loss, WrittenLoss } from "../losses/loss.js";
import { losses, lossNamed } from "../losses/registry.js";
import { weightedTokens } from "../losses/weighted_tokens.js";
import type { TaskType } from "../models/model.js";
import { decoderInputs } from "../models/text_inputs.js";
import { taskOf } from "../tasks/registry.js";
import type { Inputs, Virtual } from "../trace/feeds.js";
import {
  asDeclared,
  batchPlaces,
  checkBatch,
  columnOf,
  forwardFeeds,
  labelsOf,
  maskOf,
  randomKeys,
  rowsOf,
} from "../trace/feeds.js";
import { encoderStates, inputOf, inputsOf, randomKey } from "../trace/inputs.js";
import { packingFeeds } from "../trace/packing.js";
import type { ModelTrace } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { writeLogits, writeLoss } from "../trace/write.js";
import type { BoundWeights } from "../weights/weights.js";
import { toCode } from "../words.js";
import { lossFeeds } from "./loss_feeds.js";
import type { BatchSizes } from "./memory/batch.js";
import type { RunRequest, Written } from "./plan.js";
import { traceOf } from "./plan.js";

/** Options of a pass over a batch. */
export interface PassOptions {
  /** A loss, or the name of one that is registered. @default the task's own */
  readonly loss?: Loss | string;
  /** One of the task's heads beside its own, whose logits these are. @default the task's own */
  readonly head?: string | undefined;
}

/** Options of a pass that goes back. */
export interface BackwardOptions extends PassOptions {
  /** Whether dropout is on, the base's and the adapter's. @default true */
  readonly training?: boolean;
  /**
   * Noise on the tokens' embeddings, uniform within neftune / sqrt(tokens of the longest row x width), in
   * training mode (NEFTune, 2310.05914). @default none
   */
  readonly neftune?: number;
  readonly seed: number;
  readonly step: number;
  /** Random keys of the batch's texts. @default made of seed, step and rows */
  readonly keys?: HostTensor;
}

export const passNames: NamesOf<PassOptions> = { loss: {}, head: {} };

/** Virtual tokens of a view's prompt method. */
export function virtualOf(view: Pick<View, "adapters">): Required<Virtual> {
  const virtual = { input: 0, cache: 0, decoder: 0 };
  for (const { method, config } of view.adapters) {
    if (method?.prompt === undefined) continue;
    virtual[method.prompt.place] += method.prompt.tokens(config);
    virtual.decoder += method.prompt.decoderTokens?.(config) ?? 0;
  }
  return virtual;
}

/** What the methods of adapters read of a batch beside what the model reads. */
export function methodInputs(adapters: readonly Adapter[]): readonly Input[] {
  return adapters.flatMap(({ method, config }) => Object.values(method?.inputs?.(config) ?? {}));
}

function hasLabels(batch: Inputs): boolean {
  return "labels" in batch || "startPositions" in batch || "texts" in batch;
}

export interface Prepared {
  readonly loss: Loss | undefined;
  readonly packed: boolean;
  readonly feeds: Record<string, HostTensor>;
  /** Lengths of the dimensions that inputs name. */
  readonly sizes: ReadonlyMap<string, number>;
}

/**
 * Checks a batch and lays out all that a pass over it feeds. `keys`: random keys of the rows, in training.
 */
export function prepare(
  weights: Pick<BoundWeights, "spec" | "inventory">,
  view: View,
  batch: Inputs,
  given: Loss | string | undefined,
  more: { logits?: boolean; keys?: HostTensor } = {},
): Prepared {
  const { keys } = more;
  const { spec } = weights;
  const virtual = virtualOf(view);
  const ofMethods = methodInputs(view.adapters);
  const sizes = checkBatch(weights, batch, virtual, given === undefined, ofMethods);
  const prompted = given === undefined ? labelsOfPrompt(view, batch) : undefined;
  const used = prompted === undefined ? usedLoss(spec, batch, given) : weightedTokens;
  const tokens = inputOf(inputsOf(spec), "tokens");
  const packed =
    tokens !== undefined &&
    !(used?.padding ?? false) &&
    taskOf(spec.task).packs &&
    !view.adapters.some(({ method, config }) => method?.wholeRows?.(config)) &&
    view.gates.every((g) => typeof g === "number");
  const feeds: Record<string, HostTensor> = forwardFeeds(spec, batch, virtual, ofMethods);
  const places = packed
    ? batchPlaces(spec, batch, virtual, given !== undefined || (more.logits ?? false))
    : undefined;
  const labelled = prompted ?? batch;
  if (used !== undefined)
    Object.assign(feeds, lossFeeds(used, spec, labelled, virtual, new Map(sizes), places));
  if (keys !== undefined) feeds[randomKey.name] = keys;
  if (places !== undefined && tokens !== undefined) {
    const rowKeys = keys?.data;
    Object.assign(feeds, packingFeeds(tokens, places.input, rowKeys));
    if (places.decoder) Object.assign(feeds, packingFeeds(decoderInputs.ids, places.decoder, rowKeys));
  }
  return { loss: used, packed, feeds, sizes };
}

/** The batch with the labels of a prompt that learns some; undefined: neither has any. */
function labelsOfPrompt(view: View, batch: Inputs): Inputs | undefined {
  const read = (name: string): BatchColumn | undefined => {
    const own = columnOf(batch, name);
    return own && asDeclared(own, "i64");
  };
  for (const { method, config } of view.adapters) {
    const found = method?.prompt?.labels?.(config, read);
    if (found === undefined) continue;
    const columns = { ...batch.columns, labels: found.labels, lossWeights: found.weights };
    const labelled: object = { ...batch, labels: found.labels, columns };
    return labelled as Inputs;
  }
  return undefined;
}

/** The loss that is given, else the task's own; undefined: none, for a batch without labels. */
export function usedLoss(
  { task, config }: ModelSpec,
  batch: Inputs,
  given: Loss | string | undefined,
): Loss | undefined {
  if (given !== undefined) return lossNamed(given);
  if (!hasLabels(batch)) return undefined;
  const { pairs } = taskOf(task);
  if (pairs !== undefined && columnOf(batch, "pairs") !== undefined) return pairs.loss;
  const floats = labelsOf(batch)?.data instanceof Float32Array;
  return taskOf(task).loss(config, floats ? "floats" : "ids");
}

function noLoss(task: TaskType, batch: Inputs): never {
  const features = taskOf(task).labels === "none";
  throw new PeftError(features ? "training" : "batch", {
    what: features
      ? `${task} has no loss of its own for texts alone.`
      : `This batch has no labels: ${Object.keys(batch)}.`,
    why: features ? "what features should be is for you to say." : "a loss needs them.",
    fix: features
      ? toCode(
          "use rows of texts that are near each other (anchor and positive), or pass a loss: forwardBackward(batch, { loss }).",
          "use rows of texts that are near each other (anchor and positive), or choose another task, with --task.",
        )
      : "use rows with a target or label.",
  });
}

/** Random keys of a batch's rows in a step. */
export function keysOf(batch: Inputs, { seed, step }: BackwardOptions): HostTensor {
  return randomKeys(seed, step, "rows" in batch && batch.rows ? batch.rows : counting(rowsOf(batch)));
}

/** Logits, and the loss where there are labels; dropout is off. Throws "batch" for what cannot be run. */
export function forwardRequest(
  weights: Pick<BoundWeights, "spec" | "inventory">,
  view: View,
  batch: Inputs,
  options: PassOptions,
): RunRequest {
  const { spec } = weights;
  const { head } = options;
  const { loss, packed, feeds } = prepare(weights, view, batch, options.loss, { logits: true });
  const kind = head === undefined ? "logits" : `logits of ${head}`;
  if (loss === undefined) {
    const write = (trace: ModelTrace): Written => ({ outputs: { logits: writeLogits(spec, trace, head) } });
    return { kind, view, packed, write, feeds };
  }
  return withCustomLoss(options.loss, spec, {
    kind: `${kind} and ${loss.name}`,
    view,
    packed,
    write: (trace) => {
      const written = writeLoss(spec, trace, loss);
      return { outputs: { ...outputsOf(written), logits: written.logits(head) } };
    },
    feeds,
  });
}

/** The loss alone; dropout is off. Throws "batch" for what cannot be run. */
export function lossRequest(
  weights: Pick<BoundWeights, "spec" | "inventory">,
  view: View,
  batch: Inputs,
  options: PassOptions,
): RunRequest {
  const { spec } = weights;
  const { loss, packed, feeds } = prepare(weights, view, batch, options.loss);
  const named = loss ?? noLoss(spec.task, batch);
  return withCustomLoss(options.loss, spec, {
    kind: `loss ${named.name}`,
    view,
    packed,
    write: (trace) => ({ outputs: outputsOf(writeLoss(spec, trace, named)) }),
    feeds,
  });
}

/** How a loss's metrics are called among a run's outputs. */
export const METRIC = "metric:";

function outputsOf({ sum, count, metrics = {} }: WrittenLoss): Record<string, Tensor> {
  const named = Object.entries(metrics).map(([name, metric]) => [METRIC + name, metric]);
  return { sum, count, ...Object.fromEntries(named) };
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
  const keys = options.keys ?? keysOf(batch, options);
  const { loss, packed, feeds, sizes } = prepare(weights, view, batch, options.loss, { keys });
  const named = loss ?? noLoss(spec.task, batch);
  const kind = `gradient of ${named.name}${states === undefined ? "" : " from states"}`;
  return withCustomLoss(options.loss, spec, {
    kind,
    view,
    packed,
    training: options.training ?? named.dropout ?? true,
    ...(options.neftune === undefined ? {} : { neftune: options.neftune }),
    write: (trace) => {
      const written = writeLoss(spec, trace, named, states !== undefined);
      return { outputs: outputsOf(written), loss: written.sum };
    },
    feeds: states === undefined ? feeds : { ...feeds, [encoderStates(spec.config.hiddenSize).name]: states },
    sizes: sizesOf(spec, batch, sizes),
  });
}

/**
 * A run with a loss that is given. One that is registered is known by its name; any other by a hash of what
 * it writes: losses of one name may differ, and one may change from call to call.
 */
export function withCustomLoss(
  given: Loss | string | undefined,
  spec: ModelSpec,
  request: RunRequest,
): RunRequest {
  if (given === undefined) return request;
  const loss = lossNamed(given);
  if (losses.all.includes(loss)) return { ...request, isCustom: true };
  if (loss.key !== undefined) return { ...request, kind: `${request.kind} ${loss.key}`, isCustom: true };
  const fromStates = encoderStates(spec.config.hiddenSize).name in request.feeds;
  const text = writeLoss(spec, traceOf(request), loss, fromStates).text();
  return { ...request, kind: `${request.kind} ${textHash(text)}`, isCustom: true };
}

/** What the memory of a pass over a batch is planned by. Throws "batch" for one that cannot be run. */
export function batchSizes(
  weights: Pick<BoundWeights, "spec" | "inventory">,
  adapters: View["adapters"],
  batch: Inputs,
  { loss }: PassOptions,
): BatchSizes {
  const virtual = virtualOf({ adapters });
  const lengths = checkBatch(weights, batch, virtual, loss === undefined, methodInputs(adapters));
  return sizesOf(weights.spec, batch, lengths);
}

function sizesOf(spec: ModelSpec, batch: Inputs, lengths: ReadonlyMap<string, number>): BatchSizes {
  const { batch: rows = 0, seq, target: _, ...dims } = Object.fromEntries(lengths);
  const sizes = {
    batch: rows,
    ...(seq === undefined ? {} : { seq, tokens: tokensOf(spec, batch, seq) }),
    dims,
  };
  const labels = labelsOf(batch);
  if (labels === undefined) return sizes;
  if (taskOf(spec.task).labels === "target") return { ...sizes, target: labels.shape[1] };
  return taskOf(spec.task).labels === "next token" ? { ...sizes, labels: mostLabelled(labels) } : sizes;
}

/** Tokens of all rows; of one row at least, as padding alone is computed too. */
function tokensOf(spec: ModelSpec, batch: Inputs, seq: number): number {
  let tokens = 0;
  for (const one of maskOf(spec, batch)?.data ?? []) tokens += one;
  return Math.max(tokens, seq);
}

/** Labelled tokens of the row that has the most. */
function mostLabelled({ data, shape: [rows, columns] }: Ids | Floats): number {
  const counts = Array.from(
    { length: rows },
    (_, row) => data.subarray(row * columns, (row + 1) * columns).filter((label) => label >= 0).length,
  );
  return Math.max(...counts);
}

function counting(n: number): Int32Array {
  return Int32Array.from({ length: n }, (_, i) => i);
}
