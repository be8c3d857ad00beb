import type { StoredTensor } from "../../hub/checkpoint.js";
import { isReal } from "../../hub/tensors/dtypes.js";
import { isWhole } from "../../narrow.js";
import type { Layer, Packing } from "./packing.js";
import { matrix, refusePacked, scaled, tensorOf } from "./packing.js";

/**
 * A number of 8 bits each, float or whole, times a scale: one for all, one per row, or one per block. So are
 * fp8 checkpoints of DeepSeek and Qwen (weight_scale_inv, which multiplies too), FBGEMM, ModelOpt, Quark and
 * compressed-tensors, and the last one's int8. References: transformers/integrations/finegrained_fp8.py,
 * compressed_tensors/quantization/lifecycle/forward.py
 */
export const scales: Packing = {
  sign: /\.(weight_scale(?:_inv)?)$/,
  open(layer, ending) {
    const weight = layer.tensors.get("weight");
    if (weight === undefined) return undefined; // packed further: another kind
    const scheme = weight.dtype.startsWith("f8") ? "fp8" : weight.dtype;
    const refuse = (why: string): never => refusePacked(layer.path, scheme, why);
    const shape = matrix(weight.shape) ?? refuse(`its weight has the shape [${weight.shape}]`);
    if (weight.dtype !== "i8" && !/^f8_e[45]/.test(weight.dtype))
      return refuse(`its weight is stored as ${weight.dtype}: fp8 and int8 are read`);
    for (const further of ["weight_scale_2", "weight_global_scale"])
      if (layer.tensors.has(further)) refuse(`it has scales of scales (${further}): fp4 is not read`);
    const scale = tensorOf(layer, ending, scheme);
    const zero = layer.tensors.get("weight_zero_point");
    const index = layer.tensors.get("weight_g_idx");
    if (!isReal(scale.dtype) || (zero !== undefined && `${zero.shape}` !== `${scale.shape}`))
      refuse(`${ending} is ${scale.dtype} [${scale.shape}]`);
    const [height, width] =
      blockOf(layer, shape, scale) ?? refuse(`${ending} is [${scale.shape}] for [${shape}]`);
    const read = (tensor: StoredTensor): Promise<Float32Array> => layer.checkpoint.readF32(tensor.name);
    return {
      name: weight.name,
      scheme,
      shape,
      tensors: [...layer.tensors.values()],
      values: async () =>
        scaled({
          codes: await read(weight),
          shape,
          scale: await read(scale),
          zero: zero && (await read(zero)),
          height,
          width: index === undefined ? width : await read(index),
        }),
    };
  },
};

/** Rows and columns that share a scale. */
function blockOf(
  { config }: Layer,
  [rows, columns]: readonly [number, number],
  { shape }: StoredTensor,
): readonly [number, number] | undefined {
  if (shape.every((n) => n === 1)) return [rows, columns];
  const [down, across = 1] = shape;
  if (shape.length > 2 || down === undefined) return undefined;
  const fits = (size: unknown, length: number, blocks: number): size is number =>
    isWhole(size) && Math.ceil(length / size) === blocks;
  const sizeOf = (axis: 0 | 1, length: number, blocks: number): number | undefined => {
    const sizes = config["weight_block_size"];
    const said: unknown = Array.isArray(sizes) ? sizes[axis] : undefined;
    return [said, 128, length / blocks].find((size) => fits(size, length, blocks));
  };
  const [height, width] = [sizeOf(0, rows, down), sizeOf(1, columns, across)];
  return height === undefined || width === undefined ? undefined : [height, width];
}
