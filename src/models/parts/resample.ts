import type { Dim } from "../../graph/dims.js";
import { dimAt } from "../../graph/dims.js";
import type { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";

/**
 * How a grid of numbers is brought to another size, as torch.nn.functional.interpolate does it (centers at
 * halves, align_corners false). bicubic has a = -0.75 and repeats the grid's edge; antialiased has a = -0.5
 * and a kernel as wide as the grid shrinks.
 */
export type Resampling = "bilinear" | "bicubic" | "antialiased";

/** x [..., height, width] -> [..., ...sizes]: A x B^T, with the shares that new places have of old ones. */
export function resample(g: Graph, x: Tensor, sizes: readonly [Dim, Dim], kind: Resampling): Tensor {
  const [height, width] = [dimAt(x.shape, -2), dimAt(x.shape, -1)];
  const tall = height === sizes[0] ? x : g.matmul(shares[kind](g, height, sizes[0]), x);
  return width === sizes[1] ? tall : g.matmul(tall, shares[kind](g, width, sizes[1]), { transB: true });
}

/** What each new place has of each old one, [to, from]. */
type Shares = (g: Graph, from: Dim, to: Dim) => Tensor;

/** 0, 1, ... as numbers: of new places [to, 1], of old ones [1, from]. */
function placesOf(
  g: Graph,
  from: Dim,
  to: Dim,
): { readonly old: Tensor; readonly now: Tensor; scale: Tensor } {
  const count = (dim: Dim, axis: number): Tensor => g.unsqueeze(g.cast(g.iota(dim), "f32"), axis);
  return { old: count(from, 0), now: count(to, 1), scale: g.div(g.size(from), g.size(to)) };
}

const bilinear: Shares = (g, from, to) => {
  const { old, now, scale } = placesOf(g, from, to);
  const center = within(g, g.sub(g.mul(g.add(now, 0.5), scale), 0.5), from);
  return g.max(g.sub(1, g.abs(g.sub(center, old))), 0);
};

const bicubic: Shares = (g, from, to) => {
  const { old, now, scale } = placesOf(g, from, to);
  const center = g.sub(g.mul(g.add(now, 0.5), scale), 0.5); // from -0.5 on
  const before = g.sub(g.cast(g.cast(g.add(center, 1), "i64"), "f32"), 1);
  const taps = [-1, 0, 1, 2].map((step) => {
    const tap = g.add(before, step);
    const isHere = g.cast(g.less(g.abs(g.sub(within(g, tap, from), old)), 0.5), "f32");
    return g.mul(isHere, cubic(g, g.abs(g.sub(center, tap)), -0.75));
  });
  return taps.reduce((sum, tap) => g.add(sum, tap));
};

const antialiased: Shares = (g, from, to) => {
  const { old, now, scale } = placesOf(g, from, to);
  const center = g.mul(g.add(now, 0.5), scale);
  const away = g.abs(g.div(g.sub(g.add(old, 0.5), center), g.max(scale, 1)));
  const weights = cubic(g, away, -0.5);
  return g.div(weights, g.sum(weights, -1, true));
};

const shares: Readonly<Record<Resampling, Shares>> = { bilinear, bicubic, antialiased };

/** Places before the first and behind the last are those. */
function within(g: Graph, x: Tensor, from: Dim): Tensor {
  return g.min(g.max(x, 0), g.sub(g.size(from), 1));
}

/** Keys' cubic kernel: (a + 2) t^3 - (a + 3) t^2 + 1 to t = 1, a (t^3 - 5 t^2 + 8 t - 4) to t = 2, then 0. */
function cubic(g: Graph, t: Tensor, a: number): Tensor {
  const square = g.square(t);
  const near = g.add(g.mul(g.sub(g.mul(t, a + 2), a + 3), square), 1);
  const cube = g.mul(g.sub(t, 5), square);
  const far = g.mul(g.sub(g.add(cube, g.mul(t, 8)), 4), a);
  return g.where(g.less(t, 1), near, g.where(g.less(t, 2), far, 0));
}
