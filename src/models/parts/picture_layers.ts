import type { Activation } from "../../graph/activations.js";
import { activate } from "../../graph/activations.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import { attend, splitHeads } from "./attention.js";
import { type Layer, meet, repeat } from "./layers.js";

/** The sizes and dropouts of a layer that sees patches. */
export interface PictureLayers {
  readonly hiddenSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly eps: number;
  readonly dropout: number;
  readonly attentionDropout: number;
}

/** Where ViT's relatives differ in their layers. */
export interface PictureForm {
  /** Where the layers are: "layers", "encoder.layer". */
  readonly layers: string;
  readonly attention: string;
  /** The norms before attention and before the feed-forward layer. */
  readonly norms: readonly [attention: string, feedForward: string];
  /** The projection of the heads' results. */
  readonly output: string;
  /** Which of q, k and v have a bias. */
  readonly biased: string;
  /** Parameters that scale both results, by their names. */
  readonly scales?: readonly [attention: string, feedForward: string];
  /** What is added to a layer's scores, made outside of the layer `w`; or to those of all layers. */
  readonly bias?: ((w: Module) => Tensor) | Tensor;
  /** Default: fc2(act(fc1(x))). */
  readonly feedForward?: (w: Module, c: PictureLayers, x: Tensor) => Tensor;
}

/** Layers that norm what they read: x [batch, tokens, hidden] -> the same shape. */
export function pictureLayers(w: Module, c: PictureLayers, x: Tensor, form: PictureForm): Tensor {
  const { norms, feedForward = twoLayers } = form;
  const { bias: added } = form;
  const at = w.at(form.layers);
  const shared: { bias?: Tensor } = added === undefined || typeof added === "function" ? {} : { bias: added };
  const own = typeof added === "function" ? (i: number) => ({ bias: added(at.at(i)) }) : undefined;
  const reads = own === undefined ? {} : { own };
  const layer: Layer<typeof shared> = (w, x, all, _past, _index, own) => {
    const bias = own["bias"] ?? all.bias;
    const attended = pictureAttention(w.at(form.attention), c, w.layerNorm(norms[0], x, c.eps), form, bias);
    const y = meet(w, "attention", scaled(w, c, form.scales?.[0], attended), x);
    const inner = feedForward(w.at("mlp"), c, w.layerNorm(norms[1], y, c.eps));
    return { x: meet(w, "feedForward", scaled(w, c, form.scales?.[1], inner), y) };
  };
  return repeat(at, c.layers, x, undefined, shared, layer, reads).hidden;
}

function scaled(w: Module, c: PictureLayers, name: string | undefined, x: Tensor): Tensor {
  const y = w.dropout("dropout", x, c.dropout);
  return name === undefined ? y : w.g.mul(y, w.get(name, [c.hiddenSize]));
}

/** Attention of x [batch, tokens, hidden] among itself. `bias`: what is added to scores. */
export function pictureAttention(
  w: Module,
  c: PictureLayers,
  x: Tensor,
  { biased, output }: Pick<PictureForm, "biased" | "output">,
  bias?: Tensor,
): Tensor {
  const project = (name: string): Tensor => {
    const y = w.linear(`${name}_proj`, x, c.heads * c.headDim, { bias: biased.includes(name) });
    return splitHeads(w, y, c.heads, c.headDim);
  };
  const q = project("q");
  const options = { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout };
  const mixed = attend(w, q, { k: project("k"), v: project("v") }, options);
  return w.output(w.linear(output, mixed, c.hiddenSize));
}

/** fc2(act(fc1(x))); `w` is the module of both. */
export function twoLayers(
  w: Module,
  c: Pick<PictureLayers, "activation" | "inter" | "hiddenSize">,
  x: Tensor,
): Tensor {
  return w.output(w.linear("fc2", activate(w.g, c.activation, w.linear("fc1", x, c.inter)), c.hiddenSize));
}
