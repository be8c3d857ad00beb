import type { Shape } from "../graph/dims.js";
import { sameShape } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { BinaryOp, Inputs, OpName, Tensor, UnaryOp } from "../graph/ops.js";

/**
 * The gradient rule of a primitive y = op(inputs): from dy (shaped like y) the gradient of each input,
 * shaped like it. `wants[i]` tells whether input i leads to something trainable; what is not wanted is not
 * emitted. Called only where at least one input is wanted.
 */
export type Vjp<K extends OpName = OpName> = (
  g: Graph,
  y: Tensor<K>,
  dy: Tensor,
  inputs: Inputs<Tensor>[K],
  wants: readonly boolean[],
) => readonly (Tensor | undefined)[];

/** The rule of a primitive through which nothing flows back. The reverse walk never enters it. */
export const noGradient: Vjp = () => [];

type Unary = (g: Graph, dy: Tensor, x: Tensor, y: Tensor) => Tensor;
type Binary = (g: Graph, dz: Tensor, x: Tensor, y: Tensor, z: Tensor) => Tensor;

/** A rule for y = op(x): one line gives dx. */
export function unary(dx: Unary): Vjp<UnaryOp> {
  return (g, y, dy, [x]) => [dx(g, dy, x, y)];
}

/**
 * A rule for z = op(x, y) with broadcasting: one line per operand, before it is summed down to the operand's
 * shape.
 */
export function binary(dx: Binary, dy: Binary): Vjp<BinaryOp> {
  return (g, z, dz, [x, y], [wantsX, wantsY]) => [
    wantsX ? unbroadcast(g, dx(g, dz, x, y, z), x.shape) : undefined,
    wantsY ? unbroadcast(g, dy(g, dz, x, y, z), y.shape) : undefined,
  ];
}

/** Sums a gradient down to the shape of the operand that was broadcast. */
export function unbroadcast(g: Graph, dy: Tensor, shape: Shape): Tensor {
  if (sameShape(dy.shape, shape)) return dy;
  const lead = dy.shape.length - shape.length;
  const axes = dy.shape.flatMap((d, i) => (i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : []));
  return g.reshape(axes.length === 0 ? dy : g.sum(dy, axes), shape);
}
