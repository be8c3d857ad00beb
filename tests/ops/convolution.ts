import type { Convolves } from "../../src/graph/ops.js";
import { at, build, eachIndex, type Value } from "./arrays.js";

/** Calls with each product of a convolution: where it reads of x, of W, and where it adds to y. */
function eachProduct(
  { stride, padding, dilation, groups }: Convolves,
  x: readonly number[],
  w: readonly number[],
  y: readonly number[],
  call: (x: readonly number[], w: readonly number[], y: readonly number[]) => void,
): void {
  const [out, own] = [w[0]!, w[1]!];
  eachIndex(y, (place) => {
    eachIndex(w.slice(1), (tap) => {
      const [batch, to] = [place[0]!, place[1]!];
      const channel = Math.floor(to / (out / groups)) * own + tap[0]!;
      const from = place.slice(2).map((p, i) => p * stride[i]! - padding[i]! + tap[i + 1]! * dilation[i]!);
      const isInside = from.every((p, i) => p >= 0 && p < x[i + 2]!);
      if (isInside) call([batch, channel, ...from], [to, ...tap], place);
    });
  });
}

const strided = (shape: readonly number[], index: readonly number[]): number =>
  index.reduce((offset, i, axis) => offset * shape[axis]! + i, 0);

export function conv(how: Convolves, [x, w]: readonly Value[]): Value {
  const places = x!.shape.slice(2).map((size, i) => {
    const reach = (w!.shape[i + 2]! - 1) * how.dilation[i]! + 1;
    return Math.floor((size + 2 * how.padding[i]! - reach) / how.stride[i]!) + 1;
  });
  const y = build([x!.shape[0]!, w!.shape[0]!, ...places], () => 0);
  eachProduct(how, x!.shape, w!.shape, y.shape, (from, tap, to) => {
    y.data[strided(y.shape, to)]! += at(x!, from) * at(w!, tap);
  });
  return y;
}

export function convTranspose(how: Convolves, dy: Value, w: Value, sizes: readonly number[]): Value {
  const dx = build([dy.shape[0]!, w.shape[1]! * how.groups, ...sizes], () => 0);
  eachProduct(how, dx.shape, w.shape, dy.shape, (from, tap, to) => {
    dx.data[strided(dx.shape, from)]! += at(dy, to) * at(w, tap);
  });
  return dx;
}
