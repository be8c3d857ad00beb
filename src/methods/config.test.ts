import { describe, expect, it } from "vitest";
import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import { pythonName } from "../options.js";
import { IA3Config, ia3 } from "./ia3.js";
import { methods } from "./index.js";
import { LoraConfig, lora } from "./lora.js";
import type { Method } from "./method.js";
import { PromptEncoderConfig } from "./p_tuning.js";
import { PrefixTuningConfig } from "./prefix_tuning.js";
import { PromptTuningConfig } from "./prompt_tuning.js";

const site = (path: string): LinearSite => ({
  ...{ path, inDim: 16, outDim: 8, weight: `${path}.weight`, bias: undefined, transposed: false },
});
const create = (options: Record<string, unknown>) => (): unknown => lora.config.create(options);

describe("LoraConfig", () => {
  it("has Python's defaults", () => {
    expect(new LoraConfig()).toMatchObject({
      r: 8,
      loraAlpha: 8,
      loraDropout: 0,
      bias: "none",
      initLoraWeights: true,
    });
  });

  it("does not compile with a wrong name, and says so where nothing compiles", () => {
    // @ts-expect-error: no option rr
    expect(() => new LoraConfig({ rr: 8 })).toThrow(/\[adapter-config\].*no option "rr"/);
    // @ts-expect-error: no such bias
    expect(() => new LoraConfig({ bias: "some" })).toThrow(/bias is "some".*"lora_only"/);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["a rank of 0", { r: 0 }, /r is 0/],
    ["a rank that is not whole", { r: 2.5 }, /r is 2.5/],
    ["a rank as text", { r: "8" }, /r is "8".*whole number/],
    ["an alpha that is no number", { loraAlpha: Number.NaN }, /loraAlpha/],
    ["a dropout of 1", { loraDropout: 1 }, /loraDropout is 1/],
    ["a negative dropout", { loraDropout: -0.1 }, /loraDropout is -0.1/],
    ["an unknown bias", { bias: "both" }, /bias is "both"/],
    ["an unknown start", { initLoraWeights: "xavier" }, /initLoraWeights is "xavier"/],
    ["a start that needs data", { initLoraWeights: "corda" }, /initLoraWeights is "corda"/],
    [
      "a start from data",
      { initLoraWeights: "eva" },
      /initLoraWeights is "eva".*initialize_lora_eva_weights/,
    ],
    ["an odd rank, orthogonal", { r: 3, initLoraWeights: "orthogonal" }, /a rank is 3/],
    ["an odd rank in a pattern", { initLoraWeights: "orthogonal", rankPattern: { q: 5 } }, /a rank is 5/],
    ["alpha 0 with PiSSA", { loraAlpha: 0, initLoraWeights: "pissa" }, /alpha is 0/],
    ["a pattern's rank of 0", { rankPattern: { q: 0 } }, /rankPattern/],
    ["a pattern that is none", { rankPattern: { "q(": 4 } }, /pattern "q\("/],
    ["targets that are no expression", { targetModules: "q(" }, /pattern "q\("/],
    ["targets that are numbers", { targetModules: [1] }, /targetModules is \[1\]/],
    ["layersPattern alone", { layersPattern: "layers" }, /layersToTransform is not given/],
    [
      "layers with an expression",
      { targetModules: ".*q", layersToTransform: [0] },
      /layersToTransform is given/,
    ],
    [
      "layersPattern with all-linear",
      { targetModules: "all-linear", layersPattern: "h" },
      /layersPattern is given/,
    ],
    ["negative layers", { layersToTransform: [-1] }, /layersToTransform is \[-1\]/],
    ["a bias for DoRA", { loraBias: true, useDora: true }, /loraBias and useDora/],
    ["a bias with PiSSA", { loraBias: true, initLoraWeights: "pissa" }, /loraBias is true/],
    ["tokens by text", { trainableTokenIndices: ["a"] }, /trainableTokenIndices/],
    ["modules as text", { modulesToSave: "score" }, /modulesToSave is "score".*list/],
    ["flags as numbers", { useRslora: 1 }, /useRslora is 1/],
    ["an unknown task", { taskType: "CAUSAL" }, /\[unknown-task\].*CAUSAL_LM/],
    ["QALoRA", { useQalora: true }, /useQalora/],
    ["layer replication", { layerReplication: [[0, 2]] }, /layerReplication/],
    ["target parameters as text", { targetParameters: "experts" }, /targetParameters.*list/],
    ["aLoRA with DoRA", { aloraInvocationTokens: [1], useDora: true }, /aloraInvocationTokens is given/],
    ["arrow", { arrowConfig: { top_k: 1 } }, /arrowConfig/],
    ["two variants", { useDora: true, kasaConfig: {} }, /useDora and kasaConfig are both given/],
    ["a field that is none", { veloraConfig: { groups: 4 } }, /veloraConfig has groups: 4.*num_groups/],
    ["a field's value", { veloraConfig: { num_groups: 0 } }, /veloraConfig has num_groups: 0/],
    ["megatron", { megatronConfig: { a: 1 } }, /megatronConfig/],
  ])("refuses %s", (_, options, message) => {
    expect(create(options)).toThrow(PeftError);
    expect(create(options)).toThrow(message);
  });

  it("says all faults at once", () => {
    expect(create({ r: 0, bias: "x", loraDropout: 2 })).toThrow(
      /r is 0.*bias is "x".*loraDropout is 2|loraDropout is 2.*bias/,
    );
  });

  it("reads a null of Python's as not given", () => {
    expect(lora.config.create({ r: null, targetModules: null, layersPattern: null })).toEqual(
      new LoraConfig(),
    );
  });
});

describe("patterns", () => {
  const scale = (options: ConstructorParameters<typeof LoraConfig>[0], path: string): number =>
    lora.layers!.linear!.scale!(new LoraConfig(options), site(path));
  const rank = (options: ConstructorParameters<typeof LoraConfig>[0], path: string): number =>
    lora.layers!.linear!.parameters(new LoraConfig(options), site(path))[0]!.shape[0]!;

  it("match a name's end at a dot, as Python's get_pattern_key", () => {
    const options = { r: 8, rankPattern: { q_proj: 2, "layers\\.1\\.\\w+": 4 } };
    expect(rank(options, "model.layers.0.self_attn.q_proj")).toBe(2);
    expect(rank(options, "model.layers.0.self_attn.xq_proj")).toBe(8);
    expect(rank(options, "model.layers.1.mlp")).toBe(4);
    expect(rank(options, "layers.1.mlp")).toBe(4);
    expect(rank({ rankPattern: { "^model.layers.0.q": 3 } }, "model.layers.0.q")).toBe(3);
    expect(rank({ rankPattern: { "a|b": 3 } }, "x.b")).toBe(3);
  });

  it("decide the scale: alpha / r, or alpha / sqrt(r)", () => {
    expect(scale({ r: 4, loraAlpha: 6, rankPattern: { q: 2 } }, "x.q")).toBe(3);
    expect(scale({ r: 4, loraAlpha: 6, alphaPattern: { q: 10 } }, "x.q")).toBe(2.5);
    expect(scale({ r: 4, loraAlpha: 6, useRslora: true }, "x.q")).toBe(3);
  });
});

it("LoRA starts as Python starts it", () => {
  const start = (initLoraWeights: boolean | "gaussian"): unknown[] =>
    lora
      .layers!.linear!.parameters(new LoraConfig({ r: 4, initLoraWeights }), site("x"))
      .map((s) => s.initial);
  const zero = { kind: "constant", value: 0 };
  expect(start(true)).toEqual([{ kind: "uniform", bound: 1 / 4 }, zero]);
  expect(start(false)).toEqual([
    { kind: "uniform", bound: 1 / 4 },
    { kind: "uniform", bound: 1 / 2 },
  ]);
  expect(start("gaussian")).toEqual([{ kind: "normal", std: 1 / 4 }, zero]);
  const table = { path: "e", vocab: 9, dim: 3, weight: "e.weight" };
  const specs = lora.layers!.embedding!.parameters(new LoraConfig({ r: 4 }), table);
  expect(specs.map((s) => [s.key, s.shape, s.initial])).toEqual([
    ["lora_embedding_A", [4, 9], zero],
    ["lora_embedding_B", [3, 4], { kind: "normal", std: 1 }],
  ]);
});

it("token rows by module, or of the input embedding", () => {
  const tokens = lora.layers!.tokens!;
  expect(tokens(new LoraConfig())).toBeUndefined();
  expect(tokens(new LoraConfig({ trainableTokenIndices: [3, 5] }))).toEqual(new Map([[undefined, [3, 5]]]));
  expect(tokens(new LoraConfig({ trainableTokenIndices: { wte: [1] } }))).toEqual(new Map([["wte", [1]]]));
});

describe("IA3Config", () => {
  const roles = { targets: ["q"], scaled: { targets: ["k", "v", "wo"], feedforward: ["wo"] } };

  it("takes the model's lists where it names none", () => {
    expect(ia3.layers!.resolve!(new IA3Config(), roles, () => [])).toMatchObject({
      ...{ targetModules: ["k", "v", "wo"], feedforwardModules: ["wo"] },
    });
    const own = ia3.layers!.resolve!(new IA3Config({ targetModules: ["q"] }), roles, () => []);
    expect(own).toBeInstanceOf(IA3Config);
    expect(own).toMatchObject({ targetModules: ["q"], feedforwardModules: ["wo"] });
  });

  it("says what is missing where the model has no lists", () => {
    expect(() =>
      ia3.layers!.resolve!(new IA3Config({ targetModules: ["q"] }), { targets: undefined }, () => []),
    ).toThrow(/feedforwardModules is not given/);
  });

  it("knows feed-forward layers by their ending or a pattern", () => {
    const shape = (feedforwardModules: string | string[], path: string): readonly number[] =>
      ia3.layers!.linear!.parameters(new IA3Config({ feedforwardModules }), site(path))[0]!.shape;
    expect(shape(["output.dense"], "layer.0.attention.output.dense")).toEqual([1, 16]);
    expect(shape(["output.dense"], "layer.0.dense")).toEqual([8, 1]);
    expect(shape(".*wo", "a.wo")).toEqual([1, 16]);
    expect(shape(".*wo", "a.wo.x")).toEqual([8, 1]);
  });

  it("refuses feed-forward layers that are no targets", () => {
    expect(() => new IA3Config({ targetModules: ["k"], feedforwardModules: ["wo"] })).toThrow(
      /names \["wo"\]/,
    );
  });
});

describe("methods that cut a layer into parts", () => {
  const method = (name: string): Method => methods.find((m) => m.name === name)!;
  it.each<[string, Record<string, unknown>, RegExp]>([
    ["c3a", { blockSize: 3 }, /blockSize is 3 at a\.q\..*divide 16 and 8\..*blockSize: 1,/],
    ["c3a", { blockSizePattern: { q: 16 } }, /blockSize is 16 at a\.q\..*divide 8\..*blockSize: 8,/],
    ["gralora", { r: 6, graloraK: 6 }, /graloraK is 6 at a\.q\..*divide 16 and 8\..*graloraK: 2,/],
    ["miss", { r: 17 }, /r is 17 at a\.q\..*16 inputs.*r: 16,/],
    ["miss", { r: 12, initWeights: "bat" }, /r is 12 at a\.q\..*r: 4,/],
    ["miss", { r: 3, miniR: 6, initWeights: "mini" }, /miniR is 6 at a\.q\..*divide 8\..*miniR: 2,/],
  ])("refuse sizes that do not fit: %s %j", (name, options, message) => {
    const {
      config: { create },
      layers,
    } = method(name);
    const c = create(options);
    expect(() => layers!.linear!.parameters(c, site("a.q"))).toThrow(PeftError);
    expect(() => layers!.linear!.parameters(c, site("a.q"))).toThrow(message);
  });

  it.each<[string, Record<string, unknown>, RegExp]>([
    ["gralora", { r: 5, graloraK: 2 }, /r is 5 with graloraK: 2.*r: 6/],
    ["gralora", { excludeModules: ["q"] }, /no option "excludeModules"/],
    ["hira", { rankPattern: { q: 2 } }, /rankPattern is \{"q":2\}.*rank r/],
    ["lokr", { rankDropout: 1, moduleDropout: -1 }, /rankDropout is 1.*moduleDropout is -1/],
    ["lokr", { initWeights: "gaussian" }, /initWeights is "gaussian".*"lycoris"/],
  ])("refuse options that do not fit: %s %j", (name, options, message) => {
    expect(() => method(name).config.create(options)).toThrow(message);
  });
});

describe("prompt methods' configs", () => {
  it.each<[string, () => unknown, RegExp]>([
    ["no virtual tokens", () => new PromptTuningConfig({ numVirtualTokens: 0 }), /numVirtualTokens is 0/],
    [
      "a text without text",
      () => new PromptTuningConfig({ promptTuningInit: "TEXT" }),
      /InitText is not.*NameOrPath is not/,
    ],
    [
      "options of a tokenizer without a text",
      () => new PromptTuningConfig({ tokenizerKwargs: { use_fast: true } }),
      /tokenizerKwargs is given/,
    ],
    [
      "an unknown start",
      // @ts-expect-error: no such start
      () => new PromptTuningConfig({ promptTuningInit: "ONES" }),
      /promptTuningInit is "ONES"/,
    ],
    // @ts-expect-error: no such start
    ["unknown weights", () => new PrefixTuningConfig({ initWeights: "one" }), /initWeights is "one"/],
    [
      "an unknown encoder",
      // @ts-expect-error: no such encoder
      () => new PromptEncoderConfig({ encoderReparameterizationType: "GRU" }),
      /encoderReparameterizationType is "GRU"/,
    ],
    [
      "an encoder without layers",
      () => new PromptEncoderConfig({ encoderNumLayers: 0 }),
      /encoderNumLayers is 0/,
    ],
  ])("refuse %s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});

describe.each(methods.map((method) => [method.name, method] as const))("%s", (_, method) => {
  it("reads its own defaults back, and has an option for what it interprets", () => {
    const config = method.config.create(method.config.fields);
    expect(config).toEqual(method.config.create({}));
    expect(config.peftType).toBe(method.config.fields.peft_type);
    // some of Python's configs lack these, which ours have from what they share
    const own = Object.keys(config).filter((key) => !/^(excludeModules|modulesToSave)$/.test(key));
    for (const key of own)
      expect(method.config.fields).toHaveProperty([pythonName(key, method.config.options[key])]);
    for (const key of method.config.floats) expect(method.config.fields).toHaveProperty(key);
  });
});
