import { dimAt, mulDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { ConvSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { DeltaParts } from "./delta.js";
import { withChange } from "./gate.js";
import type { Merging, MergingPlace, SiteMethod } from "./method.js";
import { dropChange, type WeightDropout } from "./weight_dropout.js";

/** A convolution as a linear layer of what its kernel sees at a place: [outDim, inDim / groups * kernel]. */
export function asLinear({ path, weight, bias, ...conv }: ConvSite): LinearSite {
  const { inChannels, outChannels, groups, kernel } = conv;
  const inDim = (inChannels / groups) * kernel.reduce((a, b) => a * b, 1);
  return { path, weight, bias, inDim, outDim: outChannels, transposed: false };
}

/** Between a kernel [out, in / groups, ...kernel] and its matrix. */
export function asMatrix(g: Graph, site: ConvSite, kernel: Tensor): Tensor {
  const { outDim, inDim } = asLinear(site);
  return g.reshape(kernel, [outDim, inDim]);
}

export function asKernel(g: Graph, site: ConvSite, matrix: Tensor): Tensor {
  return g.reshape(matrix, kernelShape(site));
}

export function kernelShape({ inChannels, outChannels, groups, kernel }: ConvSite): number[] {
  return [outChannels, inChannels / groups, ...kernel];
}

/** What a method that adds to a kernel has there. */
export type KernelDelta<C> = (parts: DeltaParts & { readonly conv: ConvSite }, c: C) => Tensor;

/**
 * Methods that add to a convolution's kernel, which they see as a matrix: y = (W + s D) * x + b, D [out, in /
 * groups * kernel]. `dropout` says what of s D is dropped in training.
 */
export function addsToKernel<C>(
  delta: KernelDelta<C>,
  dropout?: (c: C) => WeightDropout,
): Pick<SiteMethod<C, ConvSite>, "forward" | "merge"> {
  const matrixOf = (
    m: Pick<MergingPlace, "g" | "p" | "shared">,
    conv: ConvSite,
    weight: () => Tensor,
    c: C,
  ): Tensor => {
    const site = asLinear(conv);
    return delta({ ...m, conv, site, weight: () => asMatrix(m.g, conv, weight()) }, c);
  };
  return {
    forward: (a, x, c) => {
      const { g, site } = a;
      const d = matrixOf(a, site, a.weight, c);
      const kept = dropout ? dropRows(a, d, site, dropout(c)) : d;
      return withChange(a, x, g.conv(x, asKernel(g, site, kept), site));
    },
    merge: (m: Merging<ConvSite>, c) => {
      const { g, site, weight, scale } = m;
      const d = matrixOf(m, site, () => weight, c);
      return { weight: g.add(weight, g.mul(asKernel(g, site, d), scale)) };
    },
  };
}

function dropRows(
  a: Parameters<typeof dropChange>[0],
  d: Tensor,
  { outChannels }: ConvSite,
  dropout: WeightDropout,
): Tensor {
  const { g } = a;
  return g.transpose(dropChange(a, g.transpose(d, [1, 0]), outChannels, dropout), [1, 0]);
}

/** Whether a kernel has places that could share a core. */
export function hasCore({ kernel }: ConvSite): boolean {
  return kernel.some((length) => length > 1);
}

/** Axes of a core: of a kernel over one axis it has a second one of length 1, as Python's. */
export function coreKernel({ kernel }: ConvSite): readonly number[] {
  return kernel.length === 1 ? [...kernel, 1] : kernel;
}

/** sum over i, j of t[i, j, k...] a[i, p] b[j, r]: [p, r, k...] */
export function fromCore(g: Graph, t: Tensor, a: Tensor, b: Tensor): Tensor {
  const [r, , ...kernel] = t.shape;
  const places = mulDims(...kernel);
  const [out, inner] = [dimAt(a.shape, 1), dimAt(b.shape, 1)];
  const byOut = g.matmul(a, g.reshape(t, [r ?? 1, mulDims(r ?? 1, places)]), { transA: true }); // [p, j k]
  const byIn = g.matmul(b, g.reshape(byOut, [out, r ?? 1, places]), { transA: true }); // [p, r, k]
  return g.reshape(byIn, [out, inner, ...kernel]);
}
