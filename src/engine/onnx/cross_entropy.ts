import { f32 } from "../formats/f32.js";
import type { BoundWeight, ChunkedHead } from "../formats/format.js";
import { ELEMENT, OnnxGraph } from "./onnx.js";

/**
 * Cross-entropy of a head's logits, chunk after chunk, so that one chunk's logits are alive at a time:
 *   l = log softmax(x W^T),  loss = -l[label],  dx = softmax(x W^T) W - W[label]
 * and with a smoothing s
 *   loss = -(1 - s) l[label] - s mean(l),  dx = (softmax(x W^T) - s / classes) W - (1 - s) W[label]
 * x [chunks, chunk, hidden], labels [chunks, chunk]; negative labels give 0. Returns loss and, by their
 * numbers, the further results that are wanted: dx (1), and what is asked of each token's distribution.
 */
export function crossEntropyScan(
  o: OnnxGraph,
  x: string,
  w: BoundWeight,
  labels: string,
  { smoothing, classes, wanted }: { smoothing: number; classes: number; wanted: ReadonlySet<number> },
): string[] {
  const head = chunked(o, x, w);
  const b = new OnnxGraph("s");
  const rows = b.input("scan_x", "f32", ["chunk", "hidden"]);
  const row = b.input("scan_labels", "i64", ["chunk"]);
  const known = b.node("GreaterOrEqual", [row, b.constant("i64", [0], [])]);
  const safe = b.node("Max", [row, b.constant("i64", [0], [])]);
  const zero = b.constant("f32", [0], []);
  const logits = head.logits(b, rows);
  const logs = b.node("LogSoftmax", [logits], { axis: -1 });
  const column = b.node("Unsqueeze", [safe, b.ints([1])]);
  const picked = b.node("Squeeze", [b.node("GatherElements", [logs, column], { axis: -1 }), b.ints([1])]);
  const times = (x: string, factor: number): string => b.node("Mul", [x, b.constant("f32", [factor], [])]);
  const mean = (): string => b.node("ReduceMean", [logs, b.ints([1])], { keepdims: 0 });
  const smooth = (): string => b.node("Add", [times(picked, 1 - smoothing), times(mean(), smoothing)]);
  const log = smoothing === 0 ? picked : smooth();
  b.nodes("Where", [known, b.node("Neg", [log]), zero], {}, ["scan_loss"]);
  b.output("scan_loss", "f32", ["chunk"]);
  const p = (): string => b.once("Exp", [logs]);
  if (wanted.has(1)) {
    const spread = (): string => b.node("Sub", [p(), b.constant("f32", [smoothing / classes], [])]);
    const mixed = head.mixed(b, smoothing === 0 ? p() : spread());
    const own = head.rows(b, safe);
    const dx = b.node("Sub", [mixed, smoothing === 0 ? own : times(own, 1 - smoothing)]);
    b.nodes("Where", [b.node("Unsqueeze", [known, b.ints([1])]), dx, zero], {}, ["scan_dx"]);
    b.output("scan_dx", "f32", ["chunk", "hidden"]);
  }
  const sum = (x: string): string => b.node("ReduceSum", [x, b.ints([1])], { keepdims: 0 });
  const likeliest = (): string => b.node("ArgMax", [logits], { axis: -1, keepdims: 0 });
  const statistics: Readonly<Record<number, () => string>> = {
    2: () => b.node("Neg", [sum(b.node("Mul", [p(), logs]))]), // entropy
    3: () => b.node("ReduceMean", [logits, b.ints([1])], { keepdims: 0 }), // mean logit
    4: () => b.node("Log", [sum(b.node("Mul", [p(), p()]))]), // log sum p^2
    5: () => b.node("Cast", [b.node("Equal", [likeliest(), row])], { to: ELEMENT.f32 }), // label is likeliest
  };
  for (const [index, write] of Object.entries(statistics))
    if (wanted.has(Number(index))) b.outputOf(write(), `scan_${index}`, "f32", ["chunk"]);
  const outputs = [0, 1, 2, 3, 4, 5].map((i) => (i === 0 || wanted.has(i) ? o.fresh() : ""));
  const scanned = outputs.filter((name) => name !== "");
  o.nodes("Scan", [x, labels], { num_scan_inputs: 2, body: { graph: b } }, scanned);
  return outputs;
}

function chunked(o: OnnxGraph, x: string, w: BoundWeight): ChunkedHead {
  if (w.format.head !== undefined) return w.format.head(o, x, w);
  const { format, ...head } = inF32(o, w);
  return {
    logits: (b, rows) => format.linear(b, rows, head, false),
    mixed: (b, p) => format.linear(b, p, head, true),
    rows: (b, ids) => w.format.rows(b, w, ids),
  };
}

/** A head of 16 bits is brought to f32 once, not chunk by chunk. */
function inF32(o: OnnxGraph, w: BoundWeight): BoundWeight {
  if (w.format.pack !== undefined) return w;
  return { ...w, format: f32, parts: { data: w.format.weight(o, w) } };
}
