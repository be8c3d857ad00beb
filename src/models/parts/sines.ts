import type { Graph } from "../../graph/graph.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { TextInputs } from "../model.js";
import { positionsAfterPadding } from "./positions.js";

interface Sines {
  readonly maxPositions: number;
  readonly hiddenSize: number;
}

/**
 * Rows of the frozen table `embed_positions`: sines in the first half of the channels, cosines in the second,
 * of position / 10000^(2 i / hidden). Reference: MarianSinusoidalPositionalEmbedding
 */
export function sineTable(w: Module, { maxPositions, hiddenSize }: Sines, x: TextInputs): Tensor {
  const table = w.frozen("embed_positions.weight", {
    shape: [maxPositions, hiddenSize],
    initial: () => sines(maxPositions, hiddenSize),
    isParameter: true,
    positions: maxPositions,
  });
  return w.g.gather(table, x.positions);
}

function sines(rows: number, width: number): Float32Array {
  const data = new Float32Array(rows * width);
  const half = Math.ceil(width / 2);
  for (let at = 0; at < rows; at++)
    for (let i = 0; i < width; i++) {
      const channel = i < half ? i : i - half;
      const angle = at / 10000 ** ((2 * channel) / width);
      data[at * width + i] = i < half ? Math.sin(angle) : Math.cos(angle);
    }
  return data;
}

/**
 * Sines and then cosines of angles that slow down from 1 to 1 / 10000 (1706.03762): positions [batch, seq]
 * (i64) -> [batch, seq, width]
 */
export function sinesAt(g: Graph, positions: Tensor, width: number): Tensor {
  const f32 = Math.fround;
  const half = Math.floor(width / 2);
  const step = f32(-f32(Math.log(10000) / (half - 1)));
  const speeds = Array.from({ length: half }, (_, i) => f32(Math.exp(f32(i * step))));
  const angle = g.mul(g.unsqueeze(g.cast(positions, "f32"), -1), g.constant(speeds, [half])); // [batch, seq, half]
  const both = [g.sin(angle), g.cos(angle)];
  return g.concat(width % 2 === 0 ? both : [...both, g.mul(g.slice(angle, 2, 0, 1), 0)], -1);
}

/**
 * Sines and cosines of positions that count after the padding token's id, as many as there are; zeros at
 * padding. Reference: M2M100SinusoidalPositionalEmbedding
 */
export function sinesAfterPadding(w: Module, width: number, padding: number, x: TextInputs): Tensor {
  const { g } = w;
  const positions = positionsAfterPadding(g, padding + 1, x);
  const isPadding = g.unsqueeze(g.equal(positions, g.scalar(padding, "i64")), -1);
  return g.where(isPadding, 0, sinesAt(g, positions, width));
}
