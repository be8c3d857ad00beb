import { OnnxGraph } from "./onnx.js";

/** Logarithm of what is impossible: finite, so that differences of two are numbers. */
const NEVER = -1e30;

type Read = readonly [emissions: string, skips: string, ends: string, mask: string];

/**
 * `ctc`, two Scans over the frames:
 *   a_t(s) = x_t(s) + log(exp a_{t-1}(s) + exp a_{t-1}(s-1) + exp a_{t-1}(s-2) [skips(s)])
 *   b_{t-1}(s) = log(exp (b_t + x_t)(s) + exp (b_t + x_t)(s+1) + exp (b_t + x_t)(s+2) [skips(s+2)])
 *   loss = -log sum_s exp(a_T(s)) [ends(s)],  dx_t(s) = -softmax_s(a_t + b_t)
 * Both are divided by their largest at each frame, so that long clips lose nothing; what a was divided by
 * adds up to the loss. Frames that do not count change neither.
 */
export function ctcScans(o: OnnxGraph, read: Read, wantsGradient: boolean): string[] {
  const [emissions, skips, ends, mask] = read;
  const cost = { skips: costOf(o, skips), ends: costOf(o, ends) };
  const counts = o.node("Greater", [mask, o.constant("i64", [0], [])]); // [batch, frames]
  const shape = o.node("Shape", [ends]);
  const first = o.node("Range", [
    o.constant("i64", [0], []),
    o.node("Squeeze", [o.node("Slice", [shape, o.ints([1]), o.ints([2])])]),
    o.constant("i64", [1], []),
  ]);
  const isFirst = o.node("Equal", [first, o.constant("i64", [0], [])]);
  const start = o.node("Expand", [o.node("Where", [isFirst, zero(o), never(o)]), shape]);
  const none = o.node("Mul", [o.node("Slice", [start, o.ints([0]), o.ints([1]), o.ints([1])]), zero(o)]);
  const [last, divided, forward] = [o.fresh(), o.fresh(), o.fresh()];
  const along = { num_scan_inputs: 2, scan_input_axes: [1, 1], scan_output_axes: [1] };
  const body = { graph: forwardStep(cost.skips) };
  o.nodes("Scan", [start, none, emissions, counts], { ...along, body }, [last, divided, forward]);
  const total = o.node("Add", [divided, logSum(o, [o.node("Add", [last, cost.ends])], true)]); // [batch, 1]
  const isPossible = o.node("Greater", [total, o.constant("f32", [NEVER / 10], [])]);
  const infinite = o.constant("f32", [Number.POSITIVE_INFINITY], []);
  const each = o.node("Where", [isPossible, o.node("Neg", [total]), infinite]);
  const loss = o.node("Squeeze", [each, o.ints([1])]);
  if (!wantsGradient) return [loss];
  const back = { scan_input_directions: [1, 1], scan_output_directions: [1] };
  const [rest, backward] = [o.fresh(), o.fresh()];
  const attributes = { ...along, ...back, body: { graph: backwardStep(cost.skips) } };
  o.nodes("Scan", [cost.ends, emissions, counts], attributes, [rest, backward]);
  const share = o.node("Softmax", [o.node("Add", [forward, backward])], { axis: -1 });
  const isReal = o.node("And", [counts, isPossible]);
  const real = o.node("Unsqueeze", [isReal, o.ints([2])]);
  return [loss, o.node("Where", [real, o.node("Neg", [share]), zero(o)])];
}

function zero(o: OnnxGraph): string {
  return o.constant("f32", [0], []);
}

function never(o: OnnxGraph): string {
  return o.constant("f32", [NEVER], []);
}

/** 1 -> 0, 0 -> NEVER */
function costOf(o: OnnxGraph, marks: string): string {
  return o.node("Where", [o.node("Greater", [marks, o.constant("i64", [0], [])]), zero(o), never(o)]);
}

/** log sum exp of one tensor over its last axis, or of several element by element. */
function logSum(b: OnnxGraph, terms: readonly string[], overStates = false): string {
  const [only = ""] = terms;
  const most = overStates ? b.node("ReduceMax", [only, b.ints([1])], { keepdims: 1 }) : b.node("Max", terms);
  const parts = terms.map((x) => b.node("Exp", [b.node("Sub", [x, most])]));
  const sum = overStates
    ? b.node("ReduceSum", [parts[0] ?? "", b.ints([1])], { keepdims: 1 })
    : b.node("Sum", parts);
  return b.node("Add", [b.node("Log", [sum]), most]);
}

/** One frame: a state's inputs, and what stands at it before. */
function step(states: string): { b: OnnxGraph; x: string; counts: string } {
  const b = new OnnxGraph("s");
  b.input(states, "f32", ["rows", "states"]);
  if (states === "scan_a") b.input("scan_total", "f32", ["rows", "one"]);
  const x = b.input("scan_x", "f32", ["rows", "states"]);
  const counts = b.node("Unsqueeze", [b.input("scan_counts", "bool", ["rows"]), b.ints([1])]);
  return { b, x, counts };
}

/** x [rows, states] as it stands at the states `by` before (or after, negative), NEVER beyond them. */
function moved(b: OnnxGraph, x: string, by: number): string {
  const pads = b.ints(by > 0 ? [by, 0] : [0, -by]);
  const padded = b.node("Pad", [x, pads, never(b), b.ints([1])]);
  const [from, to] = by > 0 ? [0, -by] : [-by, Number.MAX_SAFE_INTEGER];
  return b.node("Slice", [padded, b.ints([from]), b.ints([to]), b.ints([1])]);
}

/** x less its largest, and that. */
function scaled(b: OnnxGraph, x: string): [string, string] {
  const most = b.node("ReduceMax", [x, b.ints([1])], { keepdims: 1 });
  return [b.node("Sub", [x, most]), most];
}

function forwardStep(skips: string): OnnxGraph {
  const { b, x, counts } = step("scan_a");
  const two = b.node("Add", [moved(b, "scan_a", 2), skips]);
  const come = logSum(b, ["scan_a", moved(b, "scan_a", 1), two]);
  const [own, most] = scaled(b, b.node("Add", [come, x]));
  const next = b.node("Where", [counts, own, "scan_a"]);
  b.outputOf(next, "scan_next", "f32", ["rows", "states"]);
  const total = b.node("Where", [counts, b.node("Add", ["scan_total", most]), "scan_total"]);
  b.outputOf(total, "scan_sum", "f32", ["rows", "one"]);
  b.nodes("Identity", [next], {}, ["scan_seen"]);
  b.output("scan_seen", "f32", ["rows", "states"]);
  return b;
}

function backwardStep(skips: string): OnnxGraph {
  const { b, x, counts } = step("scan_b");
  const from = b.node("Add", ["scan_b", x]);
  const two = moved(b, b.node("Add", [from, skips]), -2);
  const [own] = scaled(b, logSum(b, [from, moved(b, from, -1), two]));
  b.outputOf(b.node("Where", [counts, own, "scan_b"]), "scan_next", "f32", ["rows", "states"]);
  b.nodes("Identity", ["scan_b"], {}, ["scan_seen"]);
  b.output("scan_seen", "f32", ["rows", "states"]);
  return b;
}
