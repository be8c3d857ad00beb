import type { Initial } from "../methods/method.js";
import { at } from "../present.js";
import type { Random } from "../random.js";
import { normal, uniform } from "../random.js";

/** Fills a new parameter. "prepared" ones are left to the method, which sees the base's weights. */
export function initialize(
  data: Float32Array,
  shape: readonly number[],
  initial: Initial,
  next: Random,
): void {
  switch (initial.kind) {
    case "constant":
      data.fill(initial.value);
      return;
    case "uniform":
      for (let i = 0; i < data.length; i++) data[i] = (2 * uniform(next) - 1) * initial.bound;
      return;
    case "normal":
      for (let i = 0; i < data.length; i++) data[i] = (initial.mean ?? 0) + initial.std * normal(next);
      return;
    case "orthogonal":
      orthogonal(data, at(shape, 0), initial.gain, next);
      return;
    case "made":
      initial.make(data, next);
      return;
    case "prepared":
      return;
  }
}

/** Orthonormal rows (or columns, where there are more rows), by Gram and Schmidt twice over. */
function orthogonal(data: Float32Array, rows: number, gain: number, next: Random): void {
  const columns = data.length / rows;
  const [count, length] = rows <= columns ? [rows, columns] : [columns, rows];
  const vectors: Float64Array[] = [];
  while (vectors.length < count) {
    const v = Float64Array.from({ length }, () => normal(next));
    for (let pass = 0; pass < 2; pass++)
      for (const u of vectors) {
        const along = v.reduce((sum, x, i) => sum + x * u[i]!, 0);
        for (let i = 0; i < length; i++) v[i]! -= along * u[i]!;
      }
    const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
    if (norm > 1e-6) vectors.push(v.map((x) => x / norm));
  }
  const [across, along] = rows <= columns ? [columns, 1] : [1, columns];
  for (const [i, v] of vectors.entries())
    for (const [j, x] of v.entries()) data[i * across + j * along] = gain * x;
}
