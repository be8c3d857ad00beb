import type { View } from "../adapters/view.js";
import { floatsOf } from "../engine/host_tensor.js";
import type { HostTensor, RunResult } from "../engine/messages.js";
import { isNode, toProgram } from "../engine/program.js";
import { axes } from "../graph/dims.js";
import type { RunRequest } from "../plan/plan.js";
import { traceOf } from "../plan/plan.js";
import { at, entry } from "../present.js";
import type { Inputs, TextBatch } from "../trace/feeds.js";
import { encoderFeeds } from "../trace/feeds.js";
import { writeEncoderStates } from "../trace/write.js";
import type { BoundWeights } from "../weights/weights.js";

/** Most bytes of states that are kept, however much memory there is: 1 GB. */
const MOST = 1 << 30;

/** Who runs the encoder. */
interface Runs {
  readonly weights: Pick<BoundWeights, "spec">;
  run(request: RunRequest): Promise<RunResult>;
}

/**
 * An encoder's output, kept per sample: where nothing in the encoder is trained and no dropout is on, it is
 * the same in every epoch. (A prefix, or LoRA on the decoder alone.) What was not used for longest goes.
 */
export class EncoderStates {
  readonly #kept: Map<string, Float32Array> = new Map();
  readonly #constant: Map<string, boolean> = new Map();
  #bytes = 0;
  #capacity: number = MOST;
  /** How many samples were encoded so far. */
  encoded = 0;

  /** Bytes that may be kept: what a plan leaves of its budget. */
  set capacity(bytes: number) {
    this.#capacity = Math.min(MOST, bytes);
    this.#makeRoom();
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  /** States of a batch [batch, seq, hidden], zeros at padding; undefined: they change from step to step. */
  async of(runtime: Runs, view: View, batch: Inputs, training: boolean): Promise<HostTensor | undefined> {
    const { config } = runtime.weights.spec;
    if (
      !config.encoderDecoder ||
      !isText(batch) ||
      !this.#isConstant(this.#request(runtime, view, batch, training))
    )
      return undefined;
    const [rows, seq] = batch.inputIds.shape;
    const keys = Array.from({ length: rows }, (_, row) => keyOf(batch, row));
    const missing = keys.flatMap((key, row) => (this.#kept.has(key) ? [] : [row]));
    if (missing.length > 0) await this.#encode(runtime, view, batch, missing, keys, training);
    const width = config.hiddenSize;
    const data = new Float32Array(rows * seq * width);
    for (const [row, key] of keys.entries()) {
      const states = entry(this.#kept, key);
      this.#kept.delete(key);
      this.#kept.set(key, states);
      data.set(states, (row * seq + firstOf(batch, row)) * width);
    }
    this.#makeRoom();
    return { dtype: "f32", shape: [rows, seq, width], data };
  }

  #request(runtime: Runs, view: View, batch: Inputs, training: boolean): RunRequest {
    const { spec } = runtime.weights;
    return {
      kind: "encoder states",
      view,
      training,
      write: (trace) => ({ outputs: { states: writeEncoderStates(spec, trace) } }),
      feeds: encoderFeeds(spec, batch),
    };
  }

  /** Whether nothing that changes reaches the encoder: no adapter, no random numbers. */
  #isConstant(request: RunRequest): boolean {
    const key = [request.training, ...request.view.adapters.map((a) => a.structure)].join("\n");
    const known = this.#constant.get(key);
    if (known !== undefined) return known;
    const trace = traceOf(request);
    const { nodes } = toProgram(request.write(trace).outputs);
    const constant = !nodes.some(
      (n) => isNode(n, "random") || (isNode(n, "input") && trace.adapterInputs.has(n.attrs.name)),
    );
    this.#constant.set(key, constant);
    return constant;
  }

  async #encode(
    runtime: Runs,
    view: View,
    batch: TextBatch,
    missing: readonly number[],
    keys: readonly string[],
    training: boolean,
  ): Promise<void> {
    const part = rowsOf(batch, missing);
    const { outputs } = await runtime.run(this.#request(runtime, view, part, training));
    const { data, shape } = floatsOf(outputs, "states");
    const [, seq, width] = axes(shape, 3);
    for (const [i, row] of missing.entries()) {
      const first = i * seq + firstOf(batch, row);
      const states = data.slice(first * width, (first + lengthOf(batch, row)) * width);
      this.#kept.set(at(keys, row), states);
      this.#bytes += states.byteLength;
    }
    this.encoded += missing.length;
  }

  #makeRoom(): void {
    for (const [key, states] of this.#kept) {
      if (this.#bytes <= this.#capacity) return;
      this.#kept.delete(key);
      this.#bytes -= states.byteLength;
    }
  }
}

/** Only states of text are kept, by its tokens. */
function isText(batch: Inputs): batch is TextBatch {
  return batch.inputIds !== undefined;
}

function maskOf({ attentionMask }: TextBatch, row: number): Int32Array {
  const [, seq] = attentionMask.shape;
  return attentionMask.data.subarray(row * seq, (row + 1) * seq);
}

function firstOf(batch: TextBatch, row: number): number {
  return Math.max(0, maskOf(batch, row).indexOf(1));
}

/** From the first real token to the last. */
function lengthOf(batch: TextBatch, row: number): number {
  return Math.max(0, maskOf(batch, row).lastIndexOf(1) + 1 - firstOf(batch, row));
}

/** What an encoder sees of a row: where it begins, its tokens, and which of them count. */
function keyOf(batch: TextBatch, row: number): string {
  const [, seq] = batch.inputIds.shape;
  const first = firstOf(batch, row);
  const end = first + lengthOf(batch, row);
  const ids = batch.inputIds.data.subarray(row * seq + first, row * seq + end);
  return `${first}:${ids}:${maskOf(batch, row).subarray(first, end)}`;
}

function rowsOf(batch: TextBatch, rows: readonly number[]): TextBatch {
  const pick = ({ data, shape: [, columns] }: TextBatch["inputIds"]): TextBatch["inputIds"] => ({
    data: Int32Array.from(rows.flatMap((row) => [...data.subarray(row * columns, (row + 1) * columns)])),
    shape: [rows.length, columns],
  });
  return {
    task: batch.task,
    inputIds: pick(batch.inputIds),
    attentionMask: pick(batch.attentionMask),
  } as TextBatch;
}
