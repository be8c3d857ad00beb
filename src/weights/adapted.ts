import type { Adapter } from "../adapters/adapter.js";
import type { ModelSpec } from "../trace/write.js";

/** A model as adapters read it: those for another task than the model's bring their head and its config. */
export function adaptedModel<W extends { readonly spec: ModelSpec }>(
  weights: W,
  adapters: readonly Adapter[],
): W {
  const { spec } = weights;
  const other = adapters.find(({ task }) => task !== undefined)?.task;
  if (other === undefined) return weights;
  return { ...weights, spec: { ...spec, ...other, config: { ...other.config, tied: spec.config.tied } } };
}
