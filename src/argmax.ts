/** The place of the largest number, the first of equals; the first that is no number, where there is one. */
export function argmax(values: Float32Array): number {
  let best = 0;
  let most = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value <= most) continue;
    if (Number.isNaN(value)) return i;
    most = value;
    best = i;
  }
  return best;
}
