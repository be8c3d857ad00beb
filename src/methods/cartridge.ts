import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { CartridgeOptions, CartridgeValues } from "./config_types.js";
import type { ConfigClass, Initial, Method, MethodTable, ParameterSpec, SayFault } from "./method.js";
import { prefixShape, resolvePrefix } from "./prefix_tuning.js";
import { promptSizes } from "./prompt.js";
import { saving } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...promptSizes,
  numFrozenTokens: {
    kind: "whole",
    min: 0,
    byDefault: 1,
    means: "how many tokens at the start never train, as those that attention rests on",
  },
};

export type { CartridgeOptions };
export type CartridgeConfig = CartridgeValues;
/**
 * Config of Cartridges (arXiv 2506.06266). Reference: peft/tuners/cartridge/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, CartridgeConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new CartridgeConfig({ numVirtualTokens: 64 }));
 * ```
 */
export const CartridgeConfig: ConfigClass<CartridgeValues, CartridgeOptions> = configClass(
  "CARTRIDGE",
  "CartridgeConfig",
  { options, check },
);

function check(c: CartridgeConfig, fault: SayFault): void {
  if (c.numFrozenTokens < c.numVirtualTokens) return;
  fault(
    words`${option("numFrozenTokens")} is ${c.numFrozenTokens} and ${option("numVirtualTokens")} is ${c.numVirtualTokens}.`,
    "what is frozen does not train, and nothing is left.",
    words`${option("numVirtualTokens", c.numFrozenTokens + 1)}, or more.`,
  );
}

const [FROZEN, TRAINED] = ["frozen_embedding", "trainable_embedding"];

/** Those that prompt_embeddings is, one below the other. */
function tables({ numFrozenTokens }: CartridgeConfig): readonly string[] {
  return numFrozenTokens === 0 ? [TRAINED] : [FROZEN, TRAINED];
}

function parameters(c: CartridgeConfig): ParameterSpec[] {
  const [rows, width] = prefixShape(c);
  const initial: Initial = { kind: "normal", std: 1 };
  const count = { [FROZEN]: c.numFrozenTokens, [TRAINED]: rows - c.numFrozenTokens };
  return tables(c).map((key) => ({
    ...{ key, shape: [count[key] ?? 0, width], initial },
    ...(key === FROZEN && { frozen: "counted" as const }),
  }));
}

/**
 * A cache of keys and values of virtual tokens in every layer, trained as it is: made to be filled from a
 * text. arXiv 2506.06266. Reference: peft/tuners/cartridge/model.py
 */
export const cartridge: Method<CartridgeConfig> = {
  name: "cartridge",
  config: CartridgeConfig,
  prompt: {
    place: "cache",
    tokens: (c) => c.numVirtualTokens,
    resolve: resolvePrefix,
    parameters,
    encode: (g, p, c) => g.concat(tables(c).map(p), 0),
    shape: prefixShape,
    tables,
    structure: (c) => tables(c).join(" "),
  },
};
