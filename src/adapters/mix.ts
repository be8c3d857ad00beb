import type { NamesOf } from "../arguments.js";
import { internal, PeftError } from "../errors.js";
import type { AdapterConfig, CombinationType, MixOptions, MixPart } from "../methods/method.js";
import { at } from "../present.js";
import type { Adapter } from "./adapter.js";

/** How several adapters become one. */
export interface WeightedOptions extends Partial<MixOptions> {
  /** The way of mixing. @default "svd" */
  readonly combinationType?: CombinationType;
}

export const weightedNames: NamesOf<WeightedOptions> = {
  combinationType: {},
  svdRank: {},
  svdClamp: {},
  density: {},
  majoritySignMethod: {},
  seed: {},
};

/** One adapter that stands for several. */
export interface Mixture {
  readonly config: AdapterConfig;
  /** Fills in its tensors. */
  readonly fill: (into: Adapter) => void;
}

/**
 * A mixture of adapters, weight by weight. Throws "adapter-config" for what cannot be mixed. Reference:
 * peft/tuners/lora/model.py add_weighted_adapter
 */
export function mixtureOf(
  adapters: readonly Adapter[],
  weights: readonly number[],
  { combinationType: given = "svd", ...others }: WeightedOptions,
): Mixture {
  const options = { ...others, combinationType: adapters.length === 1 ? "linear" : given } as const;
  checkMixable(adapters, weights, options);
  const mixing = adapters[0]?.method?.layers?.mixing ?? internal("a mixture that was not checked");
  const config = mixing.config(
    adapters.map(({ config, json, method }) => {
      const targets = json.get("target_modules") ?? method?.layers?.select(config).targetModules;
      return { config, targetModules: targets as string | readonly string[] };
    }),
    options,
  );
  const fill = (into: Adapter): void => {
    for (const [path, { specs }] of into.layers) {
      const parts = adapters.flatMap((adapter, i) => partOf(adapter, path, at(weights, i)) ?? []);
      const rank = at(at(specs, 0).shape, 0);
      const made = parts.length === 0 ? {} : mixing.site(parts, rank, options);
      for (const { key, free } of specs) {
        const { data } = into.entry(`${path}.${key}`);
        if (free !== undefined) data.fill(0); // a factor; magnitudes and biases stay as they start
        data.set(made[key] ?? []);
      }
    }
    into.state.touch();
  };
  return { config, fill };
}

function partOf(adapter: Adapter, path: string, weight: number): MixPart | undefined {
  const found = adapter.layers.get(path);
  if (found === undefined) return undefined;
  const tensors = new Map(found.specs.map(({ key }) => [key, adapter.entry(`${path}.${key}`)]));
  return { weight, scale: found.scale, tensors };
}

function checkMixable(adapters: readonly Adapter[], weights: readonly number[], options: MixOptions): void {
  const fault = (what: string, why: string, fix: string): never => {
    throw new PeftError("adapter-config", { what, why, fix });
  };
  const { combinationType: type, density } = options;
  if (adapters.length === 0 || weights.length !== adapters.length || !weights.every(Number.isFinite))
    fault(
      `There are ${adapters.length} adapters and the weights ${JSON.stringify(weights)}.`,
      "each adapter has a weight of its own.",
      'addWeightedAdapter(["first", "second"], [0.7, 0.3], "both").',
    );
  const other = adapters.find((a) => a.method?.layers?.mixing === undefined);
  if (other !== undefined)
    fault(
      `The ${other.method?.config.peftType} adapter "${other.name}" cannot be mixed.`,
      "mixtures are of LoRA adapters, as in Python.",
      "activate adapters together: setAdapter([...]), or merge them.",
    );
  const whole = adapters.filter((a) => a.replaced.size + a.tokens.size > 0);
  if (whole.length > 1)
    fault(
      `${whole.map((a) => a.name).join(" and ")} have modules, biases or tokens of their own.`,
      "these have no common form.",
      "mix adapters without modulesToSave, bias and trainableTokenIndices, or one with them.",
    );
  if (!/^(ties|dare|magnitude)/.test(type)) return;
  if (density === undefined || !(density > 0 && density <= 1))
    fault(`density is ${density} with "${type}".`, "it is the share of numbers that stay.", "density: 0.5.");
}
