import * as ort from "onnxruntime-node";
import { OnnxGraph } from "../src/engine/onnx/onnx.js";
import { random, uniform } from "../src/random.js";
import type { Inventory } from "../src/trace/trace.js";

/** [rows, inner, columns] of products as steps have them. */
const SIZES = [
  [1024, 1024, 4096],
  [1024, 4096, 1024],
  [1024, 768, 3072],
] as const;
const RUNS = 5;

/**
 * Floating-point operations a second of ONNX Runtime's f32 MatMul on this machine: the best of some sizes and
 * runs.
 */
export async function gemmRate(threads: number): Promise<number> {
  const rates: number[] = [];
  for (const size of SIZES) rates.push(await rateOf(size, threads));
  return Math.max(...rates);
}

async function rateOf([rows, inner, columns]: (typeof SIZES)[number], threads: number): Promise<number> {
  const o = new OnnxGraph();
  o.nodes("MatMul", [o.input("x", "f32", [rows, inner]), o.input("w", "f32", [inner, columns])], {}, ["y"]);
  o.output("y", "f32", [rows, columns]);
  const session = await ort.InferenceSession.create(o.model(), { intraOpNumThreads: threads });
  const next = random(0);
  const filled = (...shape: number[]): ort.Tensor => {
    const data = Float32Array.from({ length: shape[0]! * shape[1]! }, () => uniform(next) - 0.5);
    return new ort.Tensor("float32", data, shape);
  };
  const feeds = { x: filled(rows, inner), w: filled(inner, columns) };
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < RUNS; i++) {
    const start = performance.now();
    await session.run(feeds);
    least = Math.min(least, performance.now() - start);
  }
  await session.release();
  return (2 * rows * inner * columns) / (least / 1000);
}

/** How many positions of a batch go through each part of a model. */
export interface Positions {
  /** Of the encoder's input, or a decoder's only one. */
  readonly input: number;
  /** Of an encoder-decoder's labels. */
  readonly target: number;
  /** That the head sees. */
  readonly head: number;
}

const HEADS = /^(lm_head|score|classifier|qa_outputs)\b|pooler/;

/**
 * Of one training step of an adapter: linear layers forward and the gradients of their inputs, 2 * 2 *
 * positions * parameters. Attention's own products and what is computed again do not count.
 */
export function stepFlops({ linears }: Inventory, positions: Positions): number {
  let flops = 0;
  for (const { path, inDim, outDim } of linears.values()) {
    const cross = /EncDecAttention\.[kv]$/.test(path);
    const decodes = /^decoder\./.test(path) && !cross;
    const count = HEADS.test(path) ? positions.head : decodes ? positions.target : positions.input;
    flops += 4 * count * inDim * outDim;
  }
  return flops;
}
