import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { OptionReader } from "./checks.js";
import type { LstmSizes } from "./lstm.js";
import { lstm, lstmSpecs } from "./lstm.js";
import type { AdapterConfig, Json, Method, ParameterSpec, PromptShape } from "./method.js";
import type { PromptOptions } from "./prompt.js";
import {
  known,
  layer,
  layerSpecs,
  PromptConfig,
  promptFields,
  promptShape,
  resolveSizes,
  tableSpec,
} from "./prompt.js";
import { withFields } from "./shared_options.js";

export type Reparameterization = "MLP" | "LSTM";

/** Options of P-tuning. */
export interface PromptEncoderOptions extends PromptOptions {
  /** What makes the rows from a table: three linear layers (default), or an LSTM and two. */
  encoderReparameterizationType?: Reparameterization | undefined;
  /** Width inside the encoder. Default: tokenDim. */
  encoderHiddenSize?: number | undefined;
  /** Layers of the LSTM; an MLP always has its three. Default 2. */
  encoderNumLayers?: number | undefined;
  /** Rate of dropout between the LSTM's layers; an MLP has none, as in Python. Default 0. */
  encoderDropout?: number | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...promptFields("P_TUNING"),
  encoder_reparameterization_type: "MLP",
  encoder_hidden_size: null,
  encoder_num_layers: 2,
  encoder_dropout: 0,
};

/**
 * Config of P-tuning (arXiv 2103.10385). Throws "adapter-config". Reference:
 * peft/tuners/p_tuning/config.py
 */
export class PromptEncoderConfig extends PromptConfig implements AdapterConfig {
  readonly peftType = "P_TUNING";
  readonly encoderReparameterizationType: Reparameterization;
  readonly encoderHiddenSize: number | undefined;
  readonly encoderNumLayers: number;
  readonly encoderDropout: number;

  constructor(options: PromptEncoderOptions = {}) {
    const read = new OptionReader("PromptEncoderConfig", options, fields);
    super(read);
    this.encoderReparameterizationType = read.oneOf("encoderReparameterizationType", ["MLP", "LSTM"], "MLP");
    this.encoderHiddenSize = read.integer("encoderHiddenSize", { min: 1 });
    this.encoderNumLayers = read.integer("encoderNumLayers", { min: 1 }) ?? 2;
    this.encoderDropout = read.rate("encoderDropout");
    read.done();
  }
}

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
  peftType: "P_TUNING",
  name: "p-tuning",
  fields,
  floats: ["encoder_dropout"],
  create: (options) => new PromptEncoderConfig(options as PromptEncoderOptions),
  prompt: {
    place: "input",
    tokens: (c) => c.numVirtualTokens,
    resolve,
    parameters,
    encode,
    shape: promptShape,
    table: () => undefined,
    structure: (c) => {
      if (c.encoderReparameterizationType === "MLP") return "mlp";
      return `lstm ${c.encoderNumLayers} dropout ${c.encoderDropout}`;
    },
  },
};
