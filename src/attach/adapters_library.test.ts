import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { formatJson } from "../hub/json.js";
import { BottleneckConfig } from "../methods/bottleneck_config.js";
import { pythonName } from "../options.js";
import { classOf } from "../tasks/registry.js";
import { fromLibrary, isLibraryJson, toLibrary } from "./adapters_library.js";

/** By the library: tools/golden/bottleneck.py */
const golden: Readonly<Record<string, string>> = JSON.parse(
  readFileSync("tests/golden/bottleneck.json", "utf8"),
);

function fieldsOf(config: object): Record<string, unknown> {
  const own = Object.entries(config)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => {
      const row = BottleneckConfig.options[key];
      return [pythonName(key, row), value];
    });
  return { ...BottleneckConfig.fields, ...Object.fromEntries(own) };
}

describe.each(Object.entries(golden))("%s", (preset, text) => {
  it("is the library's config, to the byte", () => {
    const { config } = toLibrary(fieldsOf(BottleneckConfig.create({ preset })));
    expect(formatJson(config, new Set(BottleneckConfig.floats))).toBe(text);
  });

  it("is read from the library's file", () => {
    const json = { config: JSON.parse(text), model_class: "BertForSequenceClassification", model_name: "b" };
    expect(isLibraryJson(json)).toBe(true);
    const { model_class: _, ...flat } = fromLibrary(json, "adapter_config.json");
    const { preset: __, ...read } = { ...BottleneckConfig.create(flat) };
    const { preset: ___, ...made } = { ...BottleneckConfig.create({ preset }) };
    expect(read).toEqual({ ...made, taskType: "SEQ_CLS", baseModelNameOrPath: "b" });
  });
});

it("reads what old files leave out or say in other words", () => {
  const config = {
    ...{ mh_adapter: true, output_adapter: true, non_linearity: "ReLU", reduction_factor: 8 },
    invertible_adapter: { block_type: "nice", reduction_factor: 4 },
  };
  const read = BottleneckConfig.create(fromLibrary({ config, model_type: "bert" }, "f"));
  expect(read).toMatchObject({
    ...{ originalLnBefore: false, nonLinearity: "relu", invAdapter: "nice", invAdapterReductionFactor: 4 },
  });
  expect(BottleneckConfig.create(fromLibrary({ config: "houlsby", model_type: "bert" }, "f"))).toMatchObject({
    mhAdapter: true,
    nonLinearity: "swish",
  });
});

it("says which of the library's other adapters a file is", () => {
  const lora = { config: { architecture: "lora", r: 8 }, model_class: "BertModel" };
  expect(() => fromLibrary(lora, "f")).toThrow(/of the kind "lora"/);
});

it("names a model's class for a task", () => {
  expect(classOf({ architectures: ["XLMRobertaForMaskedLM"] }, "SEQ_CLS")).toBe(
    "XLMRobertaForSequenceClassification",
  );
  expect(classOf({ architectures: ["GPT2LMHeadModel"] }, "CAUSAL_LM")).toBe("GPT2LMHeadModel");
  expect(classOf({}, "SEQ_CLS")).toBeUndefined();
});

it("refuses configs that contradict themselves, by name", () => {
  const create = (options: object) => (): unknown => new BottleneckConfig(options);
  expect(create({ outputAdapter: false })).toThrow(/mhAdapter, outputAdapter and crossAdapter are off/);
  expect(create({ preset: "double_seq_bn", residualBeforeLn: "post_add" })).toThrow(/originalLnBefore/);
  expect(create({ preset: "compacter", initWeights: "houlsby" })).toThrow(/phmLayer/);
  expect(create({ reductionFactor: { default: 0 } })).toThrow(/not above 0/);
  expect(create({ preset: "lora" })).toThrow(/preset is "lora"/);
});
