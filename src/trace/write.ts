import { internal, PeftError } from "../errors.js";
import type { Dim } from "../graph/dims.js";
import { addDims, dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import { exactly } from "../graph/graph.js";
import type { InputSet, Lengths } from "../graph/inputs.js";
import type { KeyValue, Layout } from "../graph/module.js";
import { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Loss, WrittenLoss } from "../losses/loss.js";
import { MEAN, textVectors } from "../losses/vectors.js";
import type { Architecture, ModelConfig, TaskType, TextInputs } from "../models/model.js";
import { decoderInputs } from "../models/text_inputs.js";
import type { Head } from "../tasks/head.js";
import { headsOf, taskOf, tasks } from "../tasks/registry.js";
import {
  declare,
  declareCore,
  encoderStates,
  inputOf,
  inputsOf,
  labelPositions,
  labelRows,
} from "./inputs.js";
import type { StackLayout } from "./layout.js";
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
  /** How the positions of `hidden` lie. */
  readonly layout: StackLayout;
  /** [batch, total], i64: of the stack that `hidden` comes from, without the past */
  readonly mask: Tensor;
  readonly present: readonly KeyValue[];
  readonly penalty?: Tensor | undefined;
}

/** Every layer and weight of the model, from its config alone. */
export function takeInventory(spec: ModelSpec): Inventory {
  const trace = new ModelTrace({
    adapters: [],
    mixed: false,
    training: false,
    virtual: false,
    packed: false,
    long: false,
    neftune: 0,
  });
  const { hidden, layout, mask } = writeHidden(spec, trace);
  for (const head of headsOf(spec.task)) writeHead(spec, trace, head, layout.unpack(hidden), mask);
  return trace;
}

/** Where the bare model sits in a model with a head. */
export function prefixOf({ architecture: { prefix }, task }: ModelSpec): string {
  return typeof prefix === "function" ? prefix(task) : prefix;
}

/** The model below its head, of which `part` is written. */
export function bareModel(
  spec: ModelSpec,
  trace: ModelTrace,
  layout: Layout,
  part: "stack" | "encoder" | "decoder",
): Module {
  const w = new Module(trace, "", layout).at(taskOf(spec.task).head.isBare ? "" : prefixOf(spec));
  trace.stack = part === "stack" ? w.path : part === "encoder" ? w.name(part) : undefined;
  return w;
}

/** A function that every architecture of the model's kind has. */
export function partOf<K extends "stack" | "encoder" | "decoder">(
  { architecture, config }: ModelSpec,
  part: K,
): NonNullable<Architecture[K]> {
  return architecture[part] ?? internal(`${config.modelType} has no ${part}`);
}

type Tensors<I extends InputSet> = { readonly [K in keyof I]: Tensor };

/** What a stack reads, and how the positions of its sequences lie. */
interface Declared<X> {
  readonly x: X;
  readonly layout: StackLayout;
}

/** Declares what a stack reads; its padding can be left out where it reads tokens. */
export function declareInputs<I extends InputSet>(
  trace: ModelTrace,
  inputs: I,
  at: Lengths,
): Declared<Tensors<I>> {
  const tokens = inputOf(inputs, "tokens");
  const length = addDims(at.virtual, at.length);
  trace.lengths = at;
  const layout = tokens === undefined ? trace.padded : trace.layout(tokens, length);
  const declared = Object.entries(inputs).map(([key, input]) => [key, declare(trace.g, input, at)]);
  return { x: Object.fromEntries(declared) as Tensors<I>, layout };
}

/**
 * What a stack reads, as its architecture's function has it: of text, where the architecture declares nothing
 * else.
 */
export function stackInputs(
  spec: ModelSpec,
  trace: ModelTrace,
  at: Lengths,
  past?: readonly KeyValue[],
): Declared<TextInputs> {
  const { x, layout } = declareInputs(trace, inputsOf(spec), at);
  return { x: { ...x, past } as unknown as TextInputs, layout };
}

/**
 * The mask of the places of `hidden`, without the past; without a mask among the inputs all of them count.
 */
function maskOf(trace: ModelTrace, mask: Tensor | undefined, past: Dim, hidden: Tensor): Tensor {
  const { g } = trace;
  if (mask !== undefined) return g.slice(mask, 1, past, dimAt(mask.shape, 1));
  return g.expand(g.scalar(1, "i64"), hidden.shape.slice(0, -1));
}

interface Encoded {
  readonly encoded: Tensor;
  readonly layout: StackLayout;
  readonly mask: Tensor;
}

/** The encoder of an encoder-decoder. */
export function writeEncoder(spec: ModelSpec, trace: ModelTrace): Encoded {
  const virtual = trace.virtualTokens("input");
  const { x, layout } = stackInputs(spec, trace, { batch: "batch", length: "seq", virtual, past: 0 });
  const encoded = partOf(spec, "encoder")(bareModel(spec, trace, layout, "encoder"), spec.config, x);
  return { encoded, layout, mask: maskOf(trace, x.mask, 0, encoded) };
}

/** An encoder's output, [batch, seq, hidden]. */
export function writeEncoderStates(spec: ModelSpec, trace: ModelTrace): Tensor {
  const { encoded, layout } = writeEncoder(spec, trace);
  return layout.unpack(encoded);
}

/** The same, given from outside. */
function givenStates(spec: ModelSpec, trace: ModelTrace): Encoded {
  const { x, layout } = stackInputs(spec, trace, { batch: "batch", length: "seq", virtual: 0, past: 0 });
  const states = declareCore(trace.g, encoderStates(spec.config.hiddenSize));
  return { encoded: layout.pack(states), layout, mask: maskOf(trace, x.mask, 0, states) };
}

/** The whole model up to its last hidden states, over whole sequences. */
function writeHidden(spec: ModelSpec, trace: ModelTrace, fromStates = false): Written {
  const { config } = spec;
  const past = prefixCache(trace, config);
  const pastLength = trace.virtualTokens("cache");
  if (!config.encoderDecoder) {
    const virtual = trace.virtualTokens("input");
    const at = { batch: "batch", length: "seq", virtual, past: pastLength };
    const { x, layout } = stackInputs(spec, trace, at, past);
    const out = partOf(spec, "stack")(bareModel(spec, trace, layout, "stack"), config, x);
    return { ...out, layout, mask: out.mask ?? maskOf(trace, x.mask, pastLength, out.hidden) };
  }
  const encoder = fromStates ? givenStates(spec, trace) : writeEncoder(spec, trace);
  trace.promptsDecoder = true;
  const at = { batch: "batch", length: "target", virtual: trace.virtualTokens("decoder"), past: pastLength };
  const { x, layout } = declareInputs(trace, decoderInputs, at);
  const cross = (_: number, project: (of: Layout) => KeyValue): KeyValue => project(encoder.layout);
  const inputs = { ...x, typeIds: undefined, past, encoderMask: encoder.mask, cross };
  const out = partOf(spec, "decoder")(
    bareModel(spec, trace, layout, "decoder"),
    config,
    inputs,
    encoder.encoded,
  );
  return { ...out, layout, mask: maskOf(trace, x.mask, pastLength, out.hidden) };
}

/** A head of the spec's task over hidden states. Throws "unknown-task" where the architecture has none. */
export function writeHead(
  spec: ModelSpec,
  trace: ModelTrace,
  head: Head,
  hidden: Tensor,
  mask: Tensor,
  layout: Layout = trace.padded,
): Tensor {
  const { architecture, config } = spec;
  const write = head.write(architecture);
  if (write !== undefined) return write(new Module(trace, "", layout), config, hidden, mask);
  const known = tasks.all.filter((task) => task.head.write(architecture) !== undefined);
  throw new PeftError("unknown-task", {
    what: `A ${config.modelType} model has no head for ${spec.task}.`,
    why: `peft.js knows it for ${known.map(({ name }) => name).join(", ")}.`,
    fix: "choose one of these tasks, or another model.",
  });
}

/** logits over whole sequences: [batch, total, n], or [batch, n] where the task pools. */
export function writeLogits(spec: ModelSpec, trace: ModelTrace, head?: string): Tensor {
  const { hidden, layout, mask } = writeHidden(spec, trace);
  return writeHead(spec, trace, headNamed(spec, head), layout.unpack(hidden), mask);
}

/** The vector of each text, [batch, hidden]. */
export function writeVectors(spec: ModelSpec, trace: ModelTrace): Tensor {
  const { hidden, layout, mask } = writeHidden(spec, trace);
  return textVectors(trace.g, layout.unpack(hidden), mask, spec.config.pooling ?? MEAN);
}

/** A loss written down, in a model. */
interface LossInModel extends WrittenLoss {
  readonly logits: (head?: string) => Tensor;
  /** The nodes that the loss itself added, as text: two losses of one text are one. */
  readonly text: () => string;
}

/**
 * The loss's sum and count, and the logits if they are asked for. `fromStates`: the encoder's output is an
 * input.
 */
export function writeLoss(spec: ModelSpec, trace: ModelTrace, loss: Loss, fromStates = false): LossInModel {
  const { g } = trace;
  const { hidden, layout, mask, penalty: ofModel } = writeHidden(spec, trace, fromStates);
  const logits = (name?: string): Tensor =>
    writeHead(spec, trace, headNamed(spec, name), layout.unpack(hidden), mask);
  const labelled = (name?: string): Tensor => {
    const positions = declareCore(g, labelPositions);
    const head = headNamed(spec, name);
    // what adapters do there is per row of the batch
    if (trace.options.mixed || trace.needsWholeHead) return g.gather(g.rows(logits(name)), positions);
    const rows = g.gather(g.rows(hidden), positions); // [chunks, chunk, hidden]
    return writeHead(spec, trace, head, rows, mask, layout.chosen(positions, hidden.shape));
  };
  const column = (name: string): Tensor => lossColumn(spec, g, loss, name);
  const first = g.nodes.length;
  const { config } = spec;
  const vectors = (): Tensor => textVectors(g, layout.unpack(hidden), mask, config.pooling ?? MEAN);
  const rows = (): Tensor => declareCore(g, labelRows);
  const c = { g, config, logits, labelled, labelRows: rows, vectors, column, mask };
  const { sum, count, metrics = {} } = loss.write(c);
  const last = g.nodes.length;
  const text = (): string => {
    const own = g.nodes
      .slice(first, last)
      .map(({ op, attrs, inputs }) => [op, attrs, inputs.map((x) => x.id)]);
    const said = Object.entries(metrics).map(([name, { id }]) => [name, id]);
    return JSON.stringify([own, sum.id, count.id, ...said], exactly);
  };
  const isOfWords = taskOf(spec.task).labels === "next token";
  // where an adapter's file names no task, Python leaves out what its method adds to the loss
  const ofMethods = taskOf(spec.task).byClass === true ? undefined : trace.penalty();
  const penalties = [ofMethods, isOfWords ? ofModel : undefined].filter((x) => x !== undefined);
  const whole = penalties.reduce((sum, penalty) => g.add(sum, g.mul(penalty, count)), sum);
  return { sum: whole, count, metrics, logits, text };
}

/** Declares a column that a loss reads. */
function lossColumn({ task, config }: ModelSpec, g: Graph, loss: Loss, name: string): Tensor {
  const found = loss.columns?.[name] ?? undeclared(loss, name);
  const outputs = taskOf(task).head.outputs(config);
  const shape = "per" in found ? labelPositions.shape : found.shape;
  return g.input(
    name,
    shape.map((d) => (d === "outputs" ? outputs : d)),
    found.dtype,
  );
}

/** A loss of vectors that are an input, [batch, hidden], of a loss that reads nothing else of the model. */
export function writeLossOfVectors(
  spec: ModelSpec,
  g: Graph,
  loss: Loss,
): { readonly sum: Tensor; readonly count: Tensor; readonly vectors: Tensor } {
  const x = g.input("vectors", ["batch", spec.config.hiddenSize]);
  const vectors = (): Tensor => x;
  const column = (name: string): Tensor => lossColumn(spec, g, loss, name);
  const refuse = (): never => readsMore(loss);
  const { config } = spec;
  const c = { g, config, logits: refuse, labelled: refuse, labelRows: refuse, vectors, column, mask: x };
  return { ...loss.write(c), vectors: x };
}

function readsMore({ name, chunk }: Loss): never {
  throw new PeftError("training", {
    what: `The loss "${name}" says chunk: ${chunk}, and reads logits.`,
    why: "in chunks the vectors of all texts are there at the same time, and nothing else of the model.",
    fix: "read vectors() alone, or leave out chunk.",
  });
}

/** The task's own head, or the one of this name: of the task, or of the architecture. */
function headNamed({ task, architecture }: ModelSpec, name: string | undefined): Head {
  const { head, heads = {} } = taskOf(task);
  const { named = {} } = architecture.heads;
  const own = name === undefined ? head : heads[name];
  if (own !== undefined) return own;
  if (name !== undefined && named[name] !== undefined)
    return { ...head, write: ({ heads }) => heads.named?.[name], modules: [] };
  throw new PeftError("training", {
    what: `There is no head "${name}" in a model for ${task}.`,
    why: `beside its own head it has ${[...Object.keys(heads), ...Object.keys(named)].join(", ") || "none"}.`,
    fix: "read one of these, or add it to the task's heads.",
  });
}

function undeclared({ name, columns = {} }: Loss, column: string): never {
  throw new PeftError("training", {
    what: `The loss "${name}" reads the column "${column}", which it does not declare.`,
    why: `its columns are ${Object.keys(columns).join(", ") || "none"}: they are checked and fed from the batch.`,
    fix: `add it: columns: { ${column}: { dtype: "f32", shape: ["batch"] } }.`,
  });
}
