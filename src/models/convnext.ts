import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import type { Architecture, ModelConfig, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { NOT_CACHED, readConfig, tokenlessFields } from "./parts/config.js";
import { channelsFirst, channelsLast, normMaps } from "./parts/maps.js";
import type { PictureInputs } from "./parts/pictures.js";
import { pictureInputs, usual } from "./parts/pictures.js";

interface ConvNextConfig extends ModelConfig {
  readonly channels: number;
  readonly patch: number;
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  readonly activation: Activation;
  readonly eps: number;
  readonly isScaled: boolean;
}

function read(f: Fields): ConvNextConfig {
  const widths = f.sizes("hidden_sizes", [96, 192, 384, 768]);
  const depths = f.sizes("depths", [3, 3, 9, 3]);
  if (widths.length !== depths.length)
    f.fault(`there are ${depths.length} depths of ${widths.length} widths`);
  const channels = f.size("num_channels", 3);
  return {
    ...tokenlessFields(f),
    ...NOT_CACHED,
    ...{ channels, widths, depths, lengths: { channels } },
    usualLengths: usual(f.pair("image_size", 224)),
    hiddenSize: widths.at(-1) ?? 1,
    layers: depths.reduce((a, b) => a + b, 0),
    patch: f.size("patch_size", 4),
    activation: f.choice("hidden_act", activationNames, "gelu"),
    eps: f.number("layer_norm_eps", 1e-12),
    isScaled: f.number("layer_scale_init_value", 1e-6) > 0,
  };
}

/** Of norms between layers, whatever the config says. */
const EPS = 1e-6;

/** x + scale o pwconv2(act(pwconv1(norm(dwconv(x))))) */
function layer(w: Module, c: ConvNextConfig, width: number, x: Tensor): Tensor {
  const { g } = w;
  const options = { padding: [3, 3], groups: width };
  const maps = channelsLast(w, w.conv("dwconv", x, width, [7, 7], options));
  const wide = w.linear("pwconv1", w.layerNorm("layernorm", maps, EPS), 4 * width);
  const y = w.linear("pwconv2", activate(g, c.activation, wide), width);
  const scaled = c.isScaled ? g.mul(y, w.get("layer_scale_parameter", [width])) : y;
  return g.add(x, channelsFirst(w, scaled));
}

function stack(w: Module, c: ConvNextConfig, { pixels }: PictureInputs): StackOutput {
  const patch = [c.patch, c.patch];
  const start = w.at("embeddings");
  const first = start.conv("patch_embeddings", pixels, at(c.widths, 0), patch, { stride: patch });
  let x = normMaps(start, "layernorm", first, EPS);
  for (const [i, width] of c.widths.entries()) {
    const stage = w.at(`encoder.stages.${i}`);
    if (i > 0) {
      const normed = normMaps(stage, "downsampling_layer.0", x, EPS);
      x = stage.conv("downsampling_layer.1", normed, width, [2, 2], { stride: [2, 2] });
    }
    for (let n = 0; n < at(c.depths, i); n++) {
      const own = stage.at(`layers.${n}`);
      x = w.g.block(own.path, { x }, {}, ({ x }) => ({ x: layer(own, c, width, x) })).x;
    }
  }
  return { hidden: w.layerNorm("layernorm", w.g.mean(x, [2, 3]), c.eps), present: [] };
}

/** Convolutions of seven by seven. arXiv 2201.03545. Reference: transformers/models/convnext */
export const convnext: Architecture<ConvNextConfig, PictureInputs> = {
  modelTypes: ["convnext"],
  prefix: "convnext",
  roles: { targets: ["pwconv1", "pwconv2"] },
  inputs: pictureInputs,
  parse: (json) => readConfig(json, read),
  stack,
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier", hidden, c.numLabels),
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["classifier"],
};
