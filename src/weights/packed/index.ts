import { PeftError } from "../../errors.js";
import type { Checkpoint, StoredTensor } from "../../hub/checkpoint.js";
import { bitsandbytes4, bitsandbytes8 } from "./bitsandbytes.js";
import { compressedTensors } from "./compressed_tensors.js";
import { gptq } from "./gptq.js";
import type { Layer, PackedWeight, Packing } from "./packing.js";
import { scales } from "./scales.js";

export type { PackedWeight } from "./packing.js";

const packings: readonly Packing[] = [bitsandbytes4, bitsandbytes8, gptq, compressedTensors, scales];

type Json = Readonly<Record<string, unknown>>;

/** What config.json says of how its weights are quantized; undefined: nothing. */
export interface Quantization {
  /** "bitsandbytes nf4", "gptq (4 bits)", ... */
  readonly name: string;
  readonly config: Json;
}

export function quantizationOf(json: Json): Quantization | undefined {
  const config = [json["quantization_config"], json["compression_config"], json["quantization"]].find(
    isObject,
  );
  if (config === undefined) return undefined;
  const { quant_method: method, load_in_4bit, load_in_8bit, bnb_4bit_quant_type, bits, quant_algo } = config;
  const bitsandbytes =
    load_in_4bit === true ? `bitsandbytes ${bnb_4bit_quant_type ?? "4 bits"}` : "bitsandbytes int8";
  if (load_in_4bit === true || load_in_8bit === true) return { name: bitsandbytes, config };
  const detail =
    typeof bits === "number" ? ` (${bits} bits)` : typeof quant_algo === "string" ? ` (${quant_algo})` : "";
  return { name: `${typeof method === "string" ? method : "an unnamed method"}${detail}`, config };
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A checkpoint's weights, those that are packed put together from their tensors. */
export interface Weights {
  /** Tensors that belong to no packed weight. */
  readonly plain: readonly StoredTensor[];
  readonly packed: readonly PackedWeight[];
}

/** Recognised by their tensors, whether config.json says so or not. Throws "checkpoint". */
export async function unpackedWeights(
  checkpoint: Checkpoint,
  quantization: Quantization | undefined,
): Promise<Weights> {
  const packed = new Map<string, PackedWeight>();
  for (const name of checkpoint.tensors.keys()) {
    for (const { sign, open } of packings) {
      const found = sign.exec(name);
      const path = found === null ? "" : name.slice(0, found.index);
      if (found === null || packed.has(path)) continue;
      const layer = layerOf(checkpoint, path, quantization);
      const weight = await open(layer, found[1] ?? "");
      if (weight !== undefined) packed.set(path, weight);
    }
  }
  const used = new Set([...packed.values()].flatMap(({ tensors }) => tensors.map((tensor) => tensor.name)));
  const plain = [...checkpoint.tensors.values()].filter(({ name }) => !used.has(name));
  return { plain, packed: [...packed.values()] };
}

/** What else may lie beside a weight: its bias is a tensor of its own. */
function layerOf(checkpoint: Checkpoint, path: string, quantization: Quantization | undefined): Layer {
  const tensors = new Map<string, StoredTensor>();
  for (const ending of ENDINGS) {
    const tensor = checkpoint.tensors.get(`${path}.${ending}`);
    if (tensor !== undefined) tensors.set(ending, tensor);
  }
  return { path, tensors, checkpoint, config: quantization?.config ?? {} };
}

const ENDINGS = [
  "weight",
  ...["absmax", "quant_map", "nested_absmax", "nested_quant_map"].map((part) => `weight.${part}`),
  ...["nf4", "fp4"].map((kind) => `weight.quant_state.bitsandbytes__${kind}`),
  ...["SCB", "weight_format"],
  ...["qweight", "qzeros", "scales", "g_idx"],
  ...["weight_packed", "weight_shape", "weight_zero_point", "weight_g_idx"],
  ...["weight_scale", "weight_scale_inv", "weight_scale_2", "weight_global_scale", "input_scale"],
];

/**
 * Why weights are missing or of a wrong form, where the checkpoint is quantized in a way that is not read.
 */
export function unreadQuantization({ name }: Quantization, faults: string): PeftError {
  return new PeftError("checkpoint", {
    what: `This checkpoint is quantized with ${name}, and these weights are not read here.`,
    why: faults,
    fix: 'use the model as it was before (its card names it), and hold it in 4 bits here: load: "nf4", or --load-in nf4.',
  });
}
