import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import { lengthAt } from "../graph/dims.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import type { Architecture, ModelConfig, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { NOT_CACHED, readConfig, tokenlessFields } from "./parts/config.js";
import { batchNorm, maxPool } from "./parts/maps.js";
import type { PictureInputs } from "./parts/pictures.js";
import { pictureInputs, usual } from "./parts/pictures.js";

interface ResNetConfig extends ModelConfig {
  readonly stem: number;
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  readonly isBasic: boolean;
  readonly activation: Activation;
  readonly firstStride: number;
  readonly stridesFirst: boolean;
}

function read(f: Fields): ResNetConfig {
  const widths = f.sizes("hidden_sizes", [256, 512, 1024, 2048]);
  const depths = f.sizes("depths", [3, 4, 6, 3]);
  if (widths.length !== depths.length)
    f.fault(`there are ${depths.length} depths of ${widths.length} widths`);
  return {
    ...tokenlessFields(f),
    ...NOT_CACHED,
    ...{ widths, depths, lengths: { channels: f.size("num_channels", 3) } },
    usualLengths: usual(f.pair("image_size", 224)),
    hiddenSize: widths.at(-1) ?? 1,
    layers: depths.reduce((a, b) => a + b, 0),
    stem: f.size("embedding_size", 64),
    isBasic: f.choice("layer_type", ["bottleneck", "basic"], "bottleneck") === "basic",
    activation: f.choice("hidden_act", activationNames, "relu"),
    firstStride: f.flag("downsample_in_first_stage", false) ? 2 : 1,
    stridesFirst: f.flag("downsample_in_bottleneck", false),
  };
}

/** norm(conv(x)), through an activation where there is one. */
function convolve(
  w: Module,
  x: Tensor,
  width: number,
  { kernel, stride = 1, act }: { kernel: number; stride?: number; act?: Activation },
): Tensor {
  const options = { stride: [stride, stride], padding: [kernel >> 1, kernel >> 1], bias: false };
  const y = batchNorm(w, "normalization", w.conv("convolution", x, width, [kernel, kernel], options));
  return act === undefined ? y : activate(w.g, act, y);
}

/** act(layers(x) + x), with x brought to their width and size; layers have ReLU, whatever the config says */
function layer(w: Module, c: ResNetConfig, x: Tensor, width: number, stride: number): Tensor {
  const changes = stride !== 1 || lengthAt(x.shape, 1) !== width;
  const residual = changes ? convolve(w.at("shortcut"), x, width, { kernel: 1, stride }) : x;
  const inner = width >> 2;
  const [before, within] = c.stridesFirst ? [stride, 1] : [1, stride];
  const steps = c.isBasic
    ? ([
        [width, 3, stride],
        [width, 3, 1],
      ] as const)
    : ([
        [inner, 1, before],
        [inner, 3, within],
        [width, 1, 1],
      ] as const);
  const y = steps.reduce<Tensor>((y, [width, kernel, stride], i) => {
    const act = i === steps.length - 1 ? {} : ({ act: "relu" } as const);
    return convolve(w.at(`layer.${i}`), y, width, { kernel, stride, ...act });
  }, x);
  return activate(w.g, c.activation, w.g.add(y, residual));
}

function stack(w: Module, c: ResNetConfig, { pixels }: PictureInputs): StackOutput {
  const stem = w.at("embedder.embedder");
  let x = maxPool(w, convolve(stem, pixels, c.stem, { kernel: 7, stride: 2, act: c.activation }));
  for (const [i, width] of c.widths.entries())
    for (let n = 0; n < at(c.depths, i); n++) {
      const own = w.at(`encoder.stages.${i}.layers.${n}`);
      const stride = n > 0 ? 1 : i === 0 ? c.firstStride : 2;
      x = w.g.block(own.path, { x }, {}, ({ x }) => ({ x: layer(own, c, x, width, stride) })).x;
    }
  return { hidden: w.g.mean(x, [2, 3]), present: [] };
}

/** Convolutions with residuals. arXiv 1512.03385. Reference: transformers/models/resnet */
export const resnet: Architecture<ResNetConfig, PictureInputs> = {
  modelTypes: ["resnet"],
  prefix: "resnet",
  roles: { targets: ["convolution"] },
  inputs: pictureInputs,
  parse: (json) => readConfig(json, read),
  stack,
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier.1", hidden, c.numLabels),
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["classifier"],
};
