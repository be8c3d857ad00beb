/** A bijection of 32-bit numbers with little bias (Wellons, "Prospecting for hash functions"). */
function lowbias32(number: number): number {
  let x = number;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return x ^ (x >>> 16);
}

/**
 * What the primitive `random` yields for element `index` of a row (the row flattened over all axes but the first), bit for
 * bit. 32-bit integers that wrap, >>> shifts zeroes in:
 *
 *     base = lowbias32(key) + site                                (one number per row)
 *     x = base + index * 0x9e3779b9
 *     x = (x ^ x >>> 16) * 0x7feb352d
 *     x = (x ^ x >>> 15) * 0x846ca68b
 *     value = (x >>> 8) * 2^-24                                   in [0, 1), exact in f32
 *
 *     lowbias32(x): the same two lines, then x ^ x >>> 16
 *
 * The last shift of lowbias32 is left out for elements: it mixes into the low bits only, which are dropped.
 */
export function uniform(key: number, site: number, index: number): number {
  const base = (lowbias32(key) + site) | 0;
  let x = (base + Math.imul(index, 0x9e3779b9)) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x >>> 8) * 2 ** -24;
}
