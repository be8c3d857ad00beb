import { addDims, type Dim, dimAt, divDims, lengthAt, mulDims } from "../../graph/dims.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";

/** Channels first to last: [batch, channels, rows, columns] -> [batch, rows, columns, channels]. */
export function channelsLast({ g }: Module, x: Tensor): Tensor {
  return g.transpose(x, [0, 2, 3, 1]);
}

export function channelsFirst({ g }: Module, x: Tensor): Tensor {
  return g.transpose(x, [0, 3, 1, 2]);
}

/** Layer norm over the channels of maps [batch, channels, rows, columns]. */
export function normMaps(w: Module, name: string, x: Tensor, eps: number): Tensor {
  return channelsFirst(w, w.layerNorm(name, channelsLast(w, x), eps));
}

/**
 * Batch norm by its running numbers, which do not change in training here: x [batch, channels, rows,
 * columns].
 */
export function batchNorm(w: Module, name: string, x: Tensor, eps = 1e-5): Tensor {
  const { g } = w;
  const at = w.at(name);
  const channels = lengthAt(x.shape, 1);
  const each = (y: Tensor): Tensor => g.reshape(y, [channels, 1, 1]);
  const running = (key: string, value: number): Tensor =>
    at.frozen(key, {
      shape: [channels],
      initial: () => new Float32Array(channels).fill(value),
      isParameter: false,
    });
  const spread = g.sqrt(g.add(running("running_var", 1), eps));
  const scale = g.div(at.get("weight", [channels]), spread);
  const shift = g.sub(at.get("bias", [channels]), g.mul(running("running_mean", 0), scale));
  return g.add(g.mul(x, each(scale)), each(shift));
}

/** The largest of each 3 x 3 neighbours, two steps apart; what lies outside does not count. */
export function maxPool({ g }: Module, x: Tensor): Tensor {
  return [2, 3].reduce((y, axis) => {
    const size = dimAt(y.shape, axis);
    const places = addDims(divDims(addDims(size, -1), 2), 1);
    const isInside = g.less(0.5, g.pad(g.expand(g.scalar(1), y.shape), axis, 1, 2));
    const padded = g.where(isInside, g.pad(y, axis, 1, 2), LOWEST);
    const taps = [0, 1, 2].map((start) => everySecond(g, padded, axis, start, places));
    return taps.reduce((most, tap) => g.max(most, tap));
  }, x);
}

/** Less than any number of a map. */
const LOWEST = -3e38;

/** Places start, start + 2, ... of an axis, so many. */
function everySecond(g: Module["g"], x: Tensor, axis: number, start: number, places: Dim): Tensor {
  const cut = g.slice(x, axis, start, addDims(start, mulDims(places, 2)));
  const shape = [...cut.shape];
  const pairs = g.reshape(cut, [...shape.slice(0, axis), places, 2, ...shape.slice(axis + 1)]);
  return g.squeeze(g.slice(pairs, axis + 1, 0, 1), axis + 1);
}
