import type { Activation } from "../../graph/activations.js";
import { activate, activationNames } from "../../graph/activations.js";
import { dimAt } from "../../graph/dims.js";
import type { Column, Input, InputsFor, ReadColumn } from "../../graph/inputs.js";
import { filled, rowInput } from "../../graph/inputs.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { Fields } from "./config.js";

/** What models read of clips as they sound. */
export interface WaveInputs {
  /** [batch, samples] */
  readonly values: Tensor;
  /** [batch, samples], i64: 1 where there is sound, 0 at padding, which stands behind it. */
  readonly heard: Tensor;
}

/** The convolutions that make frames of samples. */
export interface WaveConfig {
  readonly convolutions: readonly {
    readonly width: number;
    readonly kernel: number;
    readonly stride: number;
  }[];
  readonly convBias: boolean;
  /** "group": the first one's channels are normed over time; "layer": each one's over channels. */
  readonly convNorm: "group" | "layer";
  readonly convActivation: Activation;
}

export function readWaves(f: Fields): WaveConfig {
  const [widths, kernels, strides] = ["conv_dim", "conv_kernel", "conv_stride"].map((key, i) =>
    f.has(key) ? f.numbers(key) : (DEFAULTS[i] ?? []),
  );
  const convolutions = (widths ?? []).map((width, i) => {
    const [kernel = 0, stride = 0] = [kernels?.[i], strides?.[i]];
    return { width, kernel, stride };
  });
  const isWhole = convolutions.every((c) => Object.values(c).every((x) => Number.isInteger(x) && x > 0));
  if (!isWhole || kernels?.length !== widths?.length || strides?.length !== widths?.length)
    f.fault('"conv_dim", "conv_kernel" and "conv_stride" are no lists of as many whole numbers above 0');
  return {
    convolutions,
    convBias: f.flag("conv_bias", false),
    convNorm: f.choice("feat_extract_norm", ["group", "layer"], "group"),
    convActivation: f.choice("feat_extract_activation", activationNames, "gelu"),
  };
}

const DEFAULTS = [
  [512, 512, 512, 512, 512, 512, 512],
  [10, 3, 3, 3, 3, 2, 2],
  [5, 2, 2, 2, 2, 2, 2],
];

const values: Input = rowInput("inputValues", "f32", ["samples"], {
  means: "the samples of clips, as the model's feature extractor makes them",
});

/** Without a mask all samples are heard. */
function readHeard(column: ReadColumn): Column | undefined {
  const own = column(values.name);
  return column("attentionMask") ?? (own && filled(own.shape, 1));
}

export const waveInputs: InputsFor<WaveInputs> = {
  values,
  heard: rowInput("attentionMask", "i64", ["samples"], { read: readHeard, means: "1 where there is sound" }),
};

const EPS = 1e-5;

/** samples [batch, samples] -> frames [batch, frames, width]; `w` is the feature extractor. */
export function framesOf(w: Module, c: WaveConfig, samples: Tensor): Tensor {
  const { g } = w;
  let x = g.unsqueeze(samples, 1);
  for (const [i, { width, kernel, stride }] of c.convolutions.entries()) {
    const at = w.at(`conv_layers.${i}`);
    x = at.conv("conv", x, width, [kernel], { stride: [stride], bias: c.convBias });
    if (c.convNorm === "layer")
      x = g.transpose(at.layerNorm("layer_norm", g.transpose(x, [0, 2, 1]), EPS), [0, 2, 1]);
    else if (i === 0) x = overTime(at.at("layer_norm"), x, width);
    x = activate(g, c.convActivation, x);
  }
  return g.transpose(x, [0, 2, 1]);
}

/** Each channel of x [batch, width, frames] normed over its frames: as many groups as channels. */
function overTime(w: Module, x: Tensor, width: number): Tensor {
  const { g } = w;
  const centered = g.sub(x, g.mean(x, 2, true));
  const deviation = g.sqrt(g.add(g.mean(g.square(centered), 2, true), EPS));
  const [scale, bias] = ["weight", "bias"].map((name) => g.reshape(w.get(name, [width]), [1, width, 1]));
  return g.add(g.mul(g.div(centered, deviation), scale ?? 1), bias ?? 0);
}

/** Which frames have sound in them alone: heard [batch, samples] -> [batch, frames], i64. */
export function heardFrames({ g }: Module, c: WaveConfig, heard: Tensor, frames: Tensor): Tensor {
  let count = g.sum(heard, 1, true); // [batch, 1]
  for (const { kernel, stride } of c.convolutions)
    count = g.add(g.div(g.sub(count, kernel), g.scalar(stride, "i64")), 1);
  return g.cast(g.less(g.iota(dimAt(frames.shape, 1)), count), "i64");
}

/** How many frames samples make; 0 or less: they are too few for one. */
export function countFrames({ convolutions }: WaveConfig, samples: number): number {
  return convolutions.reduce((n, { kernel, stride }) => Math.floor((n - kernel) / stride) + 1, samples);
}
