import type { AdapterDraft } from "../adapters/draft.js";
import { initialize } from "../adapters/initialize.js";
import type { AdaptedSite } from "../adapters/site.js";
import type { AdapterConfig, ParameterSpec } from "../methods/method.js";
import { checkTensorSize } from "./tensor_sizes.js";

/**
 * A layer's parameters, or those that all layers share; `held`: how many numbers the layer's own weight has;
 * `place`: what stands before their keys in the file.
 */
export function addEntries<C extends AdapterConfig>(
  draft: AdapterDraft<C>,
  path: string | undefined,
  specs: readonly ParameterSpec[],
  next: () => number,
  held: number,
  place: string = path === undefined ? "base_model." : `base_model.model.${path}.`,
): void {
  for (const { key, shape, initial, free, frozen, also, of } of specs) {
    checkTensorSize(draft.config, path ?? "all layers", { key, shape }, held);
    const graphShape = shape.map((d, i) => (free?.includes(i) ? `rank.${draft.layers.size}` : d));
    const full = path === undefined ? key : `${path}.${key}`;
    const saved = place + key;
    if (of !== undefined) {
      draft.addCopy(full, saved, `${of}.${key}`);
      continue;
    }
    draft.add({
      key: full,
      savedKey: frozen === "derived" || frozen === "counted" ? undefined : saved,
      shape,
      graphShape,
      frozen: frozen !== undefined,
      counted: frozen === undefined || frozen === "counted" || frozen === "saved counted",
      dtype: frozen === "saved i32" ? "i32" : frozen === "saved i64" ? "i64" : "f32",
      fill: (data) => initialize(data, shape, initial, next),
    });
    if (also !== undefined) draft.addCopy(`${path}.${also}`, place + also, full);
  }
}

/** Puts a bound method on its place. */
export function addSite<C extends AdapterConfig, At>(
  draft: AdapterDraft<C>,
  sites: Map<string, AdaptedSite<At>>,
  site: AdaptedSite<At>,
  next: () => number,
  held: number,
  place?: string,
): void {
  draft.stand(sites, site);
  addEntries(draft, site.path, site.specs, next, held, place);
}
