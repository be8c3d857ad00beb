// Over 400 lines: one battery that runs on every architecture.

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PeftError } from "../errors.js";
import type { Dim } from "../graph/dims.js";
import { Graph } from "../graph/graph.js";
import type { InputSet, Lengths } from "../graph/inputs.js";
import type { CacheShape, FrozenSite, KeyValue, Layout, SublayerSite, Trace } from "../graph/module.js";
import { Module } from "../graph/module.js";
import { opRows } from "../graph/op_rows.js";
import type { Ops, Tensor } from "../graph/ops.js";
import { moduleNamesOf } from "../weights/module_names.js";
import { bert } from "./bert.js";
import { distanceRows } from "./deberta_v2.js";
import { falcon } from "./falcon.js";
import { gptNeox } from "./gpt_neox.js";
import { gpt2 } from "./gpt2.js";
import { architectures } from "./index.js";
import { llama } from "./llama.js";
import { mistral } from "./mistral.js";
import type {
  Architecture,
  CheckpointRules,
  Heads,
  ModelConfig,
  PooledHead,
  TaskType,
  TextInputs,
} from "./model.js";
import { mt5 } from "./mt5.js";
import { opt } from "./opt.js";
import { slopes } from "./parts/alibi.js";
import { bucketTable } from "./parts/relative.js";
import { frequencies } from "./parts/rotary.js";
import { qwen2 } from "./qwen2.js";
import { roberta } from "./roberta.js";
import { t5 } from "./t5.js";
import { textInputs } from "./text_inputs.js";

const golden = JSON.parse(read("../../tests/golden/positions.json"));
/** Models that the kit does not carry: their config.json, and the shapes of their checkpoint. */
const others: Record<string, { config: Record<string, unknown>; weights: Record<string, number[]> }> =
  JSON.parse(read("../../tests/golden/architectures.json"));

function read(path: string): string {
  return readFileSync(new URL(path, import.meta.url), "utf8");
}
function kitConfig(model: string): Record<string, unknown> {
  return others[model]?.config ?? JSON.parse(read(`../../tests/kit/models/${model}/config.json`));
}
/** Current names and shapes in the checkpoint's header. */
function kitWeights(model: string, rules: CheckpointRules = {}): Record<string, number[]> {
  const { rename = [], split = [], experts = {} } = rules;
  const stored = Object.entries(others[model]?.weights ?? kitHeader(model));
  const apart = stored.flatMap(([name, shape]) => {
    const [from, into] = split.find(([from]) => from.test(name)) ?? [];
    if (from === undefined || into === undefined) return [[name, shape] as const];
    const own = [shape[0]! / into.length, ...shape.slice(1)];
    return into.map((to) => [name.replace(from, to), own] as const);
  });
  const { today } = moduleNamesOf(rules);
  const current = (name: string): string =>
    today(rename.reduce((name, [from, to]) => name.replace(from, to), name));
  return stacked(Object.fromEntries(apart.map(([name, shape]) => [current(name), shape])), experts);
}
function kitHeader(model: string): Record<string, number[]> {
  const bytes = readFileSync(new URL(`../../tests/kit/models/${model}/model.safetensors`, import.meta.url));
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, end)) as Record<string, { shape: number[] }>;
  delete header["__metadata__"];
  return Object.fromEntries(Object.entries(header).map(([name, { shape }]) => [name, shape]));
}

/** Experts' own tensors as the stacks that they are read into. */
function stacked(
  weights: Readonly<Record<string, number[]>>,
  rules: NonNullable<CheckpointRules["experts"]>,
): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  for (const [name, shape] of Object.entries(weights)) {
    const [, place, ending] = /^(.*\.experts)\.\d+\.(.+)$/.exec(name) ?? [];
    const rule = Object.entries(rules).find(([, endings]) => endings.includes(ending ?? ""));
    if (rule === undefined) found[name] = shape;
    else {
      const [parameter, endings] = rule;
      const before = found[`${place}.${parameter}`] ?? [0, shape[0]! * endings.length, shape[1]!];
      found[`${place}.${parameter}`] = [before[0]! + 1 / endings.length, before[1]!, before[2]!];
    }
  }
  return found;
}

const PLAIN: Layout = { pack: (x) => x, unpack: (x) => x, dropout: (x) => x, random: () => undefined };

/** The plain model: each layer as it is. `virtual` tokens of zeros stand in for a prompt method's. */
function plainTrace(
  g: Graph,
  virtual: number,
  sublayers: SublayerSite[],
  frozen: Map<string, FrozenSite>,
): Trace {
  return {
    g,
    parameter: (name, shape) => g.weight(name, shape),
    linear: (site, x) => {
      const shape = site.transposed ? [site.inDim, site.outDim] : [site.outDim, site.inDim];
      const w = g.weight(site.weight, shape);
      const y = g.linear(x, w, site.transposed);
      return site.bias === undefined ? y : g.add(y, g.weight(site.bias, [site.outDim]));
    },
    embedding: (site, ids) => g.gather(g.weight(site.weight, [site.vocab, site.dim]), ids),
    conv: (site, x) => {
      const { inChannels, outChannels, groups, kernel } = site;
      const y = g.conv(x, g.weight(site.weight, [outChannels, inChannels / groups, ...kernel]), site);
      const bias = [outChannels, ...kernel.map(() => 1)];
      return site.bias === undefined ? y : g.add(y, g.reshape(g.weight(site.bias, [outChannels]), bias));
    },
    frozen: (site) => {
      frozen.set(site.name, site);
      return g.weight(site.name, site.shape);
    },
    experts: (site, x, slots) => {
      const { experts, inDim, outDim } = site;
      const shape = [experts, ...(site.transposed ? [inDim, outDim] : [outDim, inDim])];
      return g.expertLinear(x, slots.starts, g.weight(site.weight, shape), site.transposed);
    },
    output: (_, x) => x,
    embedded: (x) => x,
    sublayer: (site, h, { sum, norm = (x) => x }) => {
      sublayers.push(site);
      return norm(sum(h));
    },
    attention: () => undefined,
    prepend: (x) => (virtual === 0 ? x : g.concat([g.zeros([x.shape[0]!, virtual, x.shape[2]!]), x], 1)),
    padded: PLAIN,
    same: PLAIN,
    inChunks: () => false,
    dropout: (_, x) => x,
  };
}

interface Options {
  past?: boolean;
  virtual?: number;
  cross?: boolean;
}

function kvInputs(g: Graph, name: string, cache: CacheShape, length: Dim): KeyValue[] {
  return Array.from({ length: cache.layers }, (_, i) => {
    const { kvHeads, headDim, valueDim = headDim } = cache.each?.[i] ?? cache;
    const cached = (key: string, dim: number): Tensor => g.input(key, ["batch", kvHeads, length, dim]);
    return { k: cached(`${name}.${i}.k`, headDim), v: cached(`${name}.${i}.v`, valueDim) };
  });
}

function inputs(
  g: Graph,
  name: string,
  seq: Dim,
  { cache, lengths, unread = [] }: ModelConfig,
  options: Options,
  declared: InputSet = textInputs,
): TextInputs {
  const at: Lengths = {
    batch: "batch",
    length: seq,
    virtual: options.virtual ?? 0,
    past: options.past ? "past" : 0,
  };
  const read = Object.entries(declared).filter(([key]) => !unread.includes(key));
  const own = read.map(([key, { shape, dtype }]) => {
    const known = shape(at).map((d) => (typeof d === "string" ? (lengths?.[d] ?? d) : d));
    return [key, g.input(name + key, known, dtype)];
  });
  const past = options.past ? kvInputs(g, "past", cache, "past") : undefined;
  return { ...Object.fromEntries(own), past };
}

interface Traced {
  g: Graph;
  logits: Tensor;
  present: readonly KeyValue[];
  sublayers: readonly SublayerSite[];
  frozen: ReadonlyMap<string, FrozenSite>;
  weights: Record<string, readonly number[]>;
}

function trace<C extends ModelConfig>(
  a: Architecture<C>,
  json: Record<string, unknown>,
  task: TaskType,
  options: Options = {},
): Traced {
  const c = a.parse(json, task);
  const g = new Graph();
  const sublayers: SublayerSite[] = [];
  const frozen = new Map<string, FrozenSite>();
  const w = new Module(plainTrace(g, options.virtual ?? 0, sublayers, frozen));
  const prefix = typeof a.prefix === "function" ? a.prefix(task) : a.prefix;
  const bare = task === "FEATURE_EXTRACTION" ? w : w.at(prefix);
  const past = (options.past ?? false) && !c.encoderDecoder && c.cache.layers > 0;
  const x = inputs(g, "", "seq", c, { ...options, past }, a.inputs);
  const mask = "mask" in x ? x.mask : g.input("mask", ["batch", "seq"], "i64");
  let out = c.encoderDecoder ? undefined : a.stack?.(bare, c, x);
  if (c.encoderDecoder && a.encoder !== undefined && a.decoder !== undefined) {
    const encoded = options.cross ? undefined : a.encoder(bare, c, x);
    const given = kvInputs(g, "cross", c.cache, mask.shape[1]!);
    out = a.decoder(
      bare,
      c,
      {
        ...inputs(g, "decoder.", "target", c, options),
        encoderMask: mask,
        cross: (i, project) => (options.cross ? given[i]! : project(PLAIN)),
      },
      encoded,
    );
  }
  const { hidden, present } = out!;
  const head: PooledHead<C> = a.heads[headOf[task]!]!;
  const logits = head(w, c, hidden, mask);
  const weights = g.nodes.filter((n) => n.op === "weight").map((n) => n.attrs as Ops["weight"]);
  return {
    g,
    logits,
    present,
    sublayers,
    frozen,
    weights: Object.fromEntries(weights.filter((x) => !frozen.has(x.name)).map((x) => [x.name, x.shape])),
  };
}

const kit = new URL("../../tests/kit/models/", import.meta.url);
const headOf: Readonly<Record<string, Exclude<keyof Heads<never>, "named">>> = {
  CAUSAL_LM: "vocabulary",
  SEQ_2_SEQ_LM: "vocabulary",
  SEQ_CLS: "rowLabels",
  TOKEN_CLS: "tokenLabels",
  QUESTION_ANS: "spanEnds",
  FEATURE_EXTRACTION: "hidden",
  SPEECH_SEQ_2_SEQ: "vocabulary",
  AUDIO_CLS: "rowLabels",
  AUDIO_FRAME_CLS: "tokenLabels",
  CTC: "vocabulary",
  IMAGE_CLS: "rowLabels",
};

/** What the class of a checkpoint (`architectures`) ends in -> its task and the shape of its logits. */
const heads: readonly [RegExp, TaskType, (c: ModelConfig) => Dim[]][] = [
  [/CausalLM|LMHeadModel/, "CAUSAL_LM", (c) => ["batch", "seq", c.vocabSize]],
  [/WhisperForCond/, "SPEECH_SEQ_2_SEQ", (c) => ["batch", "target", c.vocabSize]],
  [/ForCTC/, "CTC", (c) => ["batch", FRAMES, c.vocabSize]],
  [/AudioFrameClassification/, "AUDIO_FRAME_CLS", (c) => ["batch", FRAMES, c.numLabels]],
  [/(Wav2Vec2|Hubert|WavLM)ForSequence/, "AUDIO_CLS", (c) => ["batch", c.numLabels]],
  [/AudioClassification/, "AUDIO_CLS", (c) => ["batch", c.numLabels]],
  [/ConditionalGeneration|MTModel/, "SEQ_2_SEQ_LM", (c) => ["batch", "target", c.vocabSize]],
  [/ImageClassification/, "IMAGE_CLS", (c) => ["batch", c.numLabels]],
  [/SequenceClassification/, "SEQ_CLS", (c) => ["batch", c.numLabels]],
  [/TokenClassification/, "TOKEN_CLS", (c) => ["batch", "seq", c.numLabels]],
  [/QuestionAnswering/, "QUESTION_ANS", () => ["batch", "seq", 2]],
  [/VisionModel/, "FEATURE_EXTRACTION", (c) => ["batch", "(height)/4*(width)/4+1", c.hiddenSize]],
  [/Model/, "FEATURE_EXTRACTION", (c) => ["batch", "seq", c.hiddenSize]],
];

/** What the kit's convolutions (10, 3, 2 over 5, 2, 2 samples) make of samples. */
const FRAMES = "(samples+10)/20-1";

type Case = [model: string, architecture: Architecture<never>, task: TaskType, logits: Dim[]];
/** Every model of the kit, and every other one, that an architecture of ours reads. */
const cases: Case[] = [...readdirSync(kit), ...Object.keys(others)].flatMap((model): Case[] => {
  const json = kitConfig(model);
  const a = architectures.find(({ modelTypes }) => modelTypes.includes(json["model_type"] as string));
  if (a === undefined) return [];
  const [, task, shape] = heads.find(([name]) => name.test(`${json["architectures"]}`))!;
  return [[model, a as never, task, shape(a.parse(json, task))]];
});

it("has a model in the kit for each architecture", () => {
  const types = new Set(cases.map(([model]) => kitConfig(model)["model_type"]));
  expect(architectures.filter(({ modelTypes }) => !modelTypes.some((t) => types.has(t)))).toEqual([]);
  expect(cases.length).toBeGreaterThanOrEqual(47);
});

describe.each(cases)("%s", (model, a, task, shape) => {
  it("reads exactly the weights of its checkpoint, and yields logits", () => {
    const json = kitConfig(model);
    const expected = kitWeights(model, a.checkpoint);
    // Where the checkpoint holds a head of its own, the loader says so, whatever the config says.
    const tied = a.tie !== undefined && !(a.tie[0] in expected);
    const { weights, frozen, logits } = trace(a, { ...json, tie_word_embeddings: tied }, task);
    if (!frozen.has("final_logits_bias")) delete expected["final_logits_bias"]; // zero, and no parameter
    for (const { name, shape, initial } of frozen.values()) {
      expect(initial().length).toBe(shape.reduce((a, b) => a * b, 1));
      if (expected[name] !== undefined) expect(shape).toEqual(expected[name]);
      delete expected[name];
    }
    expect(weights).toEqual(expected);
    expect(logits.shape).toEqual(shape);
  });

  const seesOrHears = a.inputs !== undefined;
  it("names where the results of each layer's sublayers meet their residual", () => {
    const { sublayers, g } = trace(a, kitConfig(model), task);
    if (seesOrHears && sublayers.length === 0) return; // it has convolutions in their place
    const layers = g.blocks.map((_, i) => sublayers.filter(({ layer }) => layer === i));
    const c: ModelConfig = a.parse(kitConfig(model), task);
    const isDecoder = (i: number): boolean => /SEQ_2_SEQ/.test(task) && i >= c.layers;
    for (const [i, places] of layers.entries())
      expect(places.map(({ does }) => does)).toEqual([
        "attention",
        ...(isDecoder(i) ? ["crossAttention"] : []),
        "feedForward",
      ]);
    const blocks = new Set(g.blocks.map(({ name }) => name)); // some layers may share their weights
    expect(new Set(sublayers.map(({ path }) => path)).size).toBe(
      sublayers.length * (blocks.size / g.blocks.length),
    );
    // a model in stages has widths of its own in each
    expect(seesOrHears || sublayers.every(({ hidden }) => hidden === c.hiddenSize)).toBe(true);
  });

  it.skipIf(seesOrHears)("takes past keys and virtual tokens, and gives back present keys", () => {
    const { logits, present, g } = trace(a, kitConfig(model), task, { past: true, virtual: 5 });
    const grown = shape.map((d) => (d === "seq" || d === "target" ? `${d}+5` : d));
    expect(logits.shape).toEqual(grown);
    const decoding = /SEQ_2_SEQ/.test(task);
    const c: ModelConfig = a.parse(kitConfig(model), task);
    expect(present.length).toBe(c.cache.layers);
    for (const { k, v } of present) {
      expect(k.shape[2]).toBe(decoding ? "past+target+5" : "past+seq+5");
      expect(v.shape.slice(0, -1)).toEqual(k.shape.slice(0, -1));
    }
    const stack = Math.max(c.layers, c.cache.layers);
    expect(g.blocks.length).toBe(decoding ? c.layers + c.cache.layers : stack);
  });

  it("keeps blocks apart: each reads only its inputs, what is shared, weights and what depends on nothing", () => {
    const { g } = trace(a, kitConfig(model), task, { past: true });
    for (const { range, inputs, shared } of g.blocks) {
      const given = new Set([...Object.values(inputs), ...Object.values(shared)].map((x) => x.id));
      const outside = g.nodes
        .slice(...range)
        .flatMap((n) => n.inputs)
        .filter((x) => x.id < range[0] && !given.has(x.id) && !(opRows[x.op].isSource && x.op !== "input"));
      expect(outside.map((x) => x.op)).toEqual([]);
    }
  });
});

it("decodes with the encoder's keys given, without the encoder", () => {
  const { weights } = trace(t5, kitConfig("t5"), "SEQ_2_SEQ_LM", { past: true, cross: true });
  expect(Object.keys(weights).filter((name) => name.startsWith("encoder."))).toEqual([]);
  expect(Object.keys(weights).filter((name) => /EncDecAttention\.[kv]\./.test(name))).toEqual([]);
});

it("counts mt0-large from its config alone", () => {
  const json = {
    ...{ model_type: "mt5", vocab_size: 250112, d_model: 1024, d_kv: 64, d_ff: 2816, num_heads: 16 },
    ...{
      num_layers: 24,
      num_decoder_layers: 24,
      feed_forward_proj: "gated-gelu",
      tie_word_embeddings: false,
    },
  };
  const { weights } = trace(mt5, json, "SEQ_2_SEQ_LM");
  const sizes = Object.values(weights).map((shape) => shape.reduce((a, b) => a * b, 1));
  const lora = 2359296; // r = 8 on q and v
  expect(sizes.reduce((a, b) => a + b, 0) + lora).toBe(1231940608);
});

describe("T5's scaling", () => {
  const scaled = (a: typeof t5, more: object): boolean =>
    a.parse({ ...kitConfig("t5"), tie_word_embeddings: undefined, ...more }).scaled;
  it.each([
    ["tied by default", t5, {}, true],
    ["untied", t5, { tie_word_embeddings: false }, false],
    ["transformers 5 says no", t5, { tie_word_embeddings: true, scale_decoder_outputs: false }, false],
    ["transformers 5 says yes", t5, { tie_word_embeddings: false, scale_decoder_outputs: true }, true],
    ["mt5 never", mt5, { tie_word_embeddings: true }, false],
  ] as const)("%s", (_, a, more, expected) => {
    expect(scaled(a, more)).toBe(expected);
  });
});

it.each(Object.entries(golden.buckets as Record<string, number[]>))(
  "buckets %s as torch",
  (key, expected) => {
    const [buckets, distance, direction] = key.split(" ");
    expect(bucketTable(Number(buckets), Number(distance), direction === "both")).toEqual(expected);
  },
);

it.each(Object.entries(golden.distances as Record<string, number[]>))(
  "groups the distances of %s as torch",
  (key, expected) => {
    const [span, farthest] = key.split(" ").map(Number) as [number, number];
    expect(distanceRows(span, farthest)).toEqual(expected);
  },
);

it.each(golden.frequencies as { config: Record<string, unknown>; expected: number[] }[])(
  "rotary frequencies of $config",
  ({ config, expected }) => {
    const c = llama.parse({ ...kitConfig("llama"), rope_theta: undefined, ...config });
    const got = frequencies(c.rope, c.headDim);
    expect(got.length).toBe(expected.length);
    got.forEach((x, i) => {
      const units = 2.4e-7 * expected[i]!; // two in the last place
      expect(Math.abs(x - expected[i]!)).toBeLessThanOrEqual(units);
    });
  },
);

describe("relatives and their configs", () => {
  it("know their sliding windows", () => {
    const mistralWith = (more: object): object => mistral.parse({ ...kitConfig("mistral"), ...more });
    expect(mistralWith({})).toMatchObject({ window: 4, windowed: [true, true] });
    expect(mistralWith({ sliding_window: undefined })).toMatchObject({ window: 4096 });
    expect(mistralWith({ sliding_window: null })).toMatchObject({
      window: undefined,
      windowed: [false, false],
    });
    const qwen = (more: object): object =>
      qwen2.parse({ ...kitConfig("qwen2"), layer_types: undefined, sliding_window: 8, ...more });
    expect(qwen({})).toMatchObject({ window: undefined, windowed: [false, false] });
    const on = { use_sliding_window: true, max_window_layers: 1 };
    expect(qwen(on)).toMatchObject({ window: 8, windowed: [false, true] });
    const types = ["sliding_attention", "full_attention"];
    expect(qwen({ ...on, layer_types: types })).toMatchObject({ window: 8, windowed: [true, false] });
    expect(() => qwen({ layer_types: ["sliding_attention"] })).toThrow(/"layer_types".*a list of 2/);
    expect(() => qwen({ layer_types: types })).toThrow(/no window/);
  });

  it("scale GPT-2's scores by layer, and OPT's norms stand where the config says", () => {
    const scales = (more: object): readonly number[] => gpt2.parse({ ...kitConfig("gpt2"), ...more }).scales;
    expect(scales({})).toEqual([8 ** -0.5, 8 ** -0.5]);
    expect(scales({ scale_attn_weights: false })).toEqual([1, 1]);
    expect(scales({ scale_attn_by_inverse_layer_idx: true })).toEqual([8 ** -0.5, 8 ** -0.5 / 2]);
    const plain = { layer_norm_elementwise_affine: false, enable_bias: false };
    const { weights } = trace(opt, { ...kitConfig("opt"), ...plain }, "CAUSAL_LM");
    expect(Object.keys(weights).filter((name) => /norm|bias/.test(name))).toEqual([]);
    const removed = trace(opt, { ...kitConfig("opt"), _remove_final_layer_norm: true }, "CAUSAL_LM");
    expect(Object.keys(removed.weights)).not.toContain("model.decoder.final_layer_norm.weight");
    expect(() => opt.parse({ ...kitConfig("opt"), layerdrop: 0.1 })).toThrow(/layerdrop/);
  });

  it("turn a part of GPT-NeoX's channels, in both forms of the config", () => {
    const { rotary_pct, rotary_emb_base, rope_scaling, ...rest } = kitConfig("gpt_neox");
    expect([rotary_pct, rotary_emb_base, rope_scaling]).toEqual([0.25, 1234, null]);
    const current = { rope_type: "default", rope_theta: 1234, partial_rotary_factor: 0.25 };
    const old = gptNeox.parse(kitConfig("gpt_neox"));
    expect(old).toMatchObject({ turned: 2, rope: { theta: 1234 } });
    expect(gptNeox.parse({ ...rest, rope_parameters: current })).toEqual(old);
    expect(gptNeox.parse({ ...kitConfig("gpt_neox"), rotary_pct: 1 }).turned).toBe(8);
    expect(() => gptNeox.parse({ ...kitConfig("gpt_neox"), rotary_pct: 0.1 })).toThrow(/pairs/);
    expect(gptNeox.parse({ ...kitConfig("gpt_neox"), rotary_pct: 0.4 }).turned).toBe(3);
    expect(() => gptNeox.parse({ ...kitConfig("gpt_neox"), rotary_pct: 1.2 })).toThrow(/pairs/);
    const odd = frequencies({ type: "default", theta: 8 }, 3); // 8 ** (-2 / 3)
    expect(odd).toEqual([1, expect.closeTo(0.25, 6)]);
  });

  it("know the forms of Falcon", () => {
    const weights = (more: object): Record<string, readonly number[]> =>
      trace(falcon, { ...kitConfig("falcon"), ...more }, "CAUSAL_LM").weights;
    const fused = "transformer.h.0.self_attention.query_key_value.weight";
    expect(weights({})[fused]).toEqual([24, 16]); // 4 heads of 4, then k and v
    const grouped = weights({ new_decoder_architecture: true, num_kv_heads: 2 });
    expect(grouped[fused]).toEqual([32, 16]);
    expect(Object.keys(grouped)).toContain("transformer.h.1.ln_mlp.weight");
    const plain = weights({ multi_query: false, parallel_attn: false });
    expect(plain[fused]).toEqual([48, 16]);
    expect(Object.keys(plain)).toContain("transformer.h.1.post_attention_layernorm.weight");
  });

  it("begin RoBERTa's positions after the padding token", () => {
    expect(roberta.parse({ ...kitConfig("roberta"), pad_token_id: 3 }).firstPosition).toBe(4);
  });

  it("slope BLOOM's heads, also where their number is no power of two", () => {
    expect(slopes(4)).toEqual([2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8]);
    expect(slopes(6)).toEqual([2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3]);
  });
});

describe("config.json", () => {
  it("gives the same rope in the forms of transformers 4 and 5", () => {
    const scaling = kitConfig("llama-rope3")["rope_scaling"] as object;
    const old = llama.parse(kitConfig("llama-rope3"));
    const { rope_theta, rope_scaling, ...rest } = kitConfig("llama-rope3");
    expect(rope_scaling).toBeDefined();
    expect(llama.parse({ ...rest, rope_parameters: { ...scaling, rope_theta } })).toEqual(old);
  });

  it("reads values that are nobody's defaults", () => {
    const c = llama.parse({ ...kitConfig("llama"), head_dim: 6, attention_dropout: 0.25 });
    expect(c).toMatchObject({ headDim: 6, kvHeads: 2, eps: 0.002, activation: "gelu_pytorch_tanh" });
    expect(c).toMatchObject({ attentionDropout: 0.25, rope: { type: "default", theta: 1234 } });
    const b = { ...kitConfig("bert"), hidden_dropout_prob: 0.3, attention_probs_dropout_prob: 0.2 };
    expect(bert.parse(b)).toMatchObject({ dropout: 0.3, attentionDropout: 0.2, classifierDropout: 0.3 });
    expect(bert.parse({ ...b, classifier_dropout: 0.4 }).classifierDropout).toBe(0.4);
    expect(bert.parse(kitConfig("bert-regression"))).toMatchObject({
      numLabels: 1,
      problemType: "regression",
    });
    const text = t5.parse({ ...kitConfig("t5-v1_1"), dropout_rate: 0.15 });
    expect(text).toMatchObject({ headDim: 12, layers: 3, decoderLayers: 2, dropout: 0.15, gated: true });
    expect(text.activation).toBe("gelu_new");
  });

  it("refuses what it does not know, all at once, and lists what it knows", () => {
    const bad = {
      ...kitConfig("llama"),
      hidden_size: "32",
      hidden_act: "snake",
      rope_scaling: { type: "mrope" },
    };
    const parse = (): unknown => llama.parse(bad);
    expect(parse).toThrow(PeftError);
    expect(parse).toThrow(
      /"hidden_size" is "32".*"hidden_act" is "snake".*"silu".*"rope_scaling.type" is "mrope"/,
    );
    expect(() => bert.parse({ ...kitConfig("bert"), is_decoder: true })).toThrow(/is_decoder/);
    expect(() => t5.parse({ ...kitConfig("t5"), feed_forward_proj: "gated-snake" })).toThrow(/"gated-gelu"/);
  });
});
