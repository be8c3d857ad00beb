import { PeftError } from "../errors.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { joined, option, words } from "../words.js";
import { configClass, withFields } from "./config.js";
import type { PrefixTuningOptions, PrefixTuningValues } from "./config_types.js";
import type { ConfigClass, Initial, Method, MethodTable, ParameterSpec, PromptShape } from "./method.js";
import {
  encoderHiddenSize,
  known,
  layer,
  layerSpecs,
  type PromptSizes,
  promptSizes,
  resolveSizes,
  tableSpec,
} from "./prompt.js";
import { saving } from "./shared_options.js";

const options: MethodTable = {
  ...saving,
  ...promptSizes,
  initWeights: {
    kind: "text",
    choices: ["zero"],
    otherwise: "at random",
    means: "how keys and values start",
  },
  encoderHiddenSize,
  prefixProjection: {
    kind: "flag",
    byDefault: false,
    means: "make keys and values from a smaller table by two layers",
  },
};

export type { PrefixTuningOptions };
export type PrefixTuningConfig = PrefixTuningValues;
/**
 * Config of prefix tuning (arXiv 2101.00190). Reference: peft/tuners/prefix_tuning/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, PrefixTuningConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new PrefixTuningConfig({ numVirtualTokens: 20 }));
 * ```
 */
export const PrefixTuningConfig: ConfigClass<PrefixTuningValues, PrefixTuningOptions> = configClass(
  "PREFIX_TUNING",
  "PrefixTuningConfig",
  {
    options,
  },
);

/**
 * Python cuts tokenDim into heads: head_dim * kvHeads with grouped queries, else the hidden size, which
 * fails where an
 * encoder-decoder's heads do not add up to it. Throws "adapter-config", "adapter-mismatch".
 */
export function resolvePrefix<C extends PromptSizes>(c: C, shape: PromptShape): C {
  const { cache, hidden } = shape;
  if (cache.valueDim !== undefined)
    throw new PeftError("adapter-config", {
      what: "Prefix tuning does not fit this model.",
      why: "it caches latents of which keys and values are made, and a prefix is keys and values.",
      fix: "use prompt tuning, P-tuning or LoRA.",
    });
  const dim = cache.kvHeads * cache.headDim;
  if (cache.each !== undefined)
    throw new PeftError("adapter-config", {
      what: "Prefix tuning does not fit this model.",
      why: "a prefix is as wide in every layer, and the layers of this model have heads of several sizes.",
      fix: "use LoRA or IA3.",
    });
  if (shape.submodules === 2 && dim !== hidden) {
    throw new PeftError("adapter-config", {
      what: `Prefix tuning does not fit: hidden size ${hidden}, ${cache.kvHeads} heads of ${cache.headDim}.`,
      why: `Python's PEFT divides ${hidden} among the heads, and the model's heads have ${dim} in all.`,
      fix: "use prompt tuning, P-tuning, LoRA or IA3.",
    });
  }
  const faults = [
    ...(c.tokenDim !== undefined && c.tokenDim !== dim
      ? [words`${option("tokenDim")} is ${c.tokenDim}, the model has ${dim}`]
      : []),
    ...(c.numLayers !== undefined && c.numLayers < cache.layers
      ? [words`${option("numLayers")} is ${c.numLayers}, the model has ${cache.layers}`]
      : []),
    ...(c.numAttentionHeads !== undefined && ![cache.kvHeads, shape.heads].includes(c.numAttentionHeads)
      ? [words`${option("numAttentionHeads")} is ${c.numAttentionHeads}, the model has ${cache.kvHeads}`]
      : []),
  ];
  if (faults.length > 0) {
    throw new PeftError("adapter-mismatch", {
      what: words`The prefix does not fit the model: ${joined(faults, "; ")}.`,
      why: "a prefix is keys and values of every layer; this one is for another model.",
      fix: "leave these options out, or load the base that the adapter names.",
    });
  }
  const sizes = {
    ...resolveSizes({ ...c, tokenDim: undefined }, shape),
    tokenDim: dim,
    numAttentionHeads: cache.kvHeads,
  };
  return withFields<PromptSizes>(c, sizes) as C;
}

/** Prefix tuning has an encoder as well. */
function resolve(c: PrefixTuningConfig, shape: PromptShape): PrefixTuningConfig {
  const sized = resolvePrefix(c, shape);
  return withFields(sized, { encoderHiddenSize: c.encoderHiddenSize ?? sized.tokenDim });
}

/** [tokens, layers * 2 * dim] of a prefix. */
export function prefixShape(c: PromptSizes): readonly [rows: number, dim: number] {
  return [c.numVirtualTokens, known(c, "numLayers") * 2 * known(c, "tokenDim")];
}

function parameters(c: PrefixTuningConfig): ParameterSpec[] {
  const [rows, width] = prefixShape(c);
  const zeroed = (spec: ParameterSpec): ParameterSpec => {
    const zero: Initial = { kind: "constant", value: 0 };
    return c.initWeights === "zero" ? { ...spec, initial: zero } : spec;
  };
  if (!c.prefixProjection) return [zeroed(tableSpec(rows, width))];
  const [dim, inner] = [known(c, "tokenDim"), known(c, "encoderHiddenSize")];
  return [
    tableSpec(rows, dim),
    ...layerSpecs("transform.0", dim, inner),
    ...layerSpecs("transform.2", inner, width).map(zeroed),
  ];
}

/** [tokens, layers * 2 * dim] */
function encode(g: Graph, p: (key: string) => Tensor, c: PrefixTuningConfig): Tensor {
  const table = p("embedding.weight");
  if (!c.prefixProjection) return table;
  return layer(g, p, "transform.2", g.tanh(layer(g, p, "transform.0", table)));
}

/**
 * Keys and values of virtual tokens in every layer: a cache that is already filled. arXiv 2101.00190,
 * 2110.07602.
 * Reference: peft/tuners/prefix_tuning/model.py
 */
export const prefixTuning: Method<PrefixTuningConfig> = {
  name: "prefix-tuning",
  config: PrefixTuningConfig,
  learningRate: { value: 1e-2, from: "PEFT's example of it" },
  prompt: {
    place: "cache",
    tokens: (c) => c.numVirtualTokens,
    resolve,
    parameters,
    encode,
    shape: prefixShape,
    tables: (c) => (c.prefixProjection ? undefined : ["embedding.weight"]),
    structure: (c) => (c.prefixProjection ? "projection" : ""),
  },
};
