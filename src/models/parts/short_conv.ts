import type { Dim } from "../../graph/dims.js";
import { dimAt, subDims } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { KeyValue, Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { TextInputs } from "../model.js";
import { withPast } from "./attention.js";

/** 1 where one of the tokens that are read now is no padding, [batch, seq, 1]: f32 */
export function newTokens(g: Graph, { mask, positions }: Pick<TextInputs, "mask" | "positions">): Tensor {
  const [total, length] = [dimAt(mask.shape, 1), dimAt(positions.shape, 1)];
  // the next token of generation, behind which a cache may have room
  if (length === 1) return g.scalar(1);
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
  const [batch, channels] = [dimAt(x.shape, 0), Number(dimAt(x.shape, 2))];
  const half = Math.floor(channels / 2);
  const [k, v] = g.split(g.unsqueeze(x, 1), -1, [half, channels - half]);
  // [batch, taps - 1 + seq, channels]
  const read = g.concat([before(g, [batch, taps - 1, channels], past), x], 1);
  const made = w.conv(name, g.transpose(read, [0, 2, 1]), channels, [taps], { groups: channels, bias });
  return { x: g.transpose(made, [0, 2, 1]), present: withPast(g, { k, v }, past) };
}

/** What was read last before now, zeros before the first token: [batch, count, channels] */
function before(
  g: Graph,
  [batch, count, channels]: readonly [Dim, number, number],
  past: KeyValue | undefined,
): Tensor {
  const zeros = g.expand(g.scalar(0), [batch, count, channels]);
  if (past === undefined) return zeros;
  const all = g.concat([zeros, g.squeeze(g.concat([past.k, past.v], -1), 1)], 1);
  const length = dimAt(all.shape, 1);
  if (past.place === undefined) return g.slice(all, 1, subDims(length, count), length);
  // in a past with room the last ones stand before the place of what comes, which `count` zeros moved
  const starts = g.add(g.mul(g.iota(batch), g.size(length, "i64")), past.place);
  return g.gather(g.rows(all), g.add(g.unsqueeze(starts, 1), g.iota(count)));
}
