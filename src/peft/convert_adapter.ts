import { type NamesOf, refuseUnknown } from "../arguments.js";
import { type Conversion, type ConvertOptions, convertAdapter } from "../attach/convert.js";
import { PeftError } from "../errors.js";
import { type AdaptedBase, namesOf } from "./adapted_base.js";
import { writeAdapter } from "./save_adapters.js";

/** How an adapter is written as a LoRA. */
export interface ConvertAdapterOptions extends ConvertOptions {
  /** Which adapter. @default the active one */
  readonly adapterName?: string;
}

const convertNames: NamesOf<ConvertAdapterOptions> = {
  rank: { also: ["r", "svdRank"] },
  energy: { also: ["threshold", "share"] },
  maxError: {},
  adapterName: {},
};

/** Writes an adapter as a LoRA. Throws "adapter-config", "adapter-name", "option", "output". */
export async function convertToLora(
  model: AdaptedBase,
  folder: string,
  options: ConvertAdapterOptions,
): Promise<Conversion> {
  refuseUnknown("convertToLora", options, convertNames);
  const { adapterName, ...kept } = options;
  const adapter = adapterName === undefined ? model.adapters.active()[0] : model.adapters.get(adapterName);
  return await model.turns.turn("alone", [adapter], async () => {
    const { merged, residuals } = model.changes;
    if (merged.length > 0)
      throw new PeftError("adapter-config", {
        what: `The adapter "${adapter.name}" cannot be converted while ${namesOf(merged)} are merged.`,
        why: "the base's weights are not those that it stands on.",
        fix: "call unmergeAdapter() first.",
      });
    const { runtime } = model.base;
    const made = await convertAdapter(adapter, runtime, kept, residuals.includes(adapter));
    await writeAdapter(model, made.adapter, folder);
    return { error: made.error, layers: made.layers };
  });
}
