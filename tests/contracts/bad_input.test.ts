import { execFile } from "node:child_process";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PeftError } from "../../src/errors.js";
import { IA3Config, LoraConfig, PromptTuningConfig } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import type { TaskType } from "../../src/models/model.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { specOf } from "../../src/peft/spec.js";
import type { Inputs } from "../../src/trace/feeds.js";
import type { Kind } from "./kit.js";
import {
  adapted,
  batchOf,
  folderOf,
  ids,
  loadBase,
  logitsOf,
  sampleBatch,
  TASKS,
  temporaryFolder,
} from "./kit.js";

// Bad input: a typed error with what, why and fix, before anything is changed.
const bases: Partial<Record<Kind, PreTrainedModel>> = {};
beforeAll(async () => {
  for (const kind of Object.keys(TASKS) as Kind[])
    bases[kind] = (await loadBase(TASKS[kind], kind)) as unknown as PreTrainedModel;
});
afterAll(async () => {
  for (const base of Object.values(bases)) await base.close();
});

function refusal(act: () => unknown): PeftError {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(PeftError);
    return error as PeftError;
  }
  return expect.fail("nothing was thrown");
}

describe("targets", () => {
  const add = (options: ConstructorParameters<typeof LoraConfig>[0], kind: Kind = "llama"): PeftError =>
    refusal(() => new PeftModel(bases[kind]!).addAdapter("default", new LoraConfig(options)));

  it("that match nothing: the error lists what is there, and suggests", () => {
    const error = add({ targetModules: ["q_porj"] });
    expect(error).toMatchObject({
      code: "adapter-targets",
      what: 'No layer matches targetModules ["q_porj"].',
      fix: 'use targetModules: ["q_proj"] or "all-linear".',
    });
    for (const name of ["q_proj", "v_proj", "down_proj", "lm_head", "embed_tokens"])
      expect(error.why).toContain(name);
    expect(add({ targetModules: ["c_attn"] }, "t5").fix).toContain('["q", "v"]');
    expect(add({ targetModules: ".*nothing" }).code).toBe("adapter-targets");
  });

  it("that other options leave none of: the error says which", () => {
    const excluded = add({ targetModules: ["q_proj"], excludeModules: ["q_proj"] });
    expect(excluded.why).toContain("excludeModules");
    expect(add({ targetModules: ["q_proj"], layersToTransform: [7] }).why).toContain(
      "layersToTransform ([7])",
    );
  });

  it("that match in part: the error names those that no layer has", () => {
    const error = add({ targetModules: ["q_proj", "qq_proj", "wo"] });
    expect(error).toMatchObject({
      code: "adapter-targets",
      what: expect.stringContaining('["qq_proj","wo"]'),
    });
    expect(error.fix).toContain('["q_proj"');
  });

  it("that exist but are excluded: neither", async () => {
    const { warnings } = await adapted(
      bases.llama!,
      new LoraConfig({ targetModules: ["q_proj", "v_proj"], excludeModules: ["v_proj"] }),
    );
    expect(warnings).toEqual([]);
  });

  it("that the method cannot adapt", () => {
    const act = (): void =>
      new PeftModel(bases.llama!).addAdapter(
        "default",
        new IA3Config({ targetModules: ["k_proj", "embed_tokens"], feedforwardModules: [] }),
      );
    expect(refusal(act)).toMatchObject({
      code: "adapter-targets",
      what: expect.stringContaining("embed_tokens"),
    });
  });

  it("modulesToSave that name nothing: a warning", async () => {
    const config = new LoraConfig({ targetModules: ["q_proj"], modulesToSave: ["poler"] });
    const { warnings } = await adapted(bases.llama!, config);
    expect(warnings).toEqual([expect.stringContaining('["poler"] name no module')]);
  });

  it("token rows that do not exist", () => {
    expect(add({ trainableTokenIndices: [5, 96] }).what).toContain("the ids 96");
    expect(add({ trainableTokenIndices: { wte: [5] } }).why).toContain("model.embed_tokens");
  });
});

describe("a config", () => {
  it("for another task", () => {
    const model = new PeftModel(bases.llama!);
    const error = refusal(() => model.addAdapter("default", new LoraConfig({ taskType: "SEQ_CLS" })));
    expect(error).toMatchObject({ code: "adapter-config", what: expect.stringContaining("SEQ_CLS") });
    expect(model.adapters.size).toBe(0);
  });

  it("with an unknown method, or an unknown model: what is known is listed", () => {
    const model = new PeftModel(bases.llama!);
    const unknown = { peftType: "LORRA" } as AdapterConfig;
    expect(refusal(() => model.addAdapter("default", unknown))).toMatchObject({
      code: "unknown-method",
      why: expect.stringContaining("LORA"),
    });
    expect(refusal(() => specOf({ model_type: "gpt5" }, "CAUSAL_LM"))).toMatchObject({
      code: "unknown-model",
      why: expect.stringContaining("llama"),
    });
    expect(refusal(() => specOf({}, "CAUSAL_LM")).what).toContain("null");
  });

  it("a task that the model has no head for", async () => {
    const load = PreTrainedModel.load("TOKEN_CLS" as TaskType, folderOf("t5"));
    await expect(load).rejects.toMatchObject({
      code: "unknown-task",
      why: expect.stringContaining("SEQ_2_SEQ_LM"),
    });
  });

  it("no threads: said before anything is read", async () => {
    for (const threads of [0, -3, 1.5])
      await expect(PreTrainedModel.load("CAUSAL_LM", "/nowhere", { threads })).rejects.toMatchObject({
        code: "option",
        what: `threads is ${threads}.`,
      });
  });

  it("a device that is not there: said before anything is read, with those that are", async () => {
    const load = PreTrainedModel.load("CAUSAL_LM", "/nowhere", { device: "abacus" });
    await expect(load).rejects.toMatchObject({
      code: "engine",
      what: 'There is no device "abacus" here.',
      fix: expect.stringContaining('"cpu"'),
    });
  });

  it("a second adapter that trains biases is refused, and the model is as it was", async () => {
    const config = (): LoraConfig => new LoraConfig({ targetModules: ["query"], bias: "all" });
    const { model } = await adapted(bases.bert!, config());
    const before = await logitsOf(model, sampleBatch("bert"));
    expect(refusal(() => model.addAdapter("second", config()))).toMatchObject({ code: "adapter-config" });
    expect([...model.adapters.keys()]).toEqual(["default"]);
    expect(await logitsOf(model, sampleBatch("bert"))).toEqual(before);
  });

  it("prompts cannot be merged", async () => {
    const { model } = await adapted(bases.llama!, new PromptTuningConfig({ numVirtualTokens: 2 }));
    await expect(model.mergeAdapter()).rejects.toThrow(
      /\[adapter-config\].*cannot be merged.*virtual tokens/,
    );
  });
});

describe("an adapter's files", () => {
  async function saved(kind: Kind, config: AdapterConfig): Promise<string> {
    const { model } = await adapted(bases[kind]!, config);
    const folder = temporaryFolder();
    await model.savePretrained(folder);
    return folder;
  }
  const config = new LoraConfig({ r: 4, targetModules: ["q_proj", "v_proj"] });
  const json = (folder: string, change: Record<string, unknown>): void => {
    const path = join(folder, "adapter_config.json");
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }));
  };

  it("of another rank: every wrong shape at once, and the model is as it was", async () => {
    const folder = await saved("llama", config);
    json(folder, { r: 8 });
    const model = new PeftModel(bases.llama!);
    const loading = model.loadAdapter(folder, "default");
    const error = (await loading.catch((e) => e)) as PeftError;
    expect(error).toMatchObject({
      code: "adapter-mismatch",
      why: expect.stringContaining("8 tensors have another shape"),
    });
    for (const part of [
      "layers.0.self_attn.q_proj.lora_A",
      "layers.1.self_attn.v_proj.lora_B",
      "[4,32]",
      "[8,32]",
    ])
      expect(error.why).toContain(part);
    expect(model.adapters.size).toBe(0);
    await model.ready();
  });

  it("of another base: what it looks for and what is there", async () => {
    const folder = await saved("llama", config);
    const model = new PeftModel(bases.t5!);
    await expect(model.loadAdapter(folder, "default")).rejects.toThrow(/is for CAUSAL_LM.*for SEQ_2_SEQ_LM/);
    json(folder, { task_type: null });
    await expect(model.loadAdapter(folder, "default")).rejects.toMatchObject({
      code: "adapter-mismatch",
      why: expect.stringMatching(/q_proj.*t5 checkpoint names its layers/),
      fix: expect.stringContaining("models/llama"),
    });
  });

  it("with missing or unexpected keys: an error, or what loadAdapter returns", async () => {
    const folder = await saved("llama", config);
    json(folder, { target_modules: ["q_proj", "k_proj"] });
    const model = new PeftModel(bases.llama!);
    await expect(model.loadAdapter(folder, "default")).rejects.toMatchObject({
      code: "adapter-mismatch",
      why: expect.stringMatching(
        /4 tensors are missing: .*k_proj.*4 tensors belong to nothing here: .*v_proj/,
      ),
    });
    const keys = await model.loadAdapter(folder, "default", { strict: false });
    expect(keys.missing.every((key) => key.includes("k_proj"))).toBe(true);
    expect([keys.missing.length, keys.unexpected.length]).toEqual([4, 4]);
    await model.unload();
  });

  it("that are not there, or not JSON, or of an unknown kind", async () => {
    const folder = await saved("llama", config);
    const load = (at: string): Promise<unknown> => new PeftModel(bases.llama!).loadAdapter(at, "default");
    await expect(load(folderOf("llama"))).rejects.toMatchObject({
      code: "file-format",
      what: expect.stringContaining("holds no adapter"),
      why: expect.stringContaining("model.safetensors"),
    });
    const parent = temporaryFolder();
    mkdirSync(join(parent, "mine"));
    for (const name of readdirSync(folder)) copyFileSync(join(folder, name), join(parent, "mine", name));
    await expect(load(parent)).rejects.toMatchObject({ fix: expect.stringContaining("mine") });
    json(folder, { peft_type: "LOHA_X" });
    await expect(load(folder)).rejects.toMatchObject({ code: "unknown-method" });
    json(folder, { peft_type: "LORA", task_type: "CAUSAL" });
    await expect(load(folder)).rejects.toMatchObject({ code: "unknown-task" });
    json(folder, { task_type: null, r: 0 });
    await expect(load(folder)).rejects.toMatchObject({ code: "adapter-config" });
    writeFileSync(join(folder, "adapter_config.json"), "{");
    await expect(load(folder)).rejects.toMatchObject({ code: "file-format" });
    writeFileSync(join(folder, "adapter_config.json"), "null");
    await expect(load(folder)).rejects.toMatchObject({ code: "file-format" });
  });

  it("a prompt whose encoder was not saved cannot be trained further", async () => {
    const method = { peftType: "P_TUNING", numVirtualTokens: 2 };
    const { methodOf } = await import("../../src/attach/adapter_files.js");
    const folder = await saved(
      "llama",
      methodOf("P_TUNING").config.create({ numVirtualTokens: method.numVirtualTokens }),
    );
    const { rmSync } = await import("node:fs");
    rmSync(join(folder, "adapter_prompt_encoder.safetensors"));
    const model = await PeftModel.fromPretrained(bases.llama!, folder);
    expect((await model.forward(sampleBatch("llama"))).loss).toBeGreaterThan(0);
    await expect(model.forwardBackward(sampleBatch("llama"))).rejects.toThrow(
      /\[training\].*cannot be trained/,
    );
    await expect(PeftModel.fromPretrained(bases.llama!, folder, { isTrainable: true })).rejects.toThrow(
      /encoder/,
    );
    await model.unload();
  });

  it("a disk that fills while saving: the old files are whole, nothing half written", async () => {
    const folder = await saved("llama", config);
    const read = (): string =>
      readdirSync(folder)
        .map((n) => readFileSync(join(folder, n), "base64"))
        .join();
    const before = read();
    const at = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)));
    const script = join(temporaryFolder(), "save.ts");
    writeFileSync(
      script,
      `import { LoraConfig } from ${at("../../src/methods/index.ts")};
       import { PreTrainedModel } from ${at("../../src/peft/base_model.ts")};
       import { getPeftModel } from ${at("../../src/peft/get_peft_model.ts")};
       PreTrainedModel.load("CAUSAL_LM", ${JSON.stringify(folderOf("llama"))})
         .then((base) => getPeftModel(base, new LoraConfig({ r: 32, targetModules: "all-linear" })))
         .then((model) => model.savePretrained(${JSON.stringify(folder)}))
         .then(() => console.log("written"), (error) => console.log(error.code + ": " + error.why));`,
    );
    const tsx = fileURLToPath(import.meta.resolve("tsx"));
    const command = `ulimit -f 16; exec "${process.execPath}" --import "${tsx}" "${script}"`;
    const env = { ...process.env, TSX_DISABLE_CACHE: "1" };
    const { stdout } = await promisify(execFile)("bash", ["-c", command], { env });
    expect(stdout.trim()).toBe("output: the file would be larger than the system allows.");
    expect(read()).toBe(before);
  });
});

describe("a batch", () => {
  const run = (kind: Kind, change: (batch: Record<string, unknown>) => object): Promise<unknown> => {
    const batch = { ...sampleBatch(kind) } as unknown as Record<string, unknown>;
    return bases[kind]!.forward({ ...batch, ...change(batch) } as unknown as Inputs);
  };
  const rows = [
    [5, 7, 9],
    [4, 3, 2],
  ];

  it.each<[string, Kind, object, RegExp]>([
    [
      "token ids beyond the vocabulary",
      "llama",
      { inputIds: ids([[5, 96]]), attentionMask: ids([[1, 1]]), labels: ids([[5, 5]]) },
      /token id 96 is beyond the vocabulary of 96/,
    ],
    [
      "negative ids",
      "llama",
      { inputIds: ids([[5, -1]]), attentionMask: ids([[1, 1]]), labels: ids([[5, 5]]) },
      /token id -1/,
    ],
    [
      "decoder ids beyond the vocabulary",
      "t5",
      {
        decoderInputIds: ids([
          [0, 99],
          [0, 1],
        ]),
      },
      /token id 99/,
    ],
    ["labels beyond the vocabulary", "t5", { labels: ids([[96], [1]]) }, /label 96 is not one of 96/],
    ["labels beyond the classes", "bert", { labels: ids([[4], [0]]) }, /label 4 is not one of 4/],
    ["labels of another shape", "llama", { labels: ids([[5, 5]]) }, /labels are \[1,2\], not \[2,7\]/],
    ["another mask", "llama", { attentionMask: ids(rows) }, /attentionMask \[2,3\]/],
    ["no mask", "llama", { attentionMask: undefined }, /no attentionMask/],
    ["another task", "bert", { task: "TOKEN_CLS" }, /batch for TOKEN_CLS, the model is for SEQ_CLS/],
    [
      "labels that are all masked",
      "llama",
      { labels: ids([Array(7).fill(-100), Array(7).fill(-100)]) },
      /Every label of this batch is masked/,
    ],
    [
      "labels only where nothing predicts them",
      "llama",
      { labels: ids([[5, ...Array(6).fill(-100)], Array(7).fill(-100)]) },
      /masked/,
    ],
    ["classes that are all masked", "bert", { labels: ids([[-100], [-100]]) }, /masked/],
  ])("with %s", async (_, kind, change, message) => {
    await expect(run(kind, () => change)).rejects.toMatchObject({ code: "batch" });
    await expect(run(kind, () => change)).rejects.toThrow(message);
  });

  it("with everything wrong says everything", async () => {
    const change = { task: "SEQ_CLS", inputIds: ids([[5, 96]]) };
    await expect(run("llama", () => change)).rejects.toThrow(/batch for SEQ_CLS.*token id 96.*attentionMask/);
  });

  it("longer than the model's table of positions, virtual tokens included", async () => {
    const batch = batchOf("SEQ_CLS", [Array.from({ length: 64 }, () => 5)], ids([[1]])) as Inputs;
    expect((await bases.bert!.forward(batch)).loss).toBeGreaterThan(0);
    const { model } = await adapted(bases.bert!, new PromptTuningConfig({ numVirtualTokens: 2 }));
    await expect(model.forward(batch)).rejects.toThrow(
      /66 tokens long \(virtual ones included\) of 64 positions/,
    );
  });

  it("without labels has logits but no loss to train on", async () => {
    const { labels: _, ...batch } = sampleBatch("llama") as Inputs & { labels: unknown };
    expect((await bases.llama!.forward(batch as Inputs)).loss).toBeUndefined();
    const { model } = await adapted(bases.llama!, new LoraConfig());
    await expect(model.forwardBackward(batch as Inputs)).rejects.toMatchObject({ code: "batch" });
  });

  it("leaves the model usable", async () => {
    await expect(run("llama", () => ({ inputIds: ids([[96]]) }))).rejects.toThrow(PeftError);
    expect((await bases.llama!.forward(sampleBatch("llama"))).loss).toBeGreaterThan(0);
  });
});
