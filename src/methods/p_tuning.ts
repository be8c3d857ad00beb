import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { configClass, withFields } from "./config.js";
import type { PromptEncoderOptions, PromptEncoderValues } from "./config_types.js";
import type { LstmSizes } from "./lstm.js";
import { lstm, lstmSpecs } from "./lstm.js";
import type { ConfigClass, Method, MethodTable, ParameterSpec, PromptShape } from "./method.js";
import {
  encoderHiddenSize,
  known,
  layer,
  layerSpecs,
  promptShape,
  promptSizes,
  resolveSizes,
  tableSpec,
} from "./prompt.js";
import { dropout, saving } from "./shared_options.js";
export type Reparameterization = "MLP" | "LSTM";

const options: MethodTable = {
  ...saving,
  ...promptSizes,
  encoderReparameterizationType: {
    kind: "text",
    choices: ["MLP", "LSTM"],
    byDefault: "MLP",
    means: "what makes the rows from a table: three linear layers, or an LSTM and two",
  },
  encoderHiddenSize,
  encoderNumLayers: {
    kind: "whole",
    min: 1,
    byDefault: 2,
    means: "layers of the LSTM; an MLP always has its three",
  },
  encoderDropout: {
    ...dropout,
    means: "share dropped between the LSTM's layers; an MLP has none, as in Python",
  },
};

export type { PromptEncoderOptions };
export type PromptEncoderConfig = PromptEncoderValues;
/**
 * Config of P-tuning (arXiv 2103.10385). Reference: peft/tuners/p_tuning/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, PromptEncoderConfig } from "peft.js";
 *
 * const prompt = new PromptEncoderConfig({ numVirtualTokens: 20, encoderHiddenSize: 128 });
 * const adapted = getPeftModel(base, prompt);
 * ```
 */
export const PromptEncoderConfig: ConfigClass<PromptEncoderValues, PromptEncoderOptions> = configClass(
  "P_TUNING",
  "PromptEncoderConfig",
  {
    options,
  },
);

function resolve(c: PromptEncoderConfig, shape: PromptShape): PromptEncoderConfig {
  const sizes = resolveSizes(c, shape);
  return withFields(c, { ...sizes, encoderHiddenSize: c.encoderHiddenSize ?? sizes.tokenDim });
}

function lstmSizes(c: PromptEncoderConfig): LstmSizes & { readonly name: string } {
  return {
    name: "lstm_head",
    inDim: known(c, "tokenDim"),
    hidden: known(c, "encoderHiddenSize"),
    layers: c.encoderNumLayers,
    dropout: c.encoderDropout,
  };
}

function parameters(c: PromptEncoderConfig): ParameterSpec[] {
  const [rows, dim] = promptShape(c);
  const hidden = known(c, "encoderHiddenSize");
  const head =
    c.encoderReparameterizationType === "LSTM"
      ? [
          ...lstmSpecs("lstm_head", lstmSizes(c)),
          ...layerSpecs("mlp_head.0", 2 * hidden, 2 * hidden),
          ...layerSpecs("mlp_head.2", 2 * hidden, dim),
        ]
      : [
          ...layerSpecs("mlp_head.0", dim, hidden),
          ...layerSpecs("mlp_head.2", hidden, hidden),
          ...layerSpecs("mlp_head.4", hidden, dim),
        ];
  return [tableSpec(rows, dim), ...head];
}

/**
 * Table -> MLP, or LSTM and MLP: [rows, dim]. In an encoder-decoder all tokens * 2 rows go through, though
 * half are used.
 */
function encode(
  g: Graph,
  p: (key: string) => Tensor,
  c: PromptEncoderConfig,
  dropout?: (x: Tensor, p: number) => Tensor,
): Tensor {
  const table = p("embedding.weight");
  const at = (name: string, x: Tensor): Tensor => layer(g, p, `mlp_head.${name}`, x);
  if (c.encoderReparameterizationType === "MLP") return at("4", g.relu(at("2", g.relu(at("0", table)))));
  return at("2", g.relu(at("0", lstm(g, p, table, lstmSizes(c), dropout))));
}

/**
 * Virtual tokens before the embeddings, made by an encoder. arXiv 2103.10385. Reference:
 * peft/tuners/p_tuning/model.py
 */
export const pTuning: Method<PromptEncoderConfig> = {
  name: "p-tuning",
  config: PromptEncoderConfig,
  prompt: {
    place: "input",
    tokens: (c) => c.numVirtualTokens,
    resolve,
    parameters,
    encode,
    shape: promptShape,
    tables: () => undefined,
    structure: (c) => {
      if (c.encoderReparameterizationType === "MLP") return "mlp";
      return `lstm ${c.encoderNumLayers} dropout ${c.encoderDropout}`;
    },
  },
};
