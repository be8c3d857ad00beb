import type { StoredTensor } from "../../hub/checkpoint.js";
import type { Layer, PackedWeight, Packing } from "./packing.js";
import { matrix, refusePacked, scaled, tensorOf, turned, unpackWords } from "./packing.js";

/** Tensors that GPTQ and AWQ have under the same names. */
interface Parts {
  readonly layer: Layer;
  readonly words: StoredTensor;
  readonly zeros: StoredTensor;
  readonly scale: StoredTensor;
  /** [groups, out] */
  readonly groups: number;
  readonly outDim: number;
}

/**
 * W [in, out] in 2, 4 or 8 bits, (code - zero) scale, with zeros and scales by group of inputs and by output.
 */
export const gptq: Packing = {
  sign: /\.qweight$/,
  open(layer) {
    const named = `${layer.config["quant_method"] ?? "GPTQ or AWQ"}`;
    const part = (ending: string): StoredTensor => tensorOf(layer, ending, named);
    const [words, zeros, scale] = [part("qweight"), part("qzeros"), part("scales")];
    const [groups, outDim] = matrix(scale.shape) ?? [0, 0];
    const parts = { layer, words, zeros, scale, groups, outDim };
    const integers = words.dtype === "i32" && zeros.dtype === "i32" && zeros.shape[0] === groups;
    return (
      (integers ? (openGptq(parts) ?? openAwq(parts)) : undefined) ??
      refusePacked(
        layer.path,
        named,
        `qweight [${words.shape}], qzeros [${zeros.shape}], scales [${scale.shape}] are of no known form`,
      )
    );
  },
};

/**
 * Codes packed along the inputs, zeros along the outputs and, in files of version 1, one too small. Each
 * input names its group in g_idx.
 * Reference: auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py
 */
function openGptq({ layer, words, zeros, scale, groups, outDim }: Parts): PackedWeight | undefined {
  const [, zeroWords = 0] = zeros.shape;
  const [rows = 0] = words.shape;
  const bits = (32 * zeroWords) / outDim;
  const inDim = (rows * 32) / bits;
  if (![2, 4, 8].includes(bits) || words.shape[1] !== outDim || !Number.isInteger(inDim)) return undefined;
  const index = layer.tensors.get("g_idx");
  if (index !== undefined && index.shape[0] !== inDim) return undefined;
  const more = layer.config["checkpoint_format"] === "gptq_v2" ? 0 : 1;
  const group = Math.ceil(inDim / groups);
  return {
    name: `${layer.path}.weight`,
    scheme: `GPTQ, ${bits} bits`,
    shape: [outDim, inDim],
    tensors: [...layer.tensors.values()],
    values: async () => {
      const packed = await unpackWords(layer, words, bits); // [in / each, out, each]
      const each = 32 / bits;
      const codes = new Uint8Array(outDim * inDim);
      for (let w = 0, at = 0; w < inDim / each; w++)
        for (let i = 0; i < outDim; i++)
          for (let k = 0; k < each; k++, at++) codes[i * inDim + w * each + k] = packed[at]!;
      const zero = Float32Array.from(await unpackWords(layer, zeros, bits), (z) => z + more);
      return scaled({
        codes,
        shape: [outDim, inDim],
        scale: turned(await layer.checkpoint.readF32(scale.name), groups, outDim),
        zero: turned(zero, groups, outDim),
        height: 1,
        width: index === undefined ? group : await layer.checkpoint.readF32(index.name),
      });
    },
  };
}

/** Outputs of a word, from its lowest bits up. */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7];

/**
 * 4 bits, codes and zeros packed along the outputs, in an order of their own.
 * Reference: awq/utils/packing_utils.py
 */
function openAwq({ layer, words, zeros, scale, groups, outDim }: Parts): PackedWeight | undefined {
  const [inDim = 0, columns = 0] = words.shape;
  const [, zeroColumns = 0] = zeros.shape;
  if (8 * columns !== outDim || 8 * zeroColumns !== outDim || inDim % groups !== 0) return undefined;
  const ordered = async (tensor: StoredTensor): Promise<Uint8Array> => {
    const packed = await unpackWords(layer, tensor, 4);
    return packed.map((_, at) => packed[(at & ~7) + AWQ_ORDER.indexOf(at & 7)]!);
  };
  return {
    name: `${layer.path}.weight`,
    scheme: "AWQ, 4 bits",
    shape: [outDim, inDim],
    tensors: [...layer.tensors.values()],
    values: async () => {
      const values = scaled({
        codes: await ordered(words),
        shape: [inDim, outDim],
        scale: await layer.checkpoint.readF32(scale.name),
        zero: Float32Array.from(await ordered(zeros)),
        height: inDim / groups,
        width: 1,
      });
      return turned(values, inDim, outDim);
    },
  };
}
