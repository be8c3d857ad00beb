import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Selection } from "../methods/method.js";
import type { TaskType } from "../models/model.js";
import { specOf } from "../peft/spec.js";
import { takeInventory } from "../trace/write.js";
import { layerNames, matchTargets } from "./targets.js";

function choose(
  model: string,
  task: TaskType,
  selection: Partial<Selection>,
  whole: readonly string[] = [],
): string[] {
  const path = join(import.meta.dirname, "../../tests/kit/models", model, "config.json");
  const spec = specOf(JSON.parse(readFileSync(path, "utf8")), task);
  const all = { targetModules: undefined, ...selection };
  const found = matchTargets(spec, takeInventory(spec), all, spec.architecture.roles.targets, whole);
  return [...found.linears, ...found.embeddings].map((s) => s.path);
}
const llama = (selection: Partial<Selection>): string[] => choose("llama", "CAUSAL_LM", selection);

describe("matchTargets", () => {
  it("takes the architecture's default where nothing is named", () => {
    expect(llama({})).toEqual(llama({ targetModules: ["q_proj", "v_proj"] }));
    expect(llama({})).toHaveLength(4);
  });

  it("a list matches names and dotted suffixes, not parts of names", () => {
    expect(llama({ targetModules: ["self_attn.q_proj"] })).toHaveLength(2);
    expect(llama({ targetModules: ["model.layers.1.self_attn.q_proj"] })).toHaveLength(1);
    expect(() => llama({ targetModules: ["proj"] })).toThrow(/No layer matches/);
    expect(choose("t5", "SEQ_2_SEQ_LM", { targetModules: ["o"] }).every((p) => p.endsWith(".o"))).toBe(true);
  });

  it("a string is a regular expression of Python's that matches in full", () => {
    expect(llama({ targetModules: ".*\\.0\\..*(q|v)_proj" })).toHaveLength(2);
    expect(() => llama({ targetModules: "q_proj" })).toThrow(/No layer matches/);
    expect(llama({ targetModules: "(?i).*Q_PROJ" })).toHaveLength(2);
    expect(llama({ targetModules: ".*layers\\.(?P<n>\\d)\\.mlp\\.up_proj" })).toHaveLength(2);
    expect(() => llama({ targetModules: "a|model" })).toThrow(/No layer matches/);
  });

  it("excludes by the same rules", () => {
    expect(llama({ targetModules: ["q_proj"], excludeModules: ["layers.0.self_attn.q_proj"] })).toEqual([
      "model.layers.1.self_attn.q_proj",
    ]);
    expect(llama({ targetModules: "all-linear", excludeModules: ".*mlp.*" })).toHaveLength(8);
  });

  it("layersToTransform counts blocks, and a path named in full ignores it", () => {
    const targetModules = ["q_proj", "model.layers.0.mlp.up_proj"];
    expect(llama({ targetModules, layersToTransform: [1] }).sort()).toEqual([
      "model.layers.0.mlp.up_proj",
      "model.layers.1.self_attn.q_proj",
    ]);
    expect(llama({ targetModules: ["q_proj"], layersToTransform: 0, layersPattern: "layers" })).toHaveLength(
      1,
    );
    expect(() => llama({ targetModules: ["q_proj"], layersToTransform: 0, layersPattern: "blocks" })).toThrow(
      /layersPattern/,
    );
  });

  it("without a pattern the block's number is the first one below the root, as Python's expression has it", () => {
    const t5 = (selection: Partial<Selection>): string[] => choose("t5", "SEQ_2_SEQ_LM", selection);
    const second = t5({ targetModules: ["q"], layersToTransform: [1] });
    expect(second).toEqual([
      "encoder.block.1.layer.0.SelfAttention.q",
      "decoder.block.1.layer.0.SelfAttention.q",
      "decoder.block.1.layer.1.EncDecAttention.q",
    ]);
    expect(t5({ targetModules: ["q"], layersToTransform: 1, layersPattern: ["x", "block"] })).toEqual(second);
    expect(t5({ targetModules: ["q"], layersToTransform: 1, layersPattern: "layer" })).toEqual([
      "decoder.block.0.layer.1.EncDecAttention.q",
      "decoder.block.1.layer.1.EncDecAttention.q",
    ]);
  });

  it("finds lists at the root of bare models by their pattern alone", () => {
    const bare = (model: string, selection: Partial<Selection>): string[] =>
      choose(model, "FEATURE_EXTRACTION", selection);
    const q = { targetModules: ["q_proj"], layersToTransform: [1] };
    expect(bare("llama", { ...q, layersPattern: "layers" })).toEqual(["layers.1.self_attn.q_proj"]);
    expect(() => bare("llama", q)).toThrow(/No layer matches/);
    const c = { targetModules: ["c_attn"], layersToTransform: 1, layersPattern: ["h"] };
    expect(bare("gpt2", c)).toEqual(["h.1.attn.c_attn"]);
  });

  it("names the field and the pattern that Python refuses, and that takes too long", () => {
    const told = (selection: Partial<Selection>): string => {
      try {
        return `${llama({ targetModules: ["q_proj"], ...selection })}`;
      } catch (error) {
        return error instanceof Error ? error.message : "";
      }
    };
    expect(told({ layersToTransform: 0, layersPattern: "[" })).toMatch(
      /\[adapter-config\].*layersPattern.*unterminated/,
    );
    expect(told({ excludeModules: "a**" })).toMatch(
      /excludeModules has the pattern "a\*\*".*multiple repeat/,
    );
    expect(told({ targetModules: "(((.+)+)+)+!" })).toMatch(/targetModules has the pattern.*steps/);
  });

  it("all-linear leaves out the output head, and a sequence classifier, not a token classifier", () => {
    expect(llama({ targetModules: "all-linear" })).toHaveLength(14);
    expect(llama({ targetModules: "All-Linear" })).toHaveLength(14);
    expect(llama({ targetModules: "all-linear" })).not.toContain("lm_head");
    const bert = (task: TaskType): string[] => choose("bert", task, { targetModules: "all-linear" });
    expect(bert("SEQ_CLS")).toContain("bert.pooler.dense");
    expect(bert("SEQ_CLS")).not.toContain("classifier");
    expect(bert("TOKEN_CLS")).toContain("classifier");
  });

  it("leaves modules that train whole alone, and what is in them", () => {
    const bert = (whole: string[]): string[] =>
      choose("bert", "SEQ_CLS", { targetModules: ["dense"] }, whole);
    expect(bert([])).toContain("bert.pooler.dense");
    expect(bert(["pooler"])).toEqual(bert([]).filter((path) => path !== "bert.pooler.dense"));
    expect(bert(["pool"])).toEqual(bert([]));
    expect(bert(["ooler"])).toEqual(bert(["pooler"])); // Python asks for the end of a name
    expect(() => choose("bert", "SEQ_CLS", { targetModules: ["pooler.dense"] }, ["bert.pooler"])).toThrow(
      /No layer matches/,
    );
  });

  it("embeddings are targets too", () => {
    expect(llama({ targetModules: ["embed_tokens", "q_proj"] })).toContain("model.embed_tokens");
  });
});

it("layerNames lists what users type, once each", () => {
  const path = join(import.meta.dirname, "../../tests/kit/models/t5/config.json");
  const names = layerNames(takeInventory(specOf(JSON.parse(readFileSync(path, "utf8")), "SEQ_2_SEQ_LM")));
  expect(names).toEqual(expect.arrayContaining(["q", "k", "v", "o", "wi", "wo", "lm_head", "shared"]));
  expect(new Set(names).size).toBe(names.length);
});
