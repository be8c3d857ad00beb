import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { value } from "../../tests/ops/arrays.js";
import { evaluate } from "../../tests/ops/evaluate.js";
import type { PeftError } from "../errors.js";
import { Graph } from "../graph/graph.js";
import { random } from "../random.js";
import type { AdapterConfig, Method, PromptShape } from "./method.js";
import { PromptEncoderConfig, pTuning } from "./p_tuning.js";
import { PrefixTuningConfig, prefixTuning } from "./prefix_tuning.js";
import { PromptTuningConfig, type PromptTuningOptions, promptTuning } from "./prompt_tuning.js";

interface Plain {
  shape: number[];
  data: number[];
}
const golden = JSON.parse(
  readFileSync(new URL("../../tests/golden/adapters.json", import.meta.url), "utf8"),
) as {
  encoders: Record<string, { options: Record<string, unknown>; parameters: Record<string, Plain>; y: Plain }>;
};
const t5: PromptShape = {
  ...{ hidden: 32, heads: 4, layers: 3, submodules: 2 },
  cache: { layers: 2, kvHeads: 4, headDim: 8 },
};
/** Grouped queries: two heads of keys. */
const llama: PromptShape = {
  ...{ hidden: 32, heads: 4, layers: 2, submodules: 1 },
  cache: { layers: 2, kvHeads: 2, headDim: 8 },
};

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return (error as PeftError).code;
  }
  return undefined;
}

describe.each(Object.keys(golden.encoders))("%s", (name) => {
  const { options, parameters, y } = golden.encoders[name]!;
  const method = (name.startsWith("prefix") ? prefixTuning : pTuning) as unknown as Method;
  const config = method.config.create(options);
  const prompt = method.prompt!;

  it("encodes as torch does", () => {
    const g = new Graph();
    const rows = prompt.encode(g, (key) => g.input(key, parameters[key]!.shape), config);
    expect(rows.shape).toEqual(y.shape);
    expect(prompt.shape(config)).toEqual(y.shape);
    const feeds = Object.entries(parameters).map(([key, p]) => [key, value(p.data, p.shape)]);
    const [actual] = evaluate(g, [rows], Object.fromEntries(feeds));
    expect(Math.max(...y.data.map((want, i) => Math.abs(want - actual!.data[i]!)))).toBeLessThan(1e-5);
  });

  it("has torch's parameters", () => {
    const specs = prompt.parameters(config).map((spec) => [spec.key, spec.shape]);
    const wanted = Object.entries(parameters).map(([key, p]) => [key, p.shape]);
    expect(Object.fromEntries(specs)).toEqual(Object.fromEntries(wanted));
  });
});

describe("sizes", () => {
  it("are read off an encoder-decoder as Python reads them", () => {
    const c = pTuning.prompt!.resolve(
      new PromptEncoderConfig({ numVirtualTokens: 5, taskType: "SEQ_2_SEQ_LM" }),
      t5,
    );
    expect(c).toBeInstanceOf(PromptEncoderConfig);
    expect(c).toMatchObject({
      ...{
        tokenDim: 32,
        numAttentionHeads: 4,
        numLayers: 3,
        numTransformerSubmodules: 2,
        encoderHiddenSize: 32,
      },
    });
    expect(pTuning.prompt!.shape(c)).toEqual([10, 32]);
  });

  it("of a prefix count grouped keys", () => {
    const c = prefixTuning.prompt!.resolve(new PrefixTuningConfig({ numVirtualTokens: 5 }), llama);
    expect(c).toMatchObject({ tokenDim: 16, numAttentionHeads: 2, numLayers: 2, encoderHiddenSize: 16 });
    expect(prefixTuning.prompt!.shape(c)).toEqual([5, 64]);
    expect(prefixTuning.prompt!.tables(c)).toEqual(["embedding.weight"]);
  });

  it("of another model are refused", () => {
    const prompt = new PromptTuningConfig({ tokenDim: 64 });
    expect(codeOf(() => promptTuning.prompt!.resolve(prompt, llama))).toBe("adapter-mismatch");
    const prefix = new PrefixTuningConfig({ tokenDim: 64, numLayers: 1 });
    expect(() => prefixTuning.prompt!.resolve(prefix, llama)).toThrow(/tokenDim is 64.*numLayers is 1/);
  });

  it("that Python cannot cut into heads are refused", () => {
    const odd = { ...t5, cache: { layers: 2, kvHeads: 6, headDim: 8 } };
    expect(codeOf(() => prefixTuning.prompt!.resolve(new PrefixTuningConfig(), odd))).toBe("adapter-config");
  });
});

it("a prefix of zeros starts at zero, with and without projection", () => {
  const zeros = (c: AdapterConfig): string[] =>
    prefixTuning
      .prompt!.parameters(prefixTuning.prompt!.resolve(c as PrefixTuningConfig, llama))
      .filter((spec) => spec.initial.kind === "constant" && spec.initial.value === 0)
      .map((spec) => spec.key);
  expect(zeros(new PrefixTuningConfig({ initWeights: "zero" }))).toEqual(["embedding.weight"]);
  expect(zeros(new PrefixTuningConfig({ initWeights: "zero", prefixProjection: true }))).toEqual([
    "transform.2.weight",
    "transform.2.bias",
  ]);
  expect(zeros(new PrefixTuningConfig())).toEqual([]);
});

describe("prompt tuning's first rows", () => {
  const start = promptTuning.prompt!.initialTokens!;
  const sizes = { numVirtualTokens: 5, numTransformerSubmodules: 1, tokenDim: 4 };
  const text: PromptTuningOptions = {
    ...sizes,
    promptTuningInit: "TEXT",
    promptTuningInitText: "a b",
    tokenizerNameOrPath: "t5-base",
  };

  it("are random where nothing is said", () => {
    expect(start(new PromptTuningConfig(sizes), 100, random(0))).toBeUndefined();
  });
  it("are tokens of the vocabulary", () => {
    const ids = start(new PromptTuningConfig({ ...sizes, promptTuningInit: "SAMPLE_VOCAB" }), 7, random(0))!;
    expect(ids).toHaveLength(5);
    expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 7)).toBe(true);
  });
  it("are a text's tokens, repeated or cut", () => {
    expect(start(new PromptTuningConfig(text), 100, random(0), () => [8, 9])).toEqual([8, 9, 8, 9, 8]);
    expect(start(new PromptTuningConfig(text), 100, random(0), () => [1, 2, 3, 4, 5, 6])).toEqual([
      1, 2, 3, 4, 5,
    ]);
  });
  it("need a tokenizer that makes something of the text", () => {
    expect(codeOf(() => start(new PromptTuningConfig(text), 100, random(0)))).toBe("tokenizer");
    expect(codeOf(() => start(new PromptTuningConfig(text), 100, random(0), () => []))).toBe("tokenizer");
  });
});

it("P-tuning drops between the LSTM's layers only", () => {
  const c = pTuning.prompt!.resolve(
    new PromptEncoderConfig({
      encoderReparameterizationType: "LSTM",
      encoderDropout: 0.3,
      encoderNumLayers: 3,
    }),
    llama,
  );
  const rates: number[] = [];
  const g = new Graph();
  const shapes = new Map(pTuning.prompt!.parameters(c).map((spec) => [spec.key, spec.shape]));
  pTuning.prompt!.encode(
    g,
    (key) => g.input(key, shapes.get(key)!),
    c,
    (x, p) => {
      rates.push(p);
      return x;
    },
  );
  expect(rates).toEqual([0.3, 0.3]);
});
