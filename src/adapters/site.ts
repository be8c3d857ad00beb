import type { ExpertSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type {
  BaseLayer,
  ExpertMethod,
  ExpertPlace,
  LayerPlace,
  Merged,
  MergingPlace,
  ParameterSpec,
  PlaceMethod,
  Prepared,
  Site,
  SiteMethod,
} from "../methods/method.js";

/**
 * A place of the model where an adapter stands, bound to its method and config when it is attached: whoever
 * writes, merges, feeds or starts it calls this, whatever kind of place it is. `At`: what the place gives a
 * method while it is traced.
 */
export interface AdaptedSite<At> extends BoundSite {
  /** What the place gives with the adapter, of what goes in there. */
  readonly forward: (at: At, x: Tensor) => Tensor;
}

/** All of a site but how it is written. */
export interface BoundSite {
  readonly path: string;
  /** Names of the base's weight and bias there; undefined: there are none. */
  readonly weight: string | undefined;
  readonly bias: string | undefined;
  readonly specs: readonly ParameterSpec[];
  /** The factor: alpha / r and the like; 1 where the method has none. */
  readonly scale: number;
  /** What a compiled graph depends on beyond parameters; undefined: all of the config. */
  readonly structure: string | undefined;
  /**
   * The weight (and bias) that does without the adapter what the layer did with it; absent: there is none.
   */
  readonly merge?: (m: MergingPlace) => Merged;
  /** Starting values that depend on the base's weight; absent: there are none. */
  readonly prepare?: (weight: Float32Array, random: () => number, layer: BaseLayer) => Prepared | undefined;
}

/** Binds a method to a place. */
export function bindSite<C, S extends { readonly path: string }, At, All = S>(
  method: PlaceMethod<C, S, At, All>,
  site: S,
  config: C,
  all: readonly All[],
): AdaptedSite<At> {
  return {
    path: site.path,
    weight: undefined,
    bias: undefined,
    specs: method.parameters(config, site, all),
    scale: method.scale?.(config, site) ?? 1,
    structure: method.structure?.(config, site),
    forward: (at, x) => method.forward({ ...at, site, all }, x, config),
  };
}

/** Binds a method to a stack of experts. */
export function bindStack<C>(method: ExpertMethod<C>, site: ExpertSite, config: C): AdaptedSite<ExpertPlace> {
  const { merge } = method;
  return {
    ...bindSite<C, ExpertSite, ExpertPlace>(method, site, config, [site]),
    weight: site.weight,
    ...(merge && { merge: (m) => merge({ ...m, site }, config) }),
  };
}

/** Binds a method to a layer, which has weights of the base. */
export function bindLayer<C, S extends Site>(
  method: SiteMethod<C, S>,
  site: S,
  config: C,
  all: readonly Site[],
): AdaptedSite<LayerPlace> {
  const { merge, mergesInto, prepare } = method;
  const bias = "bias" in site ? site.bias : undefined;
  const isThere = (mergesInto !== "bias" || bias !== undefined) && (method.merges?.(config, site) ?? true);
  return {
    ...bindSite<C, S, LayerPlace, Site>(method, site, config, all),
    weight: site.weight,
    bias,
    ...(merge && isThere && { merge: (m) => merge({ ...m, site, all }, config) }),
    ...(prepare && { prepare: (...start) => prepare(config, site, ...start) }),
  };
}
