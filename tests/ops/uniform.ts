/**
 * What the primitive `random` yields for element `index` of a row (the row flattened over all axes but the
 * first), bit for bit. 32-bit integers that wrap; >>> shifts zeroes in:
 *
 *     x = (key ^ site) + index * 0x9e3779b9         key: one per row, i32; site: i32
 *     x = (x ^ x >>> 16) * 0x7feb352d               lowbias32 (Wellons, "Prospecting for hash functions")
 *     x = (x ^ x >>> 15) * 0x846ca68b
 *     x = x ^ x >>> 16
 *     value = (x >>> 8) * 2^-24                     in [0, 1), exact in f32
 */
export function uniform(key: number, site: number, index: number): number {
  let x = ((key ^ site) + Math.imul(index, 0x9e3779b9)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  x ^= x >>> 16;
  return (x >>> 8) * 2 ** -24;
}
