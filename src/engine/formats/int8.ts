import { internal } from "../../errors.js";
import { at } from "../../present.js";
import type { OnnxGraph } from "../onnx/onnx.js";
import { dequantized } from "./costs.js";
import type { WeightFormat } from "./format.js";
import { partOf } from "./format.js";
import { packInt8 } from "./int8_pack.js";
import { inAndOut, reshapedAfter } from "./layout.js";

/**
 * Levels of an activation: one byte around a zero point, so that the largest of a row is 127 from it; or from
 * 0 up.
 */
const SIGNED = { levels: 127, zero: 128 };
const POSITIVE = { levels: 255, zero: 0 };

/** Columns that go through f32, of an activation and of a gradient by logits. */
const OUTLIERS = 16;
const HEAD_OUTLIERS = 256;
/** Of matrices that have this many times more. */
const MANY = 8;
/** Outputs of a head. */
const VOCABULARY = 16384;

/**
 * Vector-wise quantization (LLM.int8(), arXiv 2208.07339, section 3.1): W [in, out] in one byte with a scale
 * per output, activations in one byte with a scale per row, made as they come. Products run on int8 kernels
 * both ways:
 *   y = m/127 (x 127/m) Wq s      with m = max |x| of each row
 *   dx = the same of dy s, with Wq transposed
 * Columns of x with outliers go through f32 (section 3). So do columns of a head's gradient: its rows hold a
 * few large numbers, the likely tokens and the right one, among thousands of small ones that count together.
 * Reference: bitsandbytes/autograd/_functions.py
 */
export const int8: WeightFormat = {
  name: "int8",
  parts: (shape, transposed) => {
    const [inDim, outDim] = inAndOut(shape, transposed);
    return {
      data: { element: "i8", shape: [inDim, outDim] },
      scale: { element: "f32", shape: [outDim] },
    };
  },
  weight: (o, w) => {
    const whole = o.node("Mul", [o.node("Cast", [partOf(w, "data")], { to: 1 }), partOf(w, "scale")]);
    return w.transposed ? whole : o.node("Transpose", [whole], { perm: [1, 0] });
  },
  linear: (o, x, w, transposed) => {
    const [bytes, outScale] = [partOf(w, "data"), partOf(w, "scale")];
    const [inDim, outDim] = inAndOut(w.shape, w.transposed);
    if (transposed === w.transposed)
      return product(o, x, { bytes, size: [inDim, outDim], outScale, outliers: OUTLIERS, as: SIGNED });
    const flipped = o.node("Transpose", [reshapedAfter(o, x, bytes, [inDim, outDim], 1)], { perm: [1, 0] });
    const outliers = outDim < VOCABULARY ? 0 : HEAD_OUTLIERS;
    return product(o, x, { bytes: flipped, size: [outDim, inDim], inScale: outScale, outliers, as: SIGNED });
  },
  head: (o, x, w) => {
    const [bytes, scale] = [partOf(w, "data"), partOf(w, "scale")];
    const [inDim, outDim] = inAndOut(w.shape, w.transposed);
    const ordered = reshapedAfter(o, x, bytes, [inDim, outDim], 0);
    const flipped = (): string => o.once("Transpose", [ordered], { perm: [1, 0] });
    return {
      logits: (b, rows) =>
        product(b, rows, { bytes, size: [inDim, outDim], outScale: scale, outliers: OUTLIERS, as: SIGNED }),
      mixed: (b, p) => {
        const size = [outDim, inDim] as const;
        return product(b, p, {
          bytes: flipped(),
          size,
          inScale: scale,
          outliers: HEAD_OUTLIERS,
          as: POSITIVE,
        });
      },
      rows: (b, ids) => rowsOf(b, flipped(), scale, ids),
    };
  },
  rows: (o, w, ids) => {
    const [inDim] = inAndOut(w.shape, w.transposed);
    if (w.transposed) return o.node("Gather", [int8.weight(o, w), ids], { axis: 0 });
    const flat = o.node("Reshape", [ids, o.ints([-1])]);
    const columns = o.node("Gather", [partOf(w, "data"), flat], { axis: 1 });
    const scaled = o.node("Mul", [
      o.node("Cast", [columns], { to: 1 }),
      o.node("Gather", [partOf(w, "scale"), flat], { axis: 0 }),
    ]);
    const shape = o.node("Concat", [o.node("Shape", [ids]), o.ints([inDim])], { axis: 0 });
    return o.node("Reshape", [o.node("Transpose", [scaled], { perm: [1, 0] }), shape], { allowzero: 1 });
  },
  costs: {
    ...dequantized,
    linear: ({ x, weight, y, forward }) => {
      const perInput = { bytes: x, scratch: [4 * x, 4 * x] };
      if (forward) return { perInput, scratch: [4 * y, 4 * y] };
      return { perInput, perWeight: { bytes: weight, scratch: [weight] }, scratch: [4 * y] };
    },
    // beside the bytes in the order of both products, squares of probabilities
    head: (weight, logits) => ({ perWeight: { bytes: weight, scratch: [weight] }, scratch: [4 * logits] }),
  },
  pack: (data, shape, transposed, { largest }) => packInt8(data, shape, transposed, largest),
};

/** A matrix of bytes [k, n], with a scale for each of its columns or rows, and how it is multiplied. */
interface ByteMatrix {
  readonly bytes: string;
  readonly size: readonly [k: number, n: number];
  readonly outScale?: string;
  readonly inScale?: string;
  /** Columns of what it is multiplied with that go through f32. */
  readonly outliers: number;
  readonly as: typeof SIGNED;
}

/** rows [.., k] times a matrix; what depends on these alone is made once for all products that read them. */
function product(o: OnnxGraph, rows: string, m: ByteMatrix): string {
  const [k] = m.size;
  const columns = k < MANY * m.outliers || m.outliers === 0 ? undefined : largestColumns(o, rows, m);
  const factors = [columns === undefined ? undefined : without(o, columns, m), m.inScale];
  const factor = factors.reduce((a, b) =>
    a === undefined || b === undefined ? (a ?? b) : o.once("Mul", [a, b]),
  );
  const rest = factor === undefined ? rows : o.once("Mul", [rows, factor]);
  const y = byteProduct(o, rest, m);
  return columns === undefined ? y : addOutliers(o, y, rows, columns, m);
}

function byteProduct(o: OnnxGraph, rows: string, { bytes, outScale, as }: ByteMatrix): string {
  const tiny = o.constant("f32", [1e-30], []); // a row of zeros stays one
  const size = as === POSITIVE ? rows : o.once("Abs", [rows]);
  const most = o.once("ReduceMax", [size, o.ints([1])], { keepdims: 1 });
  const first = [0, 1, 1].map((n) => o.ints([n])); // of no rows, ReduceMax keeps all columns
  const largest = o.once("Max", [o.once("Slice", [most, ...first]), tiny]);
  const step = o.constant("f32", [1 / as.levels], []);
  const zero = o.constant("u8", [as.zero], []);
  const quantized = o.once("QuantizeLinear", [o.once("Div", [rows, largest]), step, zero]);
  const scale = outScale ?? o.constant("f32", [1], []);
  return o.node("Mul", [o.contrib("MatMulIntegerToFloat", [quantized, bytes, step, scale, zero]), largest]);
}

/**
 * The columns with most of the squares: a few features of a trained model are so large that one scale for all
 * leaves the rest nothing.
 */
function largestColumns(o: OnnxGraph, rows: string, { outliers }: ByteMatrix): string {
  const squares = o.once("ReduceSum", [o.once("Mul", [rows, rows]), o.ints([0])], { keepdims: 0 });
  const both = o.onceNodes("TopK", [squares, o.ints([outliers])], { sorted: 0 }, 2);
  return at(both, 1);
}

/** 0 at these columns, 1 elsewhere. */
function without(o: OnnxGraph, columns: string, { size: [k], outliers }: ByteMatrix): string {
  const ones = o.once("Expand", [o.constant("f32", [1], []), o.ints([k])]);
  const zeros = o.once("Expand", [o.constant("f32", [0], []), o.ints([outliers])]);
  return o.once("ScatterElements", [ones, columns, zeros], { axis: 0 });
}

function addOutliers(o: OnnxGraph, y: string, rows: string, columns: string, m: ByteMatrix): string {
  const few = o.once("Gather", [rows, columns], { axis: 1 });
  const matrix =
    m.inScale === undefined
      ? o.node("Mul", [
          bytesAt(o, m.bytes, columns),
          m.outScale ?? internal("a matrix of bytes without a scale"),
        ])
      : rowsOf(o, m.bytes, m.inScale, columns);
  return o.node("Gemm", [few, matrix, y]);
}

function bytesAt(o: OnnxGraph, bytes: string, ids: string): string {
  return o.node("Cast", [o.node("Gather", [bytes, ids], { axis: 0 })], { to: 1 });
}

/** Rows of bytes [k, n] that have a scale each, by ids [m]. */
function rowsOf(o: OnnxGraph, bytes: string, scale: string, ids: string): string {
  const scales = o.node("Unsqueeze", [o.node("Gather", [scale, ids], { axis: 0 }), o.ints([1])]);
  return o.node("Mul", [bytesAt(o, bytes, ids), scales]);
}
