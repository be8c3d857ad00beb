import { f32 } from "../formats/f32.js";
import type { BoundWeight } from "../formats/format.js";
import { matrixOf } from "../formats/stack.js";
import type { OnnxGraph } from "./onnx.js";

/**
 * Products of rows with their experts' matrices: a loop over the experts that have rows. Each takes its rows
 * and its own matrix out of the stack, so that nothing is computed for other experts, and where weights are
 * mapped, nothing of theirs is read.
 *   x [rows, in], starts [experts + 1], w [experts, out, in] -> [rows, out]
 */
export function expertLinear(
  o: OnnxGraph,
  x: string,
  starts: string,
  w: BoundWeight,
  { transposed, outDim }: { readonly transposed: boolean; readonly outDim: number },
): string {
  const chosen = o.once("Squeeze", [o.once("NonZero", [counts(o, starts)]), o.ints([0])]);
  const b = o.body("e");
  const i = b.input("expert_at", "i64", []);
  b.input("expert_more", "bool", []);
  const before = b.sequence("expert_done", "f32");
  const id = b.node("Gather", [chosen, i], { axis: 0 });
  const rows = rowsOf(b, x, starts, id);
  const y = w.format.linear(b, rows, matrixOf(b, w, id), transposed);
  b.outputOf(b.node("Identity", ["expert_more"]), "expert_go_on", "bool", []);
  b.sequenceOutput(b.node("SequenceInsert", [before, y]), "expert_sum", "f32");
  const none = o.once("SequenceConstruct", [o.constant("f32", [], [0, outDim])]);
  const trips = o.once("Squeeze", [o.once("Shape", [chosen])]);
  const all = o.node("Loop", [trips, "", none], { body: { graph: b } });
  return o.node("ConcatFromSequence", [all], { axis: 0 });
}

/** A tensor in place of a weight. */
export function asStack(value: string, shape: readonly number[], transposed: boolean): BoundWeight {
  return { format: f32, parts: { data: value }, shape, transposed };
}

/**
 * y [rows, out], x [rows, in] -> y_e^T x_e of each expert, [experts, out, in]; zeros for those without rows.
 */
export function expertOuter(
  o: OnnxGraph,
  y: string,
  x: string,
  starts: string,
  [experts, outDim, inDim]: readonly [number, number, number],
): string {
  const b = o.body("f");
  const id = b.input("outer_at", "i64", []);
  b.input("outer_more", "bool", []);
  const [left, right] = [y, x].map((rows) => rowsOf(b, rows, starts, id));
  b.outputOf(b.node("Identity", ["outer_more"]), "outer_go_on", "bool", []);
  const product = b.contrib("FusedMatMul", [left ?? "", right ?? ""], { transA: 1 });
  b.outputOf(product, "outer_product", "f32", [outDim, inDim]);
  return o.node("Loop", [o.constant("i64", [experts], []), ""], { body: { graph: b } });
}

/** How many rows each expert has. */
function counts(o: OnnxGraph, starts: string): string {
  const from = (first: number, last: number): string =>
    o.once("Slice", [starts, o.ints([first]), o.ints([last]), o.ints([0])]);
  return o.once("Sub", [from(1, Number.MAX_SAFE_INTEGER), from(0, -1)]);
}

/** Rows of expert `id`, of a value outside of `b`. */
function rowsOf(b: OnnxGraph, rows: string, starts: string, id: string): string {
  const one = b.ints([1]);
  const first = b.once("Reshape", [id, one]);
  const start = b.once("Gather", [starts, first], { axis: 0 });
  const end = b.once("Gather", [starts, b.once("Add", [first, one])], { axis: 0 });
  return b.node("Slice", [rows, start, end, b.ints([0])]);
}
