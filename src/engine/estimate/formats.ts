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
  /** Made of the weight for this product, when x is there. */
  readonly brought?: Made;
  readonly scratch: readonly number[];
}

const NONE: ProductCost = { scratch: [] };

/** Two bytes: a copy in the order of its product, its bits, and f32 of them. */
const half = ({ weight }: ProductSizes): ProductCost => ({
  brought: { bytes: 4 * weight, scratch: [2 * weight] },
  scratch: [],
});

/** Formats as their files in formats/ lower them. */
const costs: Readonly<Record<string, (s: ProductSizes) => ProductCost>> = {
  f32: () => NONE,
  f16: half,
  bf16: half,
  int8: ({ x, weight, y, forward }) =>
    forward
      ? { ofInput: { bytes: x, scratch: [4 * x, 4 * x] }, scratch: [4 * y, 4 * y] }
      : {
          ofInput: { bytes: x, scratch: [4 * x, 4 * x] },
          brought: { bytes: weight, scratch: [weight] },
          scratch: [4 * y],
        },
  int4: ({ x, weight, y, forward }) => ({
    brought: { bytes: 4 * weight, scratch: [weight / 2, weight / 2] },
    scratch: forward ? [2 * x, 2 * x, 4 * y] : [2 * y, 2 * y],
  }),
  nf4: ({ weight, forward }) =>
    forward
      ? { scratch: [4 * weight, weight / 16] }
      : { brought: { bytes: 4 * weight, scratch: [4 * weight, weight / 16] }, scratch: [] },
};

/** Undefined: a format that is not known here, which is brought to f32 once and read as that. */
export function productCost(format: string, sizes: ProductSizes): ProductCost | undefined {
  return costs[format.replace(/x\d+$/, "")]?.(sizes);
}

/** What the head of a loss is brought to for its chunks, of `weight` elements; undefined: f32. */
export function headCost(format: string, weight: number): Made | undefined {
  return format === "int8" ? { bytes: weight, scratch: [weight] } : undefined;
}
