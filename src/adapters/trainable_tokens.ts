import { OptionReader } from "./checks.js";
import type { AdapterConfig, Json, Method } from "./method.js";
import type { CommonOptions } from "./shared_options.js";
import { CommonConfig, commonFields } from "./shared_options.js";

/** Options of trainable tokens. */
export interface TrainableTokensOptions extends Omit<CommonOptions, "modulesToSave"> {
  /** Ids of the tokens whose rows train. */
  tokenIndices?: readonly number[] | undefined;
  /** The embeddings, by path or its end. Default: the input embedding. */
  targetModules?: string | readonly string[] | undefined;
  /** Start from the base's rows. Python's false, random rows, is not built. */
  initWeights?: boolean | undefined;
}

const { modules_to_save: _, ...common } = commonFields("TRAINABLE_TOKENS");
const fields: Readonly<Record<string, Json>> = {
  ...common,
  token_indices: [],
  target_modules: null,
  init_weights: true,
};

/** Config of trainable tokens. Throws "adapter-config". Reference: peft/tuners/trainable_tokens/config.py */
export class TrainableTokensConfig extends CommonConfig implements AdapterConfig {
  readonly peftType = "TRAINABLE_TOKENS";
  readonly tokenIndices: readonly number[];
  readonly targetModules: string | readonly string[] | undefined;
  readonly initWeights: boolean;

  constructor(options: TrainableTokensOptions = {}) {
    const read = new OptionReader("TrainableTokensConfig", options, fields);
    super(read);
    this.tokenIndices = read.ids("tokenIndices") ?? [];
    this.targetModules = read.textOrNames("targetModules");
    this.initWeights = read.flag("initWeights", true);
    if (!this.initWeights)
      read.fault("initWeights is false.", "Python then starts from random rows, which is not built here.", {
        fix: "initWeights: true.",
      });
    read.done();
  }
}

function tokens(c: TrainableTokensConfig): ReadonlyMap<string | undefined, readonly number[]> {
  const targets = typeof c.targetModules === "string" ? [c.targetModules] : (c.targetModules ?? [undefined]);
  return new Map(targets.map((name) => [name, c.tokenIndices] as const));
}

/** Rows of an embedding, and of a head that is tied to it. Reference: peft/tuners/trainable_tokens/layer.py */
export const trainableTokens: Method<TrainableTokensConfig> = {
  peftType: "TRAINABLE_TOKENS",
  name: "trainable-tokens",
  fields,
  floats: [],
  create: (options) => new TrainableTokensConfig(options as TrainableTokensOptions),
  layers: {
    select: (c) => ({ targetModules: c.targetModules }),
    defaults: () => undefined,
    tokens,
    tokensKey: "trainable_tokens_delta",
  },
};
