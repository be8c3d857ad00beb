import type { HostTensor } from "../engine/messages.js";
import type { Dim } from "../graph/dims.js";
import { mulDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { mix } from "../random.js";

/**
 * Sequences of one length whose padding is left out: places [batch * length] <-> tokens. Linear layers, norms and activations see
 * [1, tokens, width]; attention sees whole sequences, with any finite numbers at padding, which its mask hides.
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

/** Declares the inputs of a packing; `name` is their prefix. */
export function declarePacking(g: Graph, name: string, length: Dim): Packing {
  const tokens = `${name}Tokens`;
  const inverse = g.input(`${name}Unpack`, ["batch", length], "i64");
  return {
    tokens,
    length,
    index: g.input(`${name}Pack`, [tokens], "i64"),
    inverse: g.reshape(inverse, [mulDims("batch", length)]),
    key: g.input(`${name}Keys`, [tokens], "i32"),
  };
}

/** [batch, length, width] -> [1, tokens, width] */
export function packRows(g: Graph, x: Tensor, { tokens, index, inverse }: Packing): Tensor {
  return g.reshape(g.moveRows(g.rows(x), index, inverse), [1, tokens, x.shape[2]!]);
}

/** [1, tokens, width] -> [batch, length, width] */
export function unpackRows(g: Graph, x: Tensor, { length, index, inverse }: Packing): Tensor {
  return g.reshape(g.moveRows(g.rows(x), inverse, index), ["batch", length, x.shape[2]!]);
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

/** Feeds of a packing. `rowKeys` are the samples' random keys: a token's key follows from its sample's and its position. */
export function packingFeeds(
  name: string,
  places: Places,
  rowKeys: Int32Array | undefined,
): Record<string, HostTensor> {
  const { kept, tokenAt, shape } = places;
  const keyOf = (place: number): number => {
    const row = Math.floor(place / shape[1]);
    return mix(rowKeys![row]! ^ mix((place % shape[1]) + 1)) | 0;
  };
  const keys = rowKeys === undefined ? {} : { [`${name}Keys`]: keyTensor(kept.map(keyOf)) };
  return {
    [`${name}Pack`]: { dtype: "i64", shape: [kept.length], data: kept },
    [`${name}Unpack`]: { dtype: "i64", shape, data: tokenAt },
    ...keys,
  };
}

function keyTensor(data: Int32Array): HostTensor {
  return { dtype: "i32", shape: [data.length], data };
}
