/** Sizes of a linear layer's matrix, [out, in] or, where `transposed`, [in, out]. */
export function inAndOut(shape: readonly number[], transposed: boolean): [inDim: number, outDim: number] {
  const [a, b] = shape as [number, number];
  return transposed ? [a, b] : [b, a];
}
