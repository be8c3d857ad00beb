/** Elements of what a product with a weight reads and makes. */
export interface ProductSizes {
  readonly x: number;
  readonly weight: number;
  readonly y: number;
  /** With the weight as it is stored; else with its transpose, as gradients are. */
  readonly forward: boolean;
}

/** Bytes of an intermediate result, and of what its kernel needs meanwhile. */
export interface Temporary {
  readonly bytes: number;
  readonly scratch: readonly number[];
}

/** What a product takes beside its result. */
export interface ProductCost {
  /** Computed from x, once for all products that read it in this direction. */
  readonly perInput?: Temporary;
  /** Computed from the weight for this product alone, when x is there. */
  readonly perWeight?: Temporary;
  readonly scratch: readonly number[];
}

/** What a loss's head takes beside its chunks' logits. */
export interface HeadCost {
  /** Computed from the weight before the first chunk. */
  readonly perWeight: Temporary;
  readonly scratch: readonly number[];
}

/** Bytes that what a format lowers to takes in a session's arena. */
export interface FormatCosts {
  readonly linear: (sizes: ProductSizes) => ProductCost;
  /** Of as many elements of the weight and of a chunk's logits; absent: the head is read in f32. */
  readonly head?: (weight: number, logits: number) => HeadCost;
  /** Bytes on the way from so many stored elements to f32, one result after another; none: they are f32. */
  readonly weight: (elements: number, fed: boolean) => readonly number[];
  /** Bytes of rows of so many elements before they are f32. */
  readonly rows: (elements: number) => readonly number[];
}

/** A format of which copies in f32 are made. Weights that are fed have their bits cast first. */
export const dequantized: Pick<FormatCosts, "weight" | "rows"> = {
  weight: (n, fed) => (fed ? [2 * n, 4 * n] : [4 * n]),
  rows: (n) => [2 * n],
};
