import { PeftError } from "../errors.js";
import type { Dim } from "../graph/dims.js";
import { addDims } from "../graph/dims.js";
import { exactly } from "../graph/graph.js";
import type { KeyValue } from "../graph/module.js";
import { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Loss } from "../losses/loss.js";
import type { Architecture, ModelConfig, TaskType, TextInputs } from "../models/model.js";
import type { Head } from "../tasks/head.js";
import { headsOf, taskOf, tasks } from "../tasks/registry.js";
import { prefixCache } from "./prefix.js";
import type { Inventory } from "./trace.js";
import { ModelTrace } from "./trace.js";

/** Which model, for which task: all that counting needs. */
export interface ModelSpec {
  readonly architecture: Architecture;
  readonly config: ModelConfig;
  readonly task: TaskType;
}

interface Written {
  /** [batch, total, hidden] */
  readonly hidden: Tensor;
  /** [batch, total], i64: of the stack that `hidden` comes from, without the past */
  readonly mask: Tensor;
  readonly present: readonly KeyValue[];
}

/** Every layer and weight of the model, from its config alone. */
export function takeInventory(spec: ModelSpec): Inventory {
  const trace = new ModelTrace({
    adapters: [],
    mixed: false,
    training: false,
    virtual: false,
    packed: false,
  });
  const { hidden, mask } = writeHidden(spec, trace);
  for (const head of headsOf(spec.task)) writeHead(spec, trace, head, trace.unpack(hidden), mask);
  return trace;
}

function bareModel({ task, architecture }: ModelSpec, trace: ModelTrace): Module {
  return new Module(trace).at(taskOf(task).head.isBare ? "" : architecture.prefix);
}

/** The inputs of a stack, by their names in a batch. `past` counts cached tokens, `virtual` those before the input. */
function stackInputs(
  trace: ModelTrace,
  names: { ids: string; mask: string; positions: string },
  sizes: { length: string; virtual: Dim; past: Dim },
  past: readonly KeyValue[] | undefined,
): TextInputs {
  const { g } = trace;
  const length = addDims(sizes.virtual, sizes.length);
  trace.addPacking(names.ids, length);
  return {
    ids: g.input(names.ids, ["batch", sizes.length], "i64"),
    mask: g.input(names.mask, ["batch", addDims(sizes.past, length)], "i64"),
    positions: g.input(names.positions, ["batch", length], "i64"),
    typeIds: g.input("tokenTypeIds", ["batch", length], "i64"),
    past,
  };
}

const INPUT = { ids: "inputIds", mask: "attentionMask", positions: "positionIds" };
const DECODER = { ids: "decoderInputIds", mask: "decoderAttentionMask", positions: "decoderPositionIds" };

function realMask(trace: ModelTrace, x: TextInputs, past: Dim): Tensor {
  return trace.g.slice(x.mask, 1, past, x.mask.shape[1]!);
}

/** The encoder of an encoder-decoder. */
function writeEncoder(spec: ModelSpec, trace: ModelTrace): { encoded: Tensor; mask: Tensor } {
  const { encoder } = spec.architecture;
  const sizes = { length: "seq", virtual: trace.virtualTokens("input"), past: 0 };
  const x = stackInputs(trace, INPUT, sizes, undefined);
  return { encoded: encoder!(bareModel(spec, trace), spec.config, x), mask: x.mask };
}

/** An encoder's output, [batch, seq, hidden]. */
export function writeEncoderStates(spec: ModelSpec, trace: ModelTrace): Tensor {
  return trace.unpack(writeEncoder(spec, trace).encoded);
}

/** The same, given from outside. */
function givenStates({ config }: ModelSpec, trace: ModelTrace): { encoded: Tensor; mask: Tensor } {
  const sizes = { length: "seq", virtual: 0, past: 0 };
  const { mask } = stackInputs(trace, INPUT, sizes, undefined);
  const states = trace.g.input("encoderStates", ["batch", "seq", config.hiddenSize]);
  return { encoded: trace.pack(states), mask };
}

/** The whole model up to its last hidden states, over whole sequences. */
function writeHidden(spec: ModelSpec, trace: ModelTrace, fromStates = false): Written {
  const { architecture: a, config } = spec;
  const w = bareModel(spec, trace);
  const past = prefixCache(trace, config);
  const pastLength = trace.virtualTokens("cache");
  if (a.stack !== undefined) {
    const sizes = { length: "seq", virtual: trace.virtualTokens("input"), past: pastLength };
    const x = stackInputs(trace, INPUT, sizes, past);
    return { ...a.stack(w, config, x), mask: realMask(trace, x, pastLength) };
  }
  const { encoded, mask: encoderMask } = fromStates ? givenStates(spec, trace) : writeEncoder(spec, trace);
  const x = stackInputs(trace, DECODER, { length: "target", virtual: 0, past: pastLength }, past);
  const inputs = { ...x, encoderMask, cross: (_: number, project: () => KeyValue) => project() };
  return { ...a.decoder!(w, config, inputs, encoded), mask: realMask(trace, x, pastLength) };
}

/** A head of the spec's task over hidden states. Throws "unknown-task" where the architecture has none. */
function writeHead(spec: ModelSpec, trace: ModelTrace, head: Head, hidden: Tensor, mask: Tensor): Tensor {
  const { architecture, config } = spec;
  const write = head.write(architecture);
  if (write !== undefined) return write(new Module(trace), config, hidden, mask);
  const known = tasks.all.filter((task) => task.head.write(architecture) !== undefined);
  throw new PeftError("unknown-task", {
    what: `A ${config.modelType} model has no head for ${spec.task}.`,
    why: `peft.js knows it for ${known.map(({ name }) => name).join(", ")}.`,
    fix: "choose one of these tasks, or another model.",
  });
}

/** logits over whole sequences: [batch, total, n], or [batch, n] where the task pools. */
export function writeLogits(spec: ModelSpec, trace: ModelTrace): Tensor {
  const { hidden, mask } = writeHidden(spec, trace);
  return writeHead(spec, trace, taskOf(spec.task).head, trace.unpack(hidden), mask);
}

/** A loss written down. */
interface WrittenLoss {
  readonly sum: Tensor;
  readonly count: Tensor;
  readonly logits: () => Tensor;
  /** The nodes that the loss itself added, as text: two losses of one text are one. */
  readonly text: () => string;
}

/** The loss's sum and count, and the logits if they are asked for. `fromStates`: the encoder's output is an input. */
export function writeLoss(spec: ModelSpec, trace: ModelTrace, loss: Loss, fromStates = false): WrittenLoss {
  const { g } = trace;
  const { hidden, mask } = writeHidden(spec, trace, fromStates);
  const logits = (name?: string): Tensor =>
    writeHead(spec, trace, headNamed(spec.task, name), trace.unpack(hidden), mask);
  const labelled = (name?: string): Tensor => {
    const positions = g.input("labelPositions", LABELLED, "i64");
    const head = headNamed(spec.task, name);
    return trace.options.mixed // scales are per row of the batch there
      ? g.gather(g.rows(logits(name)), positions)
      : trace.atRows(positions, hidden, (x) => writeHead(spec, trace, head, x, mask));
  };
  const column = (name: string): Tensor => {
    const found = loss.columns?.[name] ?? undeclared(loss, name);
    return g.input(name, "per" in found ? LABELLED : found.shape, found.dtype);
  };
  const first = g.nodes.length;
  const { sum, count } = loss.write({ g, config: spec.config, logits, labelled, column, mask });
  const last = g.nodes.length;
  const text = (): string => {
    const own = g.nodes
      .slice(first, last)
      .map(({ op, attrs, inputs }) => [op, attrs, inputs.map((x) => x.id)]);
    return JSON.stringify([own, sum.id, count.id], exactly);
  };
  const penalty = trace.penalty();
  const whole = penalty === undefined ? sum : g.add(sum, g.mul(penalty, count));
  return { sum: whole, count, logits, text };
}

const LABELLED = ["chunks", "chunk"];

/** The task's own head, or the one of this name beside it. */
function headNamed(task: TaskType, name: string | undefined): Head {
  const { head, heads = {} } = taskOf(task);
  const found = name === undefined ? head : heads[name];
  if (found !== undefined) return found;
  throw new PeftError("training", {
    what: `The loss reads a head "${name}", which ${task} does not have.`,
    why: `beside its own head it has ${Object.keys(heads).join(", ") || "none"}.`,
    fix: "add it to the task's heads, or read one of these.",
  });
}

function undeclared({ name, columns = {} }: Loss, column: string): never {
  throw new PeftError("training", {
    what: `The loss "${name}" reads the column "${column}", which it does not declare.`,
    why: `its columns are ${Object.keys(columns).join(", ") || "none"}: they are checked and fed from the batch.`,
    fix: `add it: columns: { ${column}: { dtype: "f32", shape: ["batch"] } }.`,
  });
}

export interface StepOptions {
  /** Beams: which row of the cache each row continues. */
  readonly reorder: boolean;
}

/**
 * Generation with caches: the last position's logits [batch, vocab] and keys and values grown by the new tokens. Encoder-decoders
 * read the cross-attention's keys and values from inputs that `writeEncode` made.
 */
export function writeStep(spec: ModelSpec, trace: ModelTrace, options: StepOptions): Record<string, Tensor> {
  const { g } = trace;
  const { architecture: a, config } = spec;
  const { layers, kvHeads, headDim } = config.cache;
  const order = options.reorder ? g.input("order", ["batch"], "i64") : undefined;
  const cached = (name: string, length: string): Tensor => {
    const rows = order === undefined ? "batch" : "former";
    const x = g.input(name, [rows, kvHeads, length, headDim]);
    return order === undefined ? x : g.gather(x, order, 0);
  };
  const past = Array.from({ length: layers }, (_, i) => ({
    k: cached(`past.${i}.k`, "past"),
    v: cached(`past.${i}.v`, "past"),
  }));
  const w = bareModel(spec, trace);
  const virtual = trace.options.virtual && !config.encoderDecoder ? trace.virtualTokens("input") : 0;
  const names = config.encoderDecoder ? DECODER : INPUT;
  const x = stackInputs(trace, names, { length: "seq", virtual, past: "past" }, past);
  const { hidden, present } = config.encoderDecoder
    ? a.decoder!(w, config, { ...x, ...crossInputs(trace, config) }, undefined)
    : a.stack!(w, config, x);
  const logits = writeHead(spec, trace, taskOf(spec.task).head, g.last(hidden, 1), x.mask);
  const outputs: Record<string, Tensor> = { logits: g.squeeze(logits, 1) };
  for (const [i, { k, v }] of present.entries()) {
    outputs[`present.${i}.k`] = k;
    outputs[`present.${i}.v`] = v;
  }
  return outputs;
}

function crossInputs(
  trace: ModelTrace,
  { cache: { kvHeads, headDim } }: ModelConfig,
): { encoderMask: Tensor; cross: (layer: number) => KeyValue } {
  const { g } = trace;
  const shape = ["batch", kvHeads, "encoded", headDim];
  return {
    encoderMask: g.input("attentionMask", ["batch", "encoded"], "i64"),
    cross: (layer) => ({ k: g.input(`cross.${layer}.k`, shape), v: g.input(`cross.${layer}.v`, shape) }),
  };
}

/** Runs the encoder once and projects its output for every layer's cross-attention; `rows` repeats rows for beams. */
export function writeEncode(spec: ModelSpec, trace: ModelTrace): Record<string, Tensor> {
  const { g } = trace;
  const { architecture: a, config } = spec;
  const { encoded } = writeEncoder(spec, trace);
  const outputs: Record<string, Tensor> = {};
  const repeated = g.gather(encoded, g.input("rows", ["repeated"], "i64"), 0);
  const mask = g.input("encoderMask", ["repeated", encoded.shape[1]!], "i64");
  const x: TextInputs = {
    ids: g.input("startIds", ["repeated", "target"], "i64"),
    mask: g.input("startMask", ["repeated", "target"], "i64"),
    positions: g.input("startPositions", ["repeated", "target"], "i64"),
    typeIds: undefined,
    past: undefined,
  };
  const cross = (layer: number, project: () => KeyValue): KeyValue => {
    const { k, v } = project();
    outputs[`cross.${layer}.k`] = k;
    outputs[`cross.${layer}.v`] = v;
    return { k, v };
  };
  a.decoder!(bareModel(spec, trace), config, { ...x, encoderMask: mask, cross }, repeated);
  return outputs;
}
