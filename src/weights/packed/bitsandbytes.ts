import { DYNAMIC, GROUP, NF4, SIZE } from "../../engine/formats/nf4_pack.js";
import { isRecord, isWhole } from "../../narrow.js";
import type { Packing } from "./packing.js";
import { matrix, refusePacked, scaled, tensorOf, turned } from "./packing.js";

/** What bitsandbytes says of a weight in 4 bits, in JSON in a tensor of bytes. */
interface State {
  readonly shape: readonly [number, number];
  readonly size: number;
  /** Blocks' largest are in 8 bits themselves, in groups of so many. */
  readonly group: number | undefined;
  readonly offset: number;
}

/**
 * 4 bits each, the first in the upper half of a byte: one of 16 values times the largest of its block; these
 * may be in 8 bits (double quantization). With its usual sizes and nf4's values it is our own nf4.
 * Reference: bitsandbytes/functional.py, QuantState
 */
export const bitsandbytes4: Packing = {
  sign: /\.weight\.quant_state\.bitsandbytes__(\w+)$/,
  async open(layer, kind) {
    const scheme = `bitsandbytes ${kind}`;
    const part = (ending: string): Promise<Uint8Array> =>
      layer.checkpoint.read(tensorOf(layer, ending, scheme).name);
    const numbers = (ending: string): Promise<Float32Array> =>
      layer.checkpoint.readF32(tensorOf(layer, ending, scheme).name);
    const state = readState(await part(`weight.quant_state.bitsandbytes__${kind}`), layer.path, scheme);
    const { shape, size, group, offset } = state;
    const count = shape[0] * shape[1];
    const blocks = Math.ceil(count / size);
    const expected: Record<string, number> = {
      weight: Math.ceil(count / 2),
      "weight.absmax": blocks * (group ? 1 : 4),
    };
    if (group !== undefined) expected["weight.nested_absmax"] = 4 * Math.ceil(blocks / group);
    for (const [ending, bytes] of Object.entries(expected))
      if (tensorOf(layer, ending, scheme).bytes !== bytes)
        refusePacked(
          layer.path,
          scheme,
          `its ${ending} does not have the ${bytes} bytes of a weight [${shape}]`,
        );
    const map = await numbers("weight.quant_map");
    const nestedMap = group === undefined ? undefined : await numbers("weight.nested_quant_map");
    const largest = async (): Promise<Float32Array> => {
      if (group === undefined) return numbers("weight.absmax");
      const [codes, nested] = [await part("weight.absmax"), await numbers("weight.nested_absmax")];
      return Float32Array.from(
        codes,
        (code, b) => Math.fround(nestedMap![code]! * nested[Math.floor(b / group)]!) + offset,
      );
    };
    const isOurs =
      size === SIZE &&
      group === GROUP &&
      isEqual(map, NF4) &&
      nestedMap !== undefined &&
      isEqual(nestedMap, DYNAMIC);
    return {
      name: `${layer.path}.weight`,
      scheme,
      shape,
      tensors: [...layer.tensors.values()],
      values: async () => dequantize(await part("weight"), map, await largest(), state),
      exact: isOurs
        ? {
            format: "nf4",
            parts: async () => ({
              data: await part("weight"),
              absmax: await part("weight.absmax"),
              nested: await numbers("weight.nested_absmax"),
              offset: Float32Array.of(offset),
            }),
          }
        : undefined,
    };
  },
};

function isEqual(values: Float32Array, known: readonly number[]): boolean {
  return values.length === known.length && known.every((value, i) => values[i] === Math.fround(value));
}

function dequantize(
  data: Uint8Array,
  map: Float32Array,
  largest: Float32Array,
  { shape, size }: State,
): Float32Array {
  const out = new Float32Array(shape[0] * shape[1]);
  for (let at = 0; at < out.length; at++) {
    const code = at % 2 === 0 ? data[at >> 1]! >> 4 : data[at >> 1]! & 15;
    out[at] = map[code]! * largest[Math.floor(at / size)]!;
  }
  return out;
}

function readState(bytes: Uint8Array, path: string, scheme: string): State {
  const state = jsonOf(bytes);
  const { shape, blocksize, nested_blocksize: group, nested_offset: offset } = state;
  const isSize = (x: unknown): x is number => isWhole(x) && x > 0;
  const sizes = Array.isArray(shape) && shape.every(isSize) ? matrix(shape) : undefined;
  if (sizes === undefined || !isSize(blocksize))
    refusePacked(path, scheme, "its quant_state does not say shape and blocksize of a matrix");
  if (group === undefined) return { shape: sizes, size: blocksize, group: undefined, offset: 0 };
  if (!isSize(group) || typeof offset !== "number")
    refusePacked(path, scheme, "its quant_state does not say nested_blocksize and nested_offset");
  return { shape: sizes, size: blocksize, group, offset: Math.fround(offset) };
}

function jsonOf(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

/** 1 / 127 as bitsandbytes has it. */
const STEP = Math.fround(7.874015718698502e-3);

/**
 * LLM.int8(): a byte each times the largest of its row (SCB) over 127. Our own int8 where the processor
 * multiplies bytes of up to 127.
 * Reference: bitsandbytes/backends/default/ops.py, int8_vectorwise_dequant
 */
export const bitsandbytes8: Packing = {
  sign: /\.SCB$/,
  async open(layer) {
    const scheme = "bitsandbytes int8";
    const [weight, scb] = [tensorOf(layer, "weight", scheme), tensorOf(layer, "SCB", scheme)];
    const shape = matrix(weight.shape);
    if (weight.dtype !== "i8" || shape === undefined || scb.bytes !== 4 * shape[0] || scb.dtype !== "f32")
      refusePacked(
        layer.path,
        scheme,
        `it is ${weight.dtype} [${weight.shape}] with SCB ${scb.dtype} [${scb.shape}]`,
      );
    const order = layer.tensors.get("weight_format");
    if (order !== undefined && (await layer.checkpoint.readF32(order.name)).some((code) => code !== 0))
      refusePacked(layer.path, scheme, "its bytes are not in rows (weight_format)");
    const codes = async (): Promise<Int8Array> => {
      const bytes = await layer.checkpoint.read(weight.name);
      return new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    };
    const [outDim, inDim] = shape;
    const largest = (): Promise<Float32Array> => layer.checkpoint.readF32(scb.name);
    return {
      name: weight.name,
      scheme,
      shape,
      tensors: [...layer.tensors.values()],
      values: async () => {
        const values = scaled({
          codes: await codes(),
          shape,
          scale: await largest(),
          height: 1,
          width: inDim,
        });
        return values.map((value) => value * STEP);
      },
      exact: {
        format: "int8",
        parts: async () => ({
          data: turned(await codes(), outDim, inDim),
          scale: (await largest()).map((m) => m * STEP),
        }),
      },
    };
  },
};
