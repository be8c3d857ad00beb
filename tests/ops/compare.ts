import { expect } from "vitest";
import type { Engine } from "../../src/engine/engine.js";
import type { HostTensor, WeightSource } from "../../src/engine/messages.js";
import { toProgram } from "../../src/engine/program.js";
import { givenWeight } from "../../src/engine/weights/source.js";
import type { DType, OpName } from "../../src/graph/ops.js";
import { evaluate } from "./evaluate.js";
import type { Draw, Feed } from "./sketch.js";

/** Error relative to the larger of 1 and the number, by the results' dtype. */
const tolerance: Record<DType, number> = { f32: 2e-6, i64: 0, i32: 0, bool: 0 };
/** Primitives whose every bit counts. */
const exact: ReadonlySet<OpName> = new Set(["random"]);

/** A stable seed for a primitive's draw, so that a new row changes no other's. */
export function seedOf(name: string, draw: number): number {
  return [...name].reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 0x01000193), 0x1bad5eed) + draw;
}

/** What is fed, as f32 has it: the oracle must see the same numbers. */
export function rounded({ feeds }: Draw): Record<string, Feed> {
  return Object.fromEntries(
    Object.entries(feeds).map(([name, x]) => [
      name,
      x.dtype === "f32" ? { ...x, data: x.data.map(Math.fround) } : x,
    ]),
  );
}

function hostTensor({ dtype, shape, data }: Feed): HostTensor {
  return { dtype, shape, data: dtype === "f32" ? Float32Array.from(data) : Int32Array.from(data) };
}

function given({ shape, data }: Feed): WeightSource {
  return givenWeight(shape, Float32Array.from(data));
}

/**
 * Runs a draw on ONNX Runtime and in f64, and compares its results and those of every node of the primitive
 * itself. `sources`: where the draw's weights are; default: given as f32.
 */
export async function compare(
  engine: Engine,
  name: OpName,
  draw: Draw,
  feeds: Readonly<Record<string, Feed>>,
  sources?: ReadonlyMap<string, WeightSource>,
): Promise<void> {
  // inputs too: those that only give a dimension's name its value would not reach the program otherwise
  const own = draw.g.nodes.filter((x) => x.op === name || x.op === "input");
  const watched = [...new Set([...draw.outputs, ...own])];
  const program = toProgram(Object.fromEntries(watched.map((x, i) => [`y${i}`, x])));
  const used = (op: OpName): string[] =>
    program.nodes.flatMap((n) => (n.op === op ? [(n.attrs as { name: string }).name] : []));
  await engine.changeWeights(sources ?? new Map(used("weight").map((n) => [n, given(feeds[n]!)])));
  await engine.compile("draw", () => program);
  const inputs = Object.fromEntries(used("input").map((n) => [n, hostTensor(feeds[n]!)]));
  const { outputs } = await engine.run("draw", inputs);
  const expected = evaluate(draw.g, watched, feeds);
  for (const [i, x] of watched.entries()) {
    const actual = outputs[`y${i}`]!;
    const where = `${x.op} [${x.shape}]`;
    expect(actual.dtype, where).toBe(x.dtype);
    expect(actual.shape, where).toEqual(expected[i]!.shape);
    const limit = exact.has(x.op) ? 0 : tolerance[x.dtype];
    expected[i]!.data.forEach((e, j) => {
      const error = Math.abs(actual.data[j]! - e) / Math.max(1, Math.abs(e));
      expect(error, `${where} at ${j}: ${actual.data[j]} is not ${e}`).toBeLessThanOrEqual(limit);
    });
  }
}
