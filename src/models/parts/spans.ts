import { dimAt } from "../../graph/dims.js";
import type { Module } from "../../graph/module.js";
import type { Tensor } from "../../graph/ops.js";
import type { Fields } from "./config.js";

/** Spans that training hides (SpecAugment, arXiv 1904.08779). */
export interface Spans {
  /** Share of places that are hidden, were spans not to overlap. */
  readonly share: number;
  /** Places of a span. */
  readonly length: number;
  /** Spans of a row at least. */
  readonly least: number;
}

/** How config.json hides spans of frames and of features. */
export interface HiddenSpans {
  readonly time: Spans;
  readonly feature: Spans;
  /** Whether it does. */
  readonly isOn: boolean;
}

export function readHiddenSpans(f: Fields, isOn: boolean): HiddenSpans {
  const spans = (of: "time" | "feature", share: number, least: number): Spans => ({
    share: f.number(`mask_${of}_prob`, share),
    length: f.size(`mask_${of}_length`, 10),
    least: f.has(`mask_${of}_min_masks`) ? f.number(`mask_${of}_min_masks`, least) : least,
  });
  return {
    time: spans("time", 0.05, 2),
    feature: spans("feature", 0, 0),
    isOn: f.flag("apply_spec_augment", isOn),
  };
}

/**
 * 1 where a place is hidden, 0 elsewhere, like `mask` [batch, places] (i64, 1 at places that count);
 * undefined in evaluation, or where nothing is hidden. As many spans as `share` of a row's places say,
 * rounded by chance, begin at places of their own; they may overlap.
 */
export function hiddenPlaces(w: Module, name: string, mask: Tensor, s: Spans): Tensor | undefined {
  const { g } = w;
  const real = g.cast(mask, "f32");
  const order = s.share === 0 ? undefined : w.padded.layout.random(real, w.name(`${name} starts`));
  const chance = w.padded.layout.random(g.slice(real, 1, 0, 1), w.name(`${name} rounding`));
  if (order === undefined || chance === undefined) return undefined;
  const places = dimAt(mask.shape, 1);
  const count = g.sum(mask, 1, true); // [batch, 1]
  const wanted = g.cast(g.add(g.mul(g.cast(count, "f32"), s.share / s.length), chance), "i64");
  const room = g.max(g.sub(count, s.length - 1), 0); // places where a span may begin
  const fitting = g.cast(g.mul(g.cast(count, "f32"), 1 / s.length), "i64");
  const spans = g.min(g.min(g.max(wanted, s.least), fitting), room);
  const mayBegin = g.less(g.iota(places), room); // [batch, places]
  const rank = g.argsort(g.argsort(g.where(mayBegin, order, 2)));
  const starts = g.cumsum(g.cast(g.less(rank, spans), "f32"), 1);
  const ended = g.slice(g.pad(starts, 1, s.length, 0), 1, 0, places);
  return g.cast(g.less(0.5, g.sub(starts, ended)), "f32");
}
