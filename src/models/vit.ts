import type { Activation } from "../graph/activations.js";
import { activate, activationNames } from "../graph/activations.js";
import type { Module } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Architecture, CheckpointRules, ModelConfig, StackOutput } from "./model.js";
import type { Fields } from "./parts/config.js";
import { NOT_CACHED, readConfig, stackSizes, tokenlessFields } from "./parts/config.js";
import type { PictureForm, PictureLayers } from "./parts/picture_layers.js";
import { pictureLayers } from "./parts/picture_layers.js";
import type { PatchConfig, PictureInputs } from "./parts/pictures.js";
import { patches, pictureInputs, positionsFor, readPatches, tokenFor } from "./parts/pictures.js";
import { firstToken } from "./parts/pooling.js";

export interface VitConfig extends ModelConfig, PatchConfig, PictureLayers {
  readonly qkvBias: boolean;
}

export interface PooledVit extends VitConfig {
  readonly pooled: number;
  readonly poolerActivation: Activation;
}

/** The fields that every relative of ViT has; what a relative has otherwise. */
export function readVit(f: Fields, { inter, eps = 1e-12 }: { inter?: number; eps?: number } = {}): VitConfig {
  return {
    ...tokenlessFields(f),
    ...stackSizes(f, {
      hiddenSize: f.size("hidden_size", 768),
      layers: f.layers("num_hidden_layers", 12),
      heads: f.size("num_attention_heads", 12),
    }),
    ...NOT_CACHED,
    ...readPatches(f, { image: 224, patch: 16 }),
    inter: inter ?? f.size("intermediate_size", 3072),
    activation: f.choice("hidden_act", activationNames, "gelu"),
    eps: f.number("layer_norm_eps", eps),
    dropout: f.rate("hidden_dropout_prob", 0),
    attentionDropout: f.rate("attention_probs_dropout_prob", 0),
    qkvBias: f.flag("qkv_bias", true),
  };
}

export function readPooledVit(f: Fields): PooledVit {
  const c = readVit(f);
  return {
    ...c,
    pooled: f.size("pooler_output_size", c.hiddenSize),
    poolerActivation: f.choice("pooler_act", activationNames, "tanh"),
  };
}

export const vitForm = ({ qkvBias }: VitConfig): PictureForm => ({
  layers: "layers",
  attention: "attention",
  norms: ["layernorm_before", "layernorm_after"],
  output: "o_proj",
  biased: qkvBias ? "qkv" : "",
});

/** Special tokens by their names, then patches, all with positions: [batch, special + patches, hidden] */
export function embedPatches(
  w: Module,
  c: VitConfig,
  { pixels }: PictureInputs,
  special: readonly string[],
): Tensor {
  const { x, grid } = patches(w.at("patch_embeddings"), "projection", c, pixels);
  const tokens = special.map((name) => tokenFor(w, w.get(name, [1, 1, c.hiddenSize]), x));
  const [rows, columns] = c.grid;
  const table = w.get("position_embeddings", [1, special.length + rows * columns, c.hiddenSize]);
  const sum = w.g.add(w.g.concat([...tokens, x], 1), positionsFor(w, table, c.grid, grid));
  return w.dropout("dropout", sum, c.dropout);
}

function stack(w: Module, c: VitConfig, x: PictureInputs): StackOutput {
  const embedded = embedPatches(w.at("embeddings"), c, x, ["cls_token"]);
  const hidden = pictureLayers(w, c, embedded, vitForm(c));
  return { hidden: w.layerNorm("layernorm", hidden, c.eps), present: [] };
}

/** Names of files and of transformers 4 for modules that ViT and its relatives have. */
export const VIT_MODULES: NonNullable<CheckpointRules["modules"]> = [
  ["encoder.layer.*", "layers.*"],
  ["attention.attention.query", "attention.q_proj"],
  ["attention.attention.key", "attention.k_proj"],
  ["attention.attention.value", "attention.v_proj"],
  ["attention.output.dense", "attention.o_proj"],
  ["intermediate.dense", "mlp.fc1"],
  ["output.dense", "mlp.fc2"],
];

export const VIT_ROLES: Architecture["roles"] = { targets: ["q_proj", "v_proj"] };

/** Pictures as patches. arXiv 2010.11929. Reference: transformers/models/vit */
export const vit: Architecture<PooledVit, PictureInputs> = {
  modelTypes: ["vit"],
  prefix: "vit",
  roles: VIT_ROLES,
  inputs: pictureInputs,
  parse: (json) => readConfig(json, readPooledVit),
  checkpoint: { modules: VIT_MODULES },
  stack,
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier", firstToken(w.g, hidden), c.numLabels),
    hidden: (w, c, hidden) => {
      poolFirst(w.at("pooler"), c, hidden);
      return hidden;
    },
    named: { poolerOutput: (w, c, hidden) => poolFirst(w.at("pooler"), c, hidden) },
  },
  newModules: ["pooler", "classifier"],
};

/** act(dense(first token)); `w` is the pooler. */
export function poolFirst(w: Module, c: PooledVit, hidden: Tensor): Tensor {
  const dense = w.linear("dense", firstToken(w.g, hidden), c.pooled);
  return w.output(activate(w.g, c.poolerActivation, dense));
}
