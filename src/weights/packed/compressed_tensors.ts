import type { Packing } from "./packing.js";
import { matrix, refusePacked, scaled, tensorOf, unpackWords } from "./packing.js";

/**
 * W [out, in] of compressed-tensors' "pack-quantized": 2, 4 or 8 bits around the middle of their range,
 * packed along the inputs; scales [out, groups] and, where they are not symmetric, zeros packed along the
 * outputs.
 * Reference: compressed_tensors/compressors/quantized_compressors/pack_quantized.py
 */
export const compressedTensors: Packing = {
  sign: /\.weight_packed$/,
  async open(layer) {
    const scheme = "compressed-tensors";
    const refuse = (why: string): never => refusePacked(layer.path, scheme, why);
    const words = tensorOf(layer, "weight_packed", scheme);
    if (words.dtype !== "i32") return refuse(`weight_packed is stored as ${words.dtype}: fp4 is not read`);
    const scale = tensorOf(layer, "weight_scale", scheme);
    const said = await layer.checkpoint.readF32(tensorOf(layer, "weight_shape", scheme).name);
    const [outDim, inDim] = matrix([...said]) ?? refuse("weight_shape is no pair");
    const [rows = 0, columns = 0] = words.shape;
    const bits = [8, 4, 2].find((b) => columns === Math.ceil((inDim * b) / 32));
    const [scaleRows = 0, groups = 0] = scale.shape;
    if (
      bits === undefined ||
      rows !== outDim ||
      (scaleRows !== outDim && scale.bytes > 4) ||
      scale.shape.length > 2
    )
      return refuse(
        `weight_packed [${words.shape}], weight_scale [${scale.shape}] are not of [${said.join(", ")}]`,
      );
    const zeros = layer.tensors.get("weight_zero_point");
    const index = layer.tensors.get("weight_g_idx");
    const middle = 2 ** (bits - 1);
    const stride = (columns * 32) / bits;
    return {
      name: `${layer.path}.weight`,
      scheme: `${scheme}, ${bits} bits`,
      shape: [outDim, inDim],
      tensors: [...layer.tensors.values()],
      values: async () => {
        const scales = await layer.checkpoint.readF32(scale.name);
        const zero = new Float32Array(scales.length).fill(middle);
        if (zeros?.dtype === "i32") {
          const packed = await unpackWords(layer, zeros, bits); // [out / each, groups, each]
          const each = 32 / bits;
          for (let i = 0; i < outDim; i++)
            for (let b = 0; b < groups; b++)
              zero[i * groups + b] = packed[(Math.floor(i / each) * groups + b) * each + (i % each)]!;
        }
        return scaled({
          codes: (await unpackWords(layer, words, bits)).filter((_, at) => at % stride < inDim),
          shape: [outDim, inDim],
          scale: scales,
          zero,
          height: scaleRows === outDim ? 1 : outDim,
          width: index === undefined ? Math.ceil(inDim / groups) : await layer.checkpoint.readF32(index.name),
        });
      },
    };
  },
};
