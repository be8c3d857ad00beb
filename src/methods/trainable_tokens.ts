import { option, words } from "../words.js";
import { configClass } from "./config.js";
import type { TrainableTokensOptions, TrainableTokensValues } from "./config_types.js";
import type { ConfigClass, Method, MethodTable } from "./method.js";
import { common } from "./shared_options.js";

const options: MethodTable = {
  ...common,
  tokenIndices: {
    kind: "ids",
    byDefault: [],
    also: ["trainableTokenIndices"],
    means: "ids of the tokens whose rows train",
  },
  targetModules: {
    kind: "nameOrNames",
    otherwise: "the input embedding",
    means: "the embeddings, by path or its end",
  },
  initWeights: {
    kind: "flag",
    byDefault: true,
    means: "start from the base's rows; Python's off, random rows, is not built",
  },
};

export type { TrainableTokensOptions };
export type TrainableTokensConfig = TrainableTokensValues;
/**
 * Config of trainable tokens. Reference: peft/tuners/trainable_tokens/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, TrainableTokensConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new TrainableTokensConfig({ tokenIndices: [32000, 32001] }));
 * ```
 */
export const TrainableTokensConfig: ConfigClass<TrainableTokensValues, TrainableTokensOptions> = configClass(
  "TRAINABLE_TOKENS",
  "TrainableTokensConfig",
  {
    options,
    check: (c, fault) => {
      if (!c.initWeights)
        fault(
          words`${option("initWeights")} is false.`,
          "Python then starts from random rows, which is not built here.",
          words`${option("initWeights", true)}.`,
        );
    },
  },
);

function tokens(c: TrainableTokensConfig): ReadonlyMap<string | undefined, readonly number[]> {
  const targets = typeof c.targetModules === "string" ? [c.targetModules] : (c.targetModules ?? [undefined]);
  return new Map(targets.map((name) => [name, c.tokenIndices] as const));
}

/**
 * Rows of an embedding, and of a head that is tied to it. Reference: peft/tuners/trainable_tokens/layer.py
 */
export const trainableTokens: Method<TrainableTokensConfig> = {
  name: "trainable-tokens",
  config: TrainableTokensConfig,
  layers: {
    select: (c) => ({ targetModules: c.targetModules }),
    defaults: () => undefined,
    tokens,
    tokensSaved: { key: "trainable_tokens_delta", copies: true },
  },
};
