import type { HostTensor } from "../engine/messages.js";
import type { Dim } from "../graph/dims.js";
import { dimAt, mulDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Input } from "../graph/inputs.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { mix } from "../random.js";
import type { CoreInput } from "./inputs.js";
import { declareCore, feedInput } from "./inputs.js";

/**
 * Sequences of one length whose padding is left out: places [batch * length] <-> tokens. Linear layers, norms
 * and activations see [1, tokens, width]; attention sees whole sequences, with any finite numbers at padding,
 * which its mask hides.
 */
export interface Packing {
  readonly tokens: string;
  readonly length: Dim;
  /** [tokens]: each token's place. */
  readonly index: Tensor;
  /** [batch * length]: each place's token, negative at padding. */
  readonly inverse: Tensor;
  /** [tokens], i32: keys of random numbers. */
  readonly key: Tensor;
}

/** Inputs of a packing of the sequences of an input, [batch, length]. */
function packingInputs(
  { name }: Pick<Input, "name">,
  length: Dim,
): Record<"pack" | "unpack" | "keys", CoreInput> {
  const tokens = `${name}Tokens`;
  return {
    unpack: { name: `${name}Unpack`, dtype: "i64", shape: ["batch", length] },
    pack: { name: `${name}Pack`, dtype: "i64", shape: [tokens] },
    keys: { name: `${name}Keys`, dtype: "i32", shape: [tokens] },
  };
}

/** Declares the inputs of a packing. */
export function declarePacking(g: Graph, of: Pick<Input, "name">, length: Dim): Packing {
  const { pack, unpack, keys } = packingInputs(of, length);
  const inverse = declareCore(g, unpack);
  return {
    tokens: `${of.name}Tokens`,
    length,
    index: declareCore(g, pack),
    inverse: g.reshape(inverse, [mulDims("batch", length)]),
    key: declareCore(g, keys),
  };
}

/** [batch, length, width] -> [1, tokens, width] */
export function packRows(g: Graph, x: Tensor, { tokens, index, inverse }: Packing): Tensor {
  return g.reshape(g.moveRows(g.rows(x), index, inverse), [1, tokens, dimAt(x.shape, 2)]);
}

/** [1, tokens, width] -> [batch, length, width] */
export function unpackRows(g: Graph, x: Tensor, { length, index, inverse }: Packing): Tensor {
  return g.reshape(g.moveRows(g.rows(x), inverse, index), ["batch", length, dimAt(x.shape, 2)]);
}

/** Which places of a batch are kept, and where they went. */
export interface Places {
  /** [tokens] */
  readonly kept: Int32Array;
  /** [rows * length], negative where nothing is kept */
  readonly tokenAt: Int32Array;
  readonly shape: readonly [rows: number, length: number];
}

export function placesOf(keep: (row: number, at: number) => boolean, rows: number, length: number): Places {
  const tokenAt = new Int32Array(rows * length).fill(-1);
  const kept: number[] = [];
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < length; j++) {
      if (!keep(i, j)) continue;
      tokenAt[i * length + j] = kept.length;
      kept.push(i * length + j);
    }
  return { kept: Int32Array.from(kept), tokenAt, shape: [rows, length] };
}

/**
 * Feeds of a packing. `rowKeys` are the samples' random keys: a token's key follows from its sample's and its
 * position.
 */
export function packingFeeds(
  of: Pick<Input, "name">,
  { kept, tokenAt, shape }: Places,
  rowKeys: ArrayLike<number> | undefined,
): Record<string, HostTensor> {
  const { pack, unpack, keys } = packingInputs(of, shape[1]);
  const keysOf = (rows: ArrayLike<number>): Int32Array =>
    kept.map((place) => mix(at(rows, Math.floor(place / shape[1])) ^ mix((place % shape[1]) + 1)) | 0);
  return {
    ...feedInput(pack, kept, [kept.length]),
    ...feedInput(unpack, tokenAt, shape),
    ...(rowKeys === undefined ? {} : feedInput(keys, keysOf(rowKeys), [kept.length])),
  };
}
