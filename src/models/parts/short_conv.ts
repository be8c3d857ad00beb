import { dimAt, subDims } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { KeyValue, Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { TextInputs } from "../model.js";

/** 1 where one of the tokens that are read now is no padding, [batch, seq, 1]: f32 */
export function newTokens(g: Graph, { mask, positions }: Pick<TextInputs, "mask" | "positions">): Tensor {
  const [total, length] = [dimAt(mask.shape, 1), dimAt(positions.shape, 1)];
  return g.unsqueeze(g.cast(g.slice(mask, 1, subDims(total, length), total), "f32"), 2);
}

/** What a convolution over tokens gives. */
export interface Convolved {
  /** [batch, seq, channels] */
  readonly x: Tensor;
  /** What it read, the past included: the first half of the channels, and the other. */
  readonly present: KeyValue;
}

/**
 * Each channel is convolved over a token and those before it: x [batch, seq, channels] -> the same. What it
 * read is kept as keys and values of one head are, half of the channels each, so that caches need to know
 * nothing of it.
 * @param name - of the convolution in the module `w`, whose kernel is [channels, 1, taps]
 */
export function causalConv(
  w: Module,
  name: string,
  x: Tensor,
  past: KeyValue | undefined,
  { taps, bias }: { readonly taps: number; readonly bias: boolean },
): Convolved {
  const { g } = w;
  const [batch, seq, channels] = [dimAt(x.shape, 0), dimAt(x.shape, 1), Number(dimAt(x.shape, 2))];
  const half = Math.floor(channels / 2);
  const before = past && g.squeeze(g.concat([past.k, past.v], -1), 1); // [batch, past, channels]
  const all = before === undefined ? x : g.concat([before, x], 1);
  const total = dimAt(all.shape, 1);
  const padded = g.concat([g.expand(g.scalar(0), [batch, taps - 1, channels]), all], 1);
  // [batch, taps - 1 + seq, channels]
  const read = g.slice(padded, 1, subDims(total, seq), dimAt(padded.shape, 1));
  const made = w.conv(name, g.transpose(read, [0, 2, 1]), channels, [taps], { groups: channels, bias });
  const [k, v] = g.split(g.unsqueeze(all, 1), -1, [half, channels - half]);
  return { x: g.transpose(made, [0, 2, 1]), present: { k, v } };
}
