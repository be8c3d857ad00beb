import { PeftError } from "../errors.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import type { MethodRow, MethodTable, ParameterSpec, PromptShape } from "./method.js";

/** Options of every method that adds virtual tokens. All but the first are read off the model. */
export const promptSizes: MethodTable = {
  numVirtualTokens: {
    kind: "whole",
    min: 1,
    byDefault: 20,
    inFile: null,
    also: ["virtualTokens", "promptLength"],
    means: "number of virtual tokens",
  },
  tokenDim: {
    kind: "whole",
    min: 1,
    otherwise: "the model's",
    means: "width of a virtual token: the model's hidden size (prefixes: of its keys)",
  },
  numTransformerSubmodules: {
    kind: "whole",
    min: 1,
    max: 2,
    otherwise: "the model's",
    means: "2 in encoder-decoders, else 1: prompts keep tokens * 2 rows there",
  },
  numAttentionHeads: {
    kind: "whole",
    min: 1,
    otherwise: "the model's",
    means: "number of attention heads (prefixes: of keys)",
  },
  numLayers: { kind: "whole", min: 1, otherwise: "the model's", means: "number of layers" },
};

/** Of prompts that go through an encoder. */
export const encoderHiddenSize: MethodRow = {
  kind: "whole",
  min: 1,
  otherwise: "tokenDim",
  means: "width inside the encoder",
};

/** What prompt methods record of the model; undefined until `resolve`. */
export interface PromptSizes {
  readonly numVirtualTokens: number;
  readonly tokenDim: number | undefined;
  readonly numTransformerSubmodules: number | undefined;
  readonly numAttentionHeads: number | undefined;
  readonly numLayers: number | undefined;
}

/**
 * Fills in the model's sizes. Throws "adapter-mismatch" where the config was made for another width.
 * Reference: peft/utils/other.py _prepare_prompt_learning_config
 */
export function resolveSizes(
  c: PromptSizes,
  shape: PromptShape,
): Required<{ readonly [K in keyof PromptSizes]: number }> {
  if (c.tokenDim !== undefined && c.tokenDim !== shape.hidden) {
    throw new PeftError("adapter-mismatch", {
      what: words`${option("tokenDim")} is ${c.tokenDim} and the model's hidden size is ${shape.hidden}.`,
      why: "virtual tokens stand among the model's own embeddings; this adapter is for another model.",
      fix: words`leave ${option("tokenDim")} out, or load the base that the adapter names.`,
    });
  }
  return {
    numVirtualTokens: c.numVirtualTokens,
    tokenDim: shape.hidden,
    numTransformerSubmodules: c.numTransformerSubmodules ?? shape.submodules,
    numAttentionHeads: c.numAttentionHeads ?? shape.heads,
    numLayers: c.numLayers ?? shape.layers,
  };
}

/** A size that `resolve` fills in: Python's name of it is what a config without a model lacks. */
export function known(c: object, key: string): number {
  const x = new Map<string, unknown>(Object.entries(c)).get(key);
  if (typeof x === "number") return x;
  throw new PeftError("adapter-config", {
    what: words`${option(key)} is not known.`,
    why: "the config has not met its model yet.",
    fix: words`give ${option(key)}, or attach the config with getPeftModel, which reads it off the model.`,
  });
}

/** [rows, dim] of prompts before the embeddings. */
export function promptShape(c: PromptSizes): readonly [rows: number, dim: number] {
  return [c.numVirtualTokens * known(c, "numTransformerSubmodules"), known(c, "tokenDim")];
}

/** A table as torch makes it: N(0, 1). */
export function tableSpec(rows: number, dim: number): ParameterSpec {
  return { key: "embedding.weight", shape: [rows, dim], initial: { kind: "normal", std: 1 } };
}

/** A linear layer as torch makes it: weight and bias U(-1/sqrt(in), 1/sqrt(in)). */
export function layerSpecs(name: string, inDim: number, outDim: number): ParameterSpec[] {
  const initial = { kind: "uniform", bound: 1 / Math.sqrt(inDim) } as const;
  return [
    { key: `${name}.weight`, shape: [outDim, inDim], initial },
    { key: `${name}.bias`, shape: [outDim], initial },
  ];
}

/** x [..., in] -> x W^T + b [..., out] */
export function layer(g: Graph, p: (key: string) => Tensor, name: string, x: Tensor): Tensor {
  return g.add(g.linear(x, p(`${name}.weight`)), p(`${name}.bias`));
}
