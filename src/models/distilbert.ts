import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import type { KeyValue, Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, ModelConfig, StackOutput, TextInputs } from "./model.js";
import { attend, paddingBias, splitHeads, withPast } from "./parts/attention.js";
import type { Fields } from "./parts/config.js";
import { commonFields, readConfig, stackSizes } from "./parts/config.js";
import { meet, repeat } from "./parts/layers.js";
import { firstToken } from "./parts/pooling.js";

export interface DistilBertConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
  readonly inter: number;
  readonly activation: Activation;
  readonly maxPositions: number;
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly classifierDropout: number;
  readonly answerDropout: number;
}

const EPS = 1e-12;

function read(f: Fields): DistilBertConfig {
  const sizes = stackSizes(f, {
    hiddenSize: f.size("dim"),
    layers: f.layers("n_layers"),
    heads: f.size("n_heads"),
  });
  return {
    ...commonFields(f),
    ...sizes,
    tied: false,
    inter: f.size("hidden_dim", 3072),
    activation: f.choice("activation", activationNames, "gelu"),
    maxPositions: f.count("max_position_embeddings", 512),
    dropout: f.rate("dropout", 0.1),
    attentionDropout: f.rate("attention_dropout", 0.1),
    classifierDropout: f.rate("seq_classif_dropout", 0.2),
    answerDropout: f.rate("qa_dropout", 0.1),
  };
}

/** ids -> [batch, virtual + seq, hidden] */
function stack(w: Module, c: DistilBertConfig, x: TextInputs): StackOutput {
  const shared = { bias: paddingBias(w.g, x.mask) };
  const at = w.at("transformer.layer");
  return repeat(at, c.layers, embed(w.at("embeddings"), c, x), x.past, shared, (w, x, { bias }, past) => {
    const attended = attention(w.at("attention"), c, x, bias, past);
    const h = meet(w, "attention", attended.x, x, {
      sum: (a) => w.g.add(a, x),
      norm: (x) => w.layerNorm("sa_layer_norm", x, EPS),
    });
    const y = feedForward(w.at("ffn"), c, h);
    const out = meet(w, "feedForward", y, h, {
      sum: (y) => w.g.add(y, h),
      norm: (x) => w.layerNorm("output_layer_norm", x, EPS),
    });
    return { x: out, present: attended.present };
  });
}

function embed(w: Module, c: DistilBertConfig, x: TextInputs): Tensor {
  const words = w.trace.prepend(w.embedding("word_embeddings", x.ids, c.vocabSize, c.hiddenSize));
  const limit = c.maxPositions;
  const positions = w.embedding("position_embeddings", x.positions, limit, c.hiddenSize, limit);
  const sum = w.pack(w.g.add(words, positions));
  return w.dropout("dropout", w.layerNorm("LayerNorm", sum, EPS), c.dropout);
}

function attention(
  w: Module,
  c: DistilBertConfig,
  x: Tensor,
  bias: Tensor,
  past: KeyValue | undefined,
): { x: Tensor; present: KeyValue } {
  const project = (name: string): Tensor =>
    splitHeads(w, w.linear(name, x, c.hiddenSize), c.heads, c.headDim);
  const q = project("q_lin");
  const present = withPast(w.g, { k: project("k_lin"), v: project("v_lin") }, past);
  const mixed = attend(w, q, present, { scale: c.headDim ** -0.5, bias, dropout: c.attentionDropout });
  return { x: w.output(w.linear("out_lin", mixed, c.hiddenSize)), present };
}

function feedForward(w: Module, c: DistilBertConfig, x: Tensor): Tensor {
  const inner = activate(w.g, c.activation, w.linear("lin1", x, c.inter));
  return w.output(w.dropout("dropout", w.linear("lin2", inner, c.hiddenSize), c.dropout));
}

/** classifier(dropout(relu(pre_classifier(first position)))) */
function classify(w: Module, c: DistilBertConfig, hidden: Tensor): Tensor {
  const pooled = w.g.relu(w.linear("pre_classifier", firstToken(w.g, hidden), c.hiddenSize));
  return w.linear("classifier", w.dropout("dropout", pooled, c.classifierDropout), c.numLabels);
}

/** PEFT names no default targets for it. Reference: transformers/models/distilbert */
export const distilbert: Architecture<DistilBertConfig> = {
  modelTypes: ["distilbert"],
  prefix: "distilbert",
  roles: { targets: undefined },
  parse: (json) => readConfig(json, read),
  stack,
  heads: {
    rowLabels: classify,
    tokenLabels: (w, c, x) => w.linear("classifier", w.dropout("dropout", x, c.dropout), c.numLabels),
    spanEnds: (w, c, x) => w.linear("qa_outputs", w.dropout("dropout", x, c.answerDropout), 2),
    hidden: (_w, _c, hidden) => hidden,
  },
  newModules: ["pre_classifier", "classifier", "qa_outputs"],
};
