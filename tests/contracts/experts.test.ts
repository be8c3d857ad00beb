import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LoraConfig } from "../../src/methods/lora.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { getPeftModel } from "../../src/peft/get_peft_model.js";
import type { PeftModel } from "../../src/peft/peft_model.js";
import { loadBase } from "./kit.js";

describe("experts as targets", () => {
  let dense: PreTrainedModel;
  let mixtral: PreTrainedModel;
  beforeAll(async () => {
    dense = await loadBase("CAUSAL_LM", "llama");
    mixtral = await loadBase("CAUSAL_LM", "mixtral-aux");
  });
  afterAll(async () => {
    await dense.close();
    await mixtral.close();
  });

  const attach = (base: PreTrainedModel, options: ConstructorParameters<typeof LoraConfig>[0]): PeftModel =>
    getPeftModel(base, new LoraConfig({ taskType: "CAUSAL_LM", r: 2, ...options }));

  it("a dense model has none: the error names what it is", () => {
    const targetParameters = ["experts.gate_up_proj"];
    expect(() => attach(dense, { targetParameters })).toThrow(/\[adapter-targets\].*experts\.gate_up_proj/);
    expect(() => attach(dense, { targetParameters })).toThrow(/llama model is dense: it has no experts/);
    expect(() => attach(mixtral, { targetParameters: ["experts.up"] })).toThrow(
      /experts\.gate_up_proj, experts\.down_proj/,
    );
  });

  it("names of transformers 4 mean the stack, with the rank of both of its parts", () => {
    const named = attach(mixtral, { targetModules: ["q_proj", "w1", "w2", "w3"] }).activeAdapter;
    const { experts, hidden, inter } = { experts: 4, hidden: 16, inter: 32 };
    const path = "model.layers.0.mlp.experts";
    expect(named.entry(`${path}.gate_up_proj.lora_A.weight`).shape).toEqual([experts * 4, hidden]);
    expect(named.entry(`${path}.gate_up_proj.lora_B.weight`).shape).toEqual([2 * inter, experts * 4]);
    expect(named.entry(`${path}.down_proj.lora_A.weight`).shape).toEqual([experts * 2, inter]);
    expect(named.stacks.get(`${path}.gate_up_proj`)?.scale).toBe(
      named.scale("model.layers.0.self_attn.q_proj"),
    );
    expect(() => attach(mixtral, { targetModules: ["w1"] })).toThrow(/w3 is not named/);
  });

  it("a stack takes plain factors alone, and no layer is named twice", () => {
    const targetParameters = ["experts.down_proj"];
    expect(() => attach(mixtral, { targetParameters, loraDropout: 0.1 })).toThrow(/loraDropout/);
    expect(() => attach(mixtral, { targetParameters, useDora: true })).toThrow(/useDora/);
    const twice = { targetModules: ["q_proj"], targetParameters: ["q_proj.weight"] };
    expect(() => attach(mixtral, twice)).toThrow(/q_proj is named by targetModules and by targetParameters/);
  });

  it("a number of experts that the files do not have is told by the weights that are missing or wrong", async () => {
    const more = loadBase("CAUSAL_LM", "mixtral-aux", { config: { num_local_experts: 6 } });
    await expect(more).rejects.toThrow(/experts\.4\.w1\.weight/);
    const fewer = loadBase("CAUSAL_LM", "mixtral-aux", { config: { num_local_experts: 2 } });
    await expect(fewer).rejects.toThrow(/mlp\.gate\.weight is \[4, ?16\], not \[2, ?16\]/);
    const none = loadBase("CAUSAL_LM", "mixtral-aux", { config: { num_experts_per_tok: 9 } });
    await expect(none).rejects.toThrow(/"num_experts_per_tok" is 9, and there are 4 experts/);
  });
});
