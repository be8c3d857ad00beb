import { axes, dimAt, mulDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Convolves, Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import type { Vjp } from "./vjp.js";

/** y = x * W: dx = dy *^T W, dW = x *' dy, where *' sums over the batch */
export const conv: Vjp<"conv"> = (g, y, dy, [x, w], wants) => [
  wants[0] ? g.convTranspose(dy, w, y.attrs, x.shape.slice(2)) : undefined,
  wants[1] ? byKernel(g, y.attrs, x, dy, w) : undefined,
];

/** z = dy *^T W: the same the other way round. */
export const convTranspose: Vjp<"convTranspose"> = (g, z, dz, [dy, w], wants) => [
  wants[0] ? g.conv(dz, w, z.attrs) : undefined,
  wants[1] ? byKernel(g, z.attrs, dz, dy, w) : undefined,
];

/**
 * dW [out, in / groups, ...kernel] is a convolution as well: of x, with dy as its kernel, the batch as its
 * channels, and stride and dilation in each other's place.
 */
function byKernel(g: Graph, how: Convolves, x: Tensor, dy: Tensor, w: Tensor): Tensor {
  const { stride, padding, dilation, groups } = how;
  const [[batch], sizes] = [axes(x.shape.slice(0, 1), 1), x.shape.slice(2)];
  const own = dimAt(w.shape, 1);
  const rest = sizes.map((_, i) => i + 3);
  const inGroups = g.transpose(g.reshape(x, [batch, groups, own, ...sizes]), [2, 1, 0, ...rest]);
  const channels = g.reshape(inGroups, [own, mulDims(groups, batch), ...sizes]);
  const kernel = g.transpose(dy, [1, 0, ...sizes.map((_, i) => i + 2)]); // [out, batch, ...]
  const sums = g.conv(channels, kernel, { stride: dilation, dilation: stride, padding, groups });
  // where the last stride was not whole, more places come out than the kernel has
  const cut = sizes.reduce<Tensor>((dw, _, i) => g.slice(dw, i + 2, 0, at(w.shape, i + 2)), sums);
  return g.transpose(cut, [1, 0, ...sizes.map((_, i) => i + 2)]);
}
