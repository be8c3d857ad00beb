import type { OnnxGraph } from "../onnx/onnx.js";
import type { BoundWeight, PackOptions, PartData, WeightFormat } from "./format.js";
import { elements, isStack } from "./format.js";

/** Whether a format can hold a weight of this shape. */
export function fits(format: WeightFormat, shape: readonly number[], transposed: boolean): boolean {
  return format.fits?.(isStack(format, shape) ? shape.slice(1) : shape, transposed) ?? true;
}

/** A weight's parts from f32; undefined: the format's bytes are not made, but stored so. */
export function pack(
  format: WeightFormat,
  data: Float32Array,
  shape: readonly number[],
  transposed: boolean,
  options: PackOptions,
): Readonly<Record<string, PartData>> | undefined {
  if (!isStack(format, shape)) return format.pack?.(data, shape, transposed, options);
  const [count = 0, ...matrix] = shape;
  const size = elements(matrix);
  const all: Record<string, PartData> = {};
  for (let e = 0; e < count; e++) {
    const own = format.pack?.(data.subarray(e * size, (e + 1) * size), matrix, transposed, options) ?? {};
    for (const [name, part] of Object.entries(own)) {
      const whole = (all[name] ??= likeMany(part, count));
      whole.set(part, e * part.length);
    }
  }
  return all;
}

function likeMany(part: PartData, count: number): PartData {
  const length = part.length * count;
  if (part instanceof Float32Array) return new Float32Array(length);
  if (part instanceof Int8Array) return new Int8Array(length);
  return part instanceof Uint16Array ? new Uint16Array(length) : new Uint8Array(length);
}

/** One matrix of a stack, in a graph `o` around which the stack's parts are. `id`: a scalar, i64. */
export function matrixOf(o: OnnxGraph, w: BoundWeight, id: string): BoundWeight {
  const parts = Object.entries(w.parts).map(([name, part]) => [
    name,
    o.node("Gather", [part, id], { axis: 0 }),
  ]);
  return { ...w, laidOut: false, shape: w.shape.slice(1), parts: Object.fromEntries(parts) };
}
