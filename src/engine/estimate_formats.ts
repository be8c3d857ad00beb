/** Elements of what a product with a weight reads and makes. */
export interface ProductSizes {
  readonly x: number;
  readonly weight: number;
  readonly y: number;
  /** With the weight as it is stored; else with its transpose, as gradients are. */
  readonly forward: boolean;
}

/** Bytes that a kernel makes, and of what it needs meanwhile. */
export interface Made {
  readonly bytes: number;
  readonly scratch: readonly number[];
}

/** What a product takes beside its result. */
export interface ProductCost {
  /** Made of x, once for all products that read it in this direction. */
  readonly ofInput?: Made;
  /** Made of the weight, once. */
  readonly ofWeight?: Made;
  /** Made of the weight for this product, when x is there. */
  readonly brought?: Made;
  readonly scratch: readonly number[];
}

const NONE: ProductCost = { scratch: [] };

/** Formats of 8 and 4 bits, as their files in formats/ lower them. */
const costs: Readonly<Record<string, (s: ProductSizes) => ProductCost>> = {
  f32: () => NONE,
  int8: ({ x, weight, y, forward }) =>
    forward
      ? { ofInput: { bytes: x, scratch: [4 * x, 4 * x] }, scratch: [4 * y, 4 * y] }
      : {
          ofInput: { bytes: x, scratch: [4 * x, 4 * x] },
          ofWeight: { bytes: weight, scratch: [] },
          scratch: [4 * y],
        },
  int4: ({ weight, y, forward }) =>
    forward
      ? { scratch: [4 * weight] } // weights that are no constants are brought to f32 by the kernel
      : { scratch: [weight / 2, 2 * weight, 2 * y, 2 * y] },
  nf4: ({ weight }) => ({
    brought: { bytes: 4 * weight, scratch: [4 * weight, weight / 16] },
    scratch: [],
  }),
};

/** Undefined: the weight is brought to f32 once and read as that (f16, bf16). */
export function productCost(format: string, sizes: ProductSizes): ProductCost | undefined {
  return costs[format.replace(/x\d+$/, "")]?.(sizes);
}
