import type { Dim } from "../../graph/dims.js";
import { axes, dimAt, mulDims } from "../../graph/dims.js";
import type { InputsFor } from "../../graph/inputs.js";
import { rowInput } from "../../graph/inputs.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { ModelConfig } from "../model.js";
import type { Fields } from "./config.js";
import { type Resampling, resample } from "./resample.js";

/** What a model that sees reads. */
export interface PictureInputs {
  /** [batch, channels, height, width], as the model's image processor makes them. */
  readonly pixels: Tensor;
}

/** Rows and columns. */
export type Grid<D extends Dim = Dim> = readonly [rows: D, columns: D];

/** Sizes of pictures and of the patches that they are cut into. */
export interface PatchConfig {
  readonly channels: number;
  readonly patch: Grid<number>;
  /** Patches of a picture of the size that the model was made for. */
  readonly grid: Grid<number>;
  readonly hiddenSize: number;
}

export function readPatches(
  f: Fields,
  fallback: { image: number; patch: number },
): Omit<PatchConfig, "hiddenSize"> & Pick<ModelConfig, "lengths" | "usualLengths"> {
  const image = f.pair("image_size", fallback.image);
  const patch = f.pair("patch_size", fallback.patch);
  const grid = [Math.floor(image[0] / patch[0]), Math.floor(image[1] / patch[1])] as const;
  if (grid[0] === 0 || grid[1] === 0) f.fault(`pictures of ${image} have no patch of ${patch}`);
  const channels = f.size("num_channels", 3);
  return { channels, patch, grid, lengths: { channels }, usualLengths: usual(image) };
}

/** Pictures of the size that a model was made for, as a config's `usualLengths`. */
export function usual([height, width]: Grid<number>): NonNullable<ModelConfig["usualLengths"]> {
  return { height, width };
}

/** How many channels they have, a config's `lengths` say. */
export const pictureInputs: InputsFor<PictureInputs> = {
  pixels: rowInput("pixelValues", "f32", ["channels", "height", "width"], {
    means: "pictures as the model's image processor makes them",
  }),
};

/** Patches of pictures by a convolution whose kernel is its stride: [batch, patches, hidden], row by row. */
export function patches(
  w: Module,
  name: string,
  c: PatchConfig,
  pixels: Tensor,
  bias = true,
): { readonly x: Tensor; readonly grid: Grid } {
  const maps = w.conv(name, pixels, c.hiddenSize, c.patch, { stride: c.patch, bias });
  return { x: asTokens(w, maps), grid: [dimAt(maps.shape, 2), dimAt(maps.shape, 3)] };
}

/** [batch, channels, rows, columns] -> [batch, rows * columns, channels] */
export function asTokens({ g }: Module, maps: Tensor): Tensor {
  const [batch, channels, rows, columns] = axes(maps.shape, 4);
  return g.transpose(g.reshape(maps, [batch, channels, mulDims(rows, columns)]), [0, 2, 1]);
}

/** [batch, rows * columns, channels] -> [batch, channels, rows, columns] */
export function asMaps({ g }: Module, tokens: Tensor, [rows, columns]: Grid): Tensor {
  const [batch, , channels] = axes(tokens.shape, 3);
  return g.reshape(g.transpose(tokens, [0, 2, 1]), [batch, channels, rows, columns]);
}

/**
 * Positions [1, special + patches, width] of special tokens and a grid of patches, brought to another grid:
 * [1, special + ..., width].
 */
export function positionsFor(
  { g }: Module,
  table: Tensor,
  [rows, columns]: Grid<number>,
  to: Grid,
  kind: Resampling = "bicubic",
): Tensor {
  const [, all, width] = axes(table.shape, 3);
  const special = Number(all) - rows * columns;
  const own = g.slice(table, 1, special, all);
  const maps = g.reshape(g.transpose(own, [0, 2, 1]), [1, width, rows, columns]);
  const resized = g.reshape(resample(g, maps, to, kind), [1, width, mulDims(...to)]);
  return g.concat(
    [g.slice(table, 1, 0, special), g.transpose(resized, [0, 2, 1])].slice(special === 0 ? 1 : 0),
    1,
  );
}

/** Tokens [1, n, width], the same for each row of x [batch, ...]: [batch, n, width] */
export function tokenFor({ g }: Module, token: Tensor, x: Tensor): Tensor {
  return g.expand(token, [dimAt(x.shape, 0), ...token.shape.slice(1)]);
}
