import { spawnSync } from "node:child_process";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AdamW,
  getPeftModel,
  IA3Config,
  LoraConfig,
  methods,
  PeftModel,
  PrefixTuningConfig,
  PreTrainedModel,
  PromptEncoderConfig,
  PromptTuningConfig,
  type TaskType,
  type TextBatch,
} from "../../src/index.js";
import { below, random } from "../../src/random.js";
import { readTensors } from "../conformance/tensors.js";

/**
 * Both ways with Python: an adapter trained here is loaded there and gives the same logits; one trained there
 * is continued here, saved, and loaded there; merged folders load in transformers. node --import tsx
 * tools/interop/main.ts
 */
const WITHIN = 1e-4;
const python = process.env["PEFT_PYTHON"] ?? "/tmp/ref/bin/python";
const kit = join(import.meta.dirname, "../../tests/kit/models");
const work = mkdtempSync(join(tmpdir(), "peft-interop-"));

type Config = ConstructorParameters<typeof PeftModel>[0] extends never
  ? never
  : Parameters<typeof getPeftModel>[1];

interface Case {
  readonly name: string;
  readonly model: string;
  readonly task: TaskType;
  readonly config: () => Config;
  /** The same for Python's get_peft_config; undefined: cannot be continued from Python's file. */
  readonly python: Record<string, unknown> | undefined;
  readonly mergeable: boolean;
}

const lora = { peft_type: "LORA", r: 4, lora_alpha: 8, init_lora_weights: false };
const CASES: readonly Case[] = [
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "lora",
    config: () => new LoraConfig({ r: 4, loraAlpha: 8 }),
    python: lora,
    mergeable: true,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "dora",
    config: () => new LoraConfig({ r: 4, useDora: true }),
    python: { ...lora, use_dora: true },
    mergeable: true,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "rslora all-linear",
    config: () => new LoraConfig({ r: 4, useRslora: true, targetModules: "all-linear" }),
    python: { ...lora, use_rslora: true, target_modules: "all-linear" },
    mergeable: true,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "lora pissa",
    config: () => new LoraConfig({ r: 4, initLoraWeights: "pissa" }),
    python: { ...lora, init_lora_weights: "pissa" },
    mergeable: true,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "ia3",
    config: () => new IA3Config({}),
    python: { peft_type: "IA3" },
    mergeable: true,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "prompt",
    config: () => new PromptTuningConfig({ numVirtualTokens: 4 }),
    python: { peft_type: "PROMPT_TUNING", num_virtual_tokens: 4 },
    mergeable: false,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "prefix",
    config: () => new PrefixTuningConfig({ numVirtualTokens: 4 }),
    python: { peft_type: "PREFIX_TUNING", num_virtual_tokens: 4 },
    mergeable: false,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "prefix projection",
    config: () =>
      new PrefixTuningConfig({ numVirtualTokens: 4, prefixProjection: true, encoderHiddenSize: 16 }),
    python: undefined,
    mergeable: false,
  },
  {
    model: "llama",
    task: "CAUSAL_LM",
    name: "p-tuning lstm",
    config: () =>
      new PromptEncoderConfig({
        numVirtualTokens: 4,
        encoderHiddenSize: 12,
        encoderReparameterizationType: "LSTM",
      }),
    python: undefined,
    mergeable: false,
  },
  {
    model: "t5",
    task: "SEQ_2_SEQ_LM",
    name: "lora",
    config: () => new LoraConfig({ r: 4, loraAlpha: 8 }),
    python: lora,
    mergeable: true,
  },
  {
    model: "mt5",
    task: "SEQ_2_SEQ_LM",
    name: "ia3",
    config: () => new IA3Config({}),
    python: { peft_type: "IA3" },
    mergeable: true,
  },
  {
    model: "t5",
    task: "SEQ_2_SEQ_LM",
    name: "prefix",
    config: () => new PrefixTuningConfig({ numVirtualTokens: 4 }),
    python: { peft_type: "PREFIX_TUNING", num_virtual_tokens: 4 },
    mergeable: false,
  },
  {
    model: "t5",
    task: "SEQ_2_SEQ_LM",
    name: "p-tuning",
    config: () => new PromptEncoderConfig({ numVirtualTokens: 4, encoderHiddenSize: 12 }),
    python: undefined,
    mergeable: false,
  },
  {
    model: "bert",
    task: "SEQ_CLS",
    name: "lora bias all",
    config: () => new LoraConfig({ r: 4, bias: "all" }),
    python: { ...lora, bias: "all" },
    mergeable: true,
  },
  {
    model: "bert-token_cls",
    task: "TOKEN_CLS",
    name: "prompt",
    config: () => new PromptTuningConfig({ numVirtualTokens: 4 }),
    python: undefined,
    mergeable: false,
  },
  ...Object.entries({
    ADALORA: { init_r: 4, target_r: 2, total_step: 10, tinit: 1, tfinal: 1, lora_alpha: 8 },
    BOFT: { boft_block_size: 4 },
    C3A: { block_size: 8 },
    DELORA: { r: 4 },
    FOURIERFT: { n_frequency: 20 },
    GRALORA: { r: 4 },
    HIRA: { r: 4 },
    HRA: { r: 4 },
    LN_TUNING: {},
    LOHA: { r: 4 },
    LOKR: { r: 4 },
    MISS: { r: 4 },
    OFT: { oft_block_size: 8 },
    RANDLORA: { r: 4 },
    ROAD: { group_size: 8 },
    SHIRA: { r: 2, random_seed: 3 },
    ADAPTION_PROMPT: { adapter_len: 3, adapter_layers: 1 },
    TRAINABLE_TOKENS: { token_indices: [5, 7, 11] },
    VBLORA: { r: 2, num_vectors: 8, vector_length: 8 },
    VERA: { r: 8, save_projection: false },
  }).map(([peftType, options]): Case => {
    const targets = ["LN_TUNING", "TRAINABLE_TOKENS", "ADAPTION_PROMPT"].includes(peftType)
      ? {}
      : { target_modules: ["q_proj", "o_proj"] };
    const python = { peft_type: peftType, ...targets, ...options };
    const method = methods.find((m) => m.config.peftType === peftType)!;
    const config = (): Config => method.config.create({ ...targets, ...options });
    return {
      model: "llama",
      task: "CAUSAL_LM",
      name: method.name,
      config,
      python,
      mergeable: method.attention === undefined,
    };
  }),
];

type Json = Record<string, number[] | number[][]>;

function makeBatch(task: TaskType): { ours: TextBatch; theirs: Json } {
  const next = random(5);
  const [rows, seq] = [3, 10];
  const draw = (n: number): number[] => Array.from({ length: n }, () => 4 + below(next, 90));
  const inputIds = Array.from({ length: rows }, () => draw(seq));
  const mask = inputIds.map((row, i) => row.map((_, j) => (j < seq - i ? 1 : 0)));
  const labels =
    task === "SEQ_CLS"
      ? [0, 2, 1]
      : task === "SEQ_2_SEQ_LM"
        ? Array.from({ length: rows }, () => draw(6))
        : task === "TOKEN_CLS"
          ? inputIds.map((row) => row.map((id) => id % 4))
          : inputIds.map((row, i) => row.map((id, j) => (mask[i]![j] === 1 ? id : -100)));
  const flat = (x: readonly number[][]): { data: Int32Array; shape: [number, number] } => ({
    data: Int32Array.from(x.flat()),
    shape: [x.length, x[0]!.length],
  });
  const columns = Array.isArray(labels[0]) ? (labels as number[][]) : (labels as number[]).map((l) => [l]);
  const ours = { task, inputIds: flat(inputIds), attentionMask: flat(mask), labels: flat(columns) };
  return {
    ours: ours as unknown as TextBatch,
    theirs: { input_ids: inputIds, attention_mask: mask, labels: labels as number[][] },
  };
}

interface Comparison {
  readonly label: string;
  readonly ours: Float32Array;
  readonly out: string;
  readonly counts: (i: number, size: number) => boolean;
}

const jobs: object[] = [];
const comparisons: Comparison[] = [];

function runPython(list: readonly object[], file: string): void {
  writeFileSync(join(work, file), JSON.stringify(list));
  const { status, stderr } = spawnSync(
    python,
    [join(import.meta.dirname, "reference.py"), join(work, file)],
    { encoding: "utf8" },
  );
  if (status !== 0) throw new Error(stderr.slice(-3000));
}

async function expectSame(
  c: Case,
  label: string,
  model: PeftModel | PreTrainedModel,
  base: string,
  adapter: string | null,
): Promise<void> {
  const { ours, theirs } = makeBatch(c.task);
  const { logits } = await model.forward(ours as never);
  const out = join(work, `${comparisons.length}.safetensors`);
  const mask = ours.attentionMask.data;
  const [rows, seq] = ours.attentionMask.shape;
  const counts = (i: number, size: number): boolean => {
    if (c.task === "SEQ_CLS" || c.task === "SEQ_2_SEQ_LM") return true;
    const width = logits.shape[2]!;
    const at = Math.floor(i / width) % (size / rows / width);
    const before = size / rows / width - seq;
    return at < before || mask[Math.floor(i / (size / rows)) * seq + at - before] === 1;
  };
  const batch =
    c.task === "TOKEN_CLS"
      ? { input_ids: theirs["input_ids"], attention_mask: theirs["attention_mask"] }
      : theirs;
  jobs.push({ kind: "logits", base, adapter, task: c.task, batch, out });
  comparisons.push({ label: `${c.model} ${c.name}: ${label}`, ours: logits.data, out, counts });
}

async function trainSteps(model: PeftModel, task: TaskType, steps: number): Promise<void> {
  const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-2 });
  const { ours } = makeBatch(task);
  for (let i = 0; i < steps; i++) {
    await model.forwardBackward(ours as never);
    await optimizer.step();
    model.updateAndAllocate(i + 1);
  }
}

const theirJobs = CASES.flatMap((c, i) =>
  c.python === undefined
    ? []
    : [
        {
          ...{ kind: "train", base: join(kit, c.model), task: c.task, steps: 4, bin: i % 2 === 0 },
          config: { ...c.python, task_type: c.task, inference_mode: false },
          batch: makeBatch(c.task).theirs,
          out: join(work, `theirs-${i}`),
        },
      ],
);
runPython(theirJobs, "train.json");
for (const [i, c] of CASES.entries()) {
  const folder = join(kit, c.model);
  const base = await PreTrainedModel.load(c.task, folder);
  const model = getPeftModel(base as PreTrainedModel, c.config());
  await trainSteps(model, c.task, 4);
  await model.savePretrained(join(work, `ours-${i}`));
  await expectSame(c, "trained here, loaded there", model, folder, join(work, `ours-${i}`));
  if (c.mergeable) {
    const merged = join(work, `merged-${i}`);
    const plain = await model.mergeAndUnload();
    await plain.savePretrained(merged);
    await expectSame(c, "merged here, loaded by transformers", plain, merged, null);
  }
  await base.close();
  if (c.python === undefined) continue;
  const fresh = await PreTrainedModel.load(c.task, folder);
  const theirs = await PeftModel.fromPretrained(fresh as PreTrainedModel, join(work, `theirs-${i}`), {
    isTrainable: true,
  });
  await expectSame(c, "trained there, loaded here", theirs, folder, join(work, `theirs-${i}`));
  await trainSteps(theirs, c.task, 3);
  await theirs.savePretrained(join(work, `continued-${i}`));
  await expectSame(
    c,
    "trained there, continued here, loaded there",
    theirs,
    folder,
    join(work, `continued-${i}`),
  );
  await fresh.close();
}
runPython(jobs, "logits.json");
let failed = 0;
for (const { label, ours, out, counts } of comparisons) {
  const expected = (await readTensors(out)).get("logits")!.data;
  let worst = ours.length === expected.length ? 0 : Number.POSITIVE_INFINITY;
  for (let i = 0; i < expected.length; i++)
    if (counts(i, expected.length))
      worst = Math.max(worst, Math.abs(ours[i]! - expected[i]!) / Math.max(1, Math.abs(expected[i]!)));
  if (!(worst <= WITHIN)) failed++;
  console.log(`${worst <= WITHIN ? "same  " : "DIFFER"} ${label}: ${worst.toExponential(1)}`);
}
console.log(`${comparisons.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
