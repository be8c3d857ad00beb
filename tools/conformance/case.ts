import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { methods } from "../../src/adapters/index.js";
import { architectures } from "../../src/models/index.js";
import type { TaskType } from "../../src/models/model.js";
import { readAdapterConfig } from "../../src/peft/adapter_files.js";
import { attach } from "../../src/peft/attach.js";
import { PreTrainedModel, specOf } from "../../src/peft/base_model.js";
import type { Inputs } from "../../src/peft/feeds.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { takeInventory } from "../../src/peft/write.js";
import { AdamW } from "../../src/train/adamw.js";
import { batchOf, featureLoss } from "./batches.js";
import type { Check, KitTensor, Numbers } from "./tensors.js";
import { compare, compareToLargest, exact, readTensors } from "./tensors.js";

interface CaseFile {
  readonly model: string;
  readonly task: TaskType | null;
  readonly method: string;
  readonly peft_type: string;
  readonly trainable: number;
  readonly total: number;
  readonly parameters_without_gradient: readonly string[];
  readonly generation: { max_new_tokens: number; min_new_tokens: number; eos_token_id: number[] };
  readonly tolerance: { readonly grad?: number; readonly firm?: number };
}

/** A case's checks, or why it is not covered. */
export type CaseResult = { readonly checks: readonly Check[] } | { readonly notCovered: string };

const STRATEGIES: Readonly<Record<string, object>> = {
  greedy: {},
  beam: { numBeams: 3 },
  penalties: { repetitionPenalty: 1.5, noRepeatNgramSize: 2 },
  "beam-penalties": {
    numBeams: 4,
    lengthPenalty: 0.5,
    earlyStopping: true,
    noRepeatNgramSize: 2,
    repetitionPenalty: 1.3,
    numReturnSequences: 2,
  },
  "beam-long": { numBeams: 3, lengthPenalty: 2.0, earlyStopping: false },
};

function json<T>(path: string): T {
  return JSON.parse(readFileSync(path, "utf8")) as T;
}

interface Context {
  readonly folder: string;
  readonly kit: string;
  readonly file: CaseFile;
  readonly task: TaskType;
  readonly expect: Map<string, KitTensor>;
  readonly checks: Check[];
  readonly unchecked: Set<string>;
  readonly batch: Inputs;
}

/** Runs one folder of cases/. */
export async function runCase(kit: string, name: string): Promise<CaseResult> {
  const folder = join(kit, "cases", name);
  const file = json<CaseFile>(join(folder, "case.json"));
  const config = json<{ model_type: string }>(join(kit, file.model, "config.json"));
  if (!architectures.some((a) => a.modelTypes.includes(config.model_type)))
    return { notCovered: `model_type "${config.model_type}"` };
  if (!methods.some((m) => m.peftType === file.peft_type))
    return { notCovered: `peft_type "${file.peft_type}"` };
  const expect = await readTensors(join(folder, "expect.safetensors"));
  const task = file.task!;
  const batch = batchOf(expect, "input.", task);
  const unchecked = new Set([...expect.keys()].filter((k) => !/^(input|second)\.(?!logits)/.test(k)));
  const c: Context = { folder, kit, file, task, expect, checks: [], unchecked, batch };
  await checkCounts(c);
  const base = await PreTrainedModel.load(task, join(kit, file.model));
  try {
    await checkForward(c, "base", (b, o) => base.forward(b, o));
    const model = await loadForTraining(c, base);
    await checkAdapter(c, model);
  } finally {
    await base.close();
  }
  for (const key of c.unchecked) c.checks.push(exact(key, false, "not checked"));
  return { checks: c.checks };
}

function done(c: Context, check: Check, key: string = check.key): void {
  c.checks.push(check);
  c.unchecked.delete(key);
}

/** trainable and total from config.json alone. */
async function checkCounts(c: Context): Promise<void> {
  const spec = specOf(json(join(c.kit, c.file.model, "config.json")), c.task);
  const inventory = takeInventory(spec);
  const { method, config } = await readAdapterConfig(c.folder);
  const { adapter } = attach("default", method, config, spec, inventory, { seed: 0 });
  const base = [...inventory.weights.values()].reduce((n, s) => n + s.reduce((a, b) => a * b, 1), 0);
  const trainable = adapter.parameters.size;
  const total = base + adapter.addedSize;
  c.checks.push(exact("trainable", trainable === c.file.trainable, `${trainable}, not ${c.file.trainable}`));
  c.checks.push(exact("total", total === c.file.total, `${total}, not ${c.file.total}`));
}

/** Loads the adapter; prompt methods get their encoder's own weights, and must yield the saved rows. */
async function loadForTraining(c: Context, base: PreTrainedModel): Promise<PeftModel> {
  const model = await PeftModel.fromPretrained(base, c.folder);
  const adapter = model.activeAdapter;
  if (adapter.method?.prompt === undefined) return model;
  const saved = (await readTensors(join(c.folder, "adapter_model.safetensors"))).get("prompt_embeddings")!;
  if (adapter.prompt === "stored") {
    const virtual = { method: adapter.method, config: adapter.config };
    const { adapter: whole } = attach(
      "default",
      virtual.method,
      virtual.config,
      base.spec,
      base.runtime.weights.inventory,
      { seed: 0 },
    );
    for (const entry of adapter.entries.values())
      if (whole.entries.has(entry.key)) whole.entry(entry.key).data.set(entry.data);
    whole.loadedJson = adapter.loadedJson;
    whole.loadedFloats = adapter.loadedFloats;
    model.adapters.set("default", whole);
    await checkForward(
      c,
      "adapted",
      (b, o) => PeftModel.prototype.forward.call(modelWith(base, adapter), b, o),
      "stored prompt: ",
    );
  }
  const trained = model.activeAdapter;
  for (const [key, t] of c.expect)
    if (key.startsWith("encoder.")) {
      trained.entry(`prompt_encoder.${key.slice("encoder.".length)}`).data.set(t.data);
      c.unchecked.delete(key);
    }
  trained.touch();
  const rows = await model.promptEmbeddings("default");
  c.checks.push(compare("encoder -> prompt_embeddings", rows!, saved, 1e-5));
  return model;
}

function modelWith(base: PreTrainedModel, adapter: PeftModel["activeAdapter"]): PeftModel {
  const model = new PeftModel(base);
  model.adapters.set(adapter.name, adapter);
  model.setAdapter(adapter.name);
  return model;
}

type Forward = (
  batch: Inputs,
  options: { loss?: typeof featureLoss },
) => Promise<{ logits: Numbers; loss: number | undefined }>;

function lossOption(c: Context): { loss?: typeof featureLoss } {
  return c.task === "FEATURE_EXTRACTION" ? { loss: featureLoss } : {};
}

/** Question answering: [batch, total, 2] -> start logits, then end logits. */
function kitLogits(c: Context, { data, shape }: Numbers): Numbers {
  if (c.task !== "QUESTION_ANS") return { data, shape };
  const [rows, total] = shape as [number, number];
  const out = new Float64Array(rows * total * 2);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < total; j++)
      for (let k = 0; k < 2; k++) out[(i * 2 + k) * total + j] = data[(i * total + j) * 2 + k]!;
  return { data: out, shape: [rows, total * 2] };
}

/** Positions where logits count: real tokens and virtual ones. */
function counted(c: Context, expected: KitTensor): ((i: number) => boolean) | undefined {
  if (c.task === "SEQ_CLS" || c.task === "SEQ_2_SEQ_LM") return undefined;
  const { data, shape } = c.batch.attentionMask;
  const [rows, seq] = shape;
  const total = c.task === "QUESTION_ANS" ? expected.shape[1]! / 2 : expected.shape[1]!;
  const width = expected.data.length / rows / total;
  const before = total - seq;
  return (i) => {
    const row = Math.floor(i / (total * width));
    const at = c.task === "QUESTION_ANS" ? i % total : Math.floor(i / width) % total;
    return at < before || data[row * seq + at - before] === 1;
  };
}

async function checkForward(c: Context, what: string, forward: Forward, label = ""): Promise<void> {
  const { logits, loss } = await forward(c.batch, lossOption(c));
  const expected = c.expect.get(`${what}.logits`)!;
  const check = compare(`${label}${what}.logits`, kitLogits(c, logits), expected, 1e-4, counted(c, expected));
  done(c, check, `${what}.logits`);
  const scalar = { shape: c.expect.get(`${what}.loss`)!.shape, data: [loss!] };
  done(c, compare(`${label}${what}.loss`, scalar, c.expect.get(`${what}.loss`)!, 1e-4), `${what}.loss`);
}

async function checkAdapter(c: Context, model: PeftModel): Promise<void> {
  await checkSaved(c, model);
  await checkForward(c, "adapted", (b, o) => model.forward(b, o));
  const second = batchOf(c.expect, "second.", c.task);
  const secondLogits = kitLogits(c, (await model.forward(second)).logits);
  done(c, compare("second.logits", secondLogits, c.expect.get("second.logits")!, 1e-4));
  await checkGradients(c, model);
  for (const [label, extra] of Object.entries(STRATEGIES))
    if (c.expect.has(`generate.${label}`)) await checkGenerate(c, model, label, extra);
  if (c.expect.has("merged.logits")) await checkMerged(c, model);
  const start = [...model.activeAdapter.entries.values()].map((e) => e.data.slice());
  await checkTraining(c, model, "train", 3, { lr: 1e-2, weightDecay: 0.01 });
  for (const [i, e] of [...model.activeAdapter.entries.values()].entries()) e.data.set(start[i]!);
  model.activeAdapter.touch();
  await checkTraining(c, model, "firm", 5, { lr: 1e-2, betas: [0.8, 0.95], eps: 1e-3, weightDecay: 0.1 });
  checkTrained(c, model);
}

/** The name a tensor has in the kit: as Python's named_parameters, without the adapter's name. */
function kitName(model: PeftModel, key: string): string {
  const adapter = model.activeAdapter;
  if (key.startsWith("prompt_encoder.")) return key;
  const prefix = adapter.method?.prompt === undefined ? "base_model.model." : "base_model.";
  if (key.endsWith(".lora_magnitude_vector")) return `${prefix}${key}.weight`;
  const isModule = adapter.replaced.has(key) && adapter.replaced.has(key.replace(/\.\w+$/, ".weight"));
  return prefix + (isModule ? key.replace(/\.(\w+)$/, ".modules_to_save.$1") : key);
}

async function checkGradients(c: Context, model: PeftModel): Promise<void> {
  const parameters = model.trainableParameters();
  parameters.zero();
  await model.forwardBackward(c.batch, { ...lossOption(c), training: false });
  for (const [i, p] of parameters.list.entries()) {
    const name = kitName(model, p.name);
    const expected = c.expect.get(`grad.${name}`);
    const data = parameters.gradientOf(i).map((x) => x / parameters.count);
    if (expected === undefined) {
      const none = c.file.parameters_without_gradient.includes(name);
      c.checks.push(
        exact(`grad.${name}`, none && data.every((x) => x === 0), "a gradient where Python has none"),
      );
    } else
      done(
        c,
        compareToLargest(
          `grad.${name}`,
          { shape: p.shape, data },
          expected,
          c.file.tolerance.grad ?? 1e-4,
          1e-6,
        ),
      );
  }
  parameters.zero();
}

async function checkGenerate(c: Context, model: PeftModel, label: string, extra: object): Promise<void> {
  const rows = ({ data, shape }: { data: Int32Array; shape: readonly number[] }): number[][] =>
    Array.from({ length: shape[0]! }, (_, i) => [...data.subarray(i * shape[1]!, (i + 1) * shape[1]!)]);
  const {
    max_new_tokens: maxNewTokens,
    min_new_tokens: minNewTokens,
    eos_token_id: eosTokenId,
  } = c.file.generation;
  const prompts = { inputIds: rows(c.batch.inputIds), attentionMask: rows(c.batch.attentionMask) };
  const got = await model.generate(prompts, {
    maxNewTokens,
    minNewTokens,
    eosTokenId,
    doSample: false,
    ...extra,
  });
  const expected = rows({
    ...c.expect.get(`generate.${label}`)!,
    data: Int32Array.from(c.expect.get(`generate.${label}`)!.data),
  });
  const equal = JSON.stringify(got) === JSON.stringify(expected);
  done(c, exact(`generate.${label}`, equal, `${JSON.stringify(got)}, not ${JSON.stringify(expected)}`));
}

async function checkMerged(c: Context, model: PeftModel): Promise<void> {
  await model.mergeAdapter();
  const { logits } = await model.forward(c.batch);
  const expected = c.expect.get("merged.logits")!;
  done(c, compare("merged.logits", kitLogits(c, logits), expected, 1e-4, counted(c, expected)));
  const key = [...c.expect.keys()].find((k) => k.startsWith("merged.weight."))!;
  const name = key.slice("merged.weight.".length).replace(".token_adapter.weight", ".weight");
  const shape = model.base.runtime.weights.inventory.weights.get(name) ?? [];
  done(c, compare(key, { shape, data: await model.base.runtime.weight(name) }, c.expect.get(key)!, 1e-4));
  await model.unmergeAdapter();
}

async function checkTraining(
  c: Context,
  model: PeftModel,
  label: "train" | "firm",
  steps: number,
  options: ConstructorParameters<typeof AdamW>[1],
): Promise<void> {
  const optimizer = new AdamW(model.trainableParameters(), options);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    losses.push((await model.forwardBackward(c.batch, { ...lossOption(c), training: false })).loss);
    await optimizer.step();
  }
  const within = label === "firm" ? (c.file.tolerance.firm ?? 1e-4) : 1e-4;
  done(
    c,
    compare(`${label}.losses`, { shape: [steps], data: losses }, c.expect.get(`${label}.losses`)!, within),
  );
}

function checkTrained(c: Context, model: PeftModel): void {
  for (const entry of model.activeAdapter.entries.values()) {
    const key = `firm.trained.${kitName(model, entry.key)}`;
    const expected = c.expect.get(key);
    if (expected !== undefined)
      done(c, compareToLargest(key, entry, expected, c.file.tolerance.firm ?? 1e-4, 1e-6));
  }
}

/** Saves the loaded adapter again: keys, shapes, values, JSON. */
async function checkSaved(c: Context, model: PeftModel): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "peft-conformance-"));
  try {
    await model.savePretrained(folder);
    const before = await readTensors(join(c.folder, "adapter_model.safetensors"));
    const after = await readTensors(join(folder, "adapter_model.safetensors"));
    const keys = (m: Map<string, KitTensor>): string => [...m.keys()].sort().join();
    c.checks.push(exact("saved keys", keys(before) === keys(after), `${keys(after)}, not ${keys(before)}`));
    for (const [key, t] of before) {
      const again = after.get(key);
      const within = key === "prompt_embeddings" ? 1e-5 : 0;
      const same =
        again !== undefined &&
        `${again.shape}` === `${t.shape}` &&
        t.data.every((x, i) => Math.abs(x - again.data[i]!) <= within * Math.max(1, Math.abs(x)));
      if (!same) c.checks.push(exact(`saved ${key}`, false, "values differ"));
    }
    const config = (f: string): string => JSON.stringify(sorted(json(join(f, "adapter_config.json"))));
    c.checks.push(
      exact("saved JSON", config(c.folder) === config(folder), `${config(folder)}, not ${config(c.folder)}`),
    );
  } finally {
    await rm(folder, { recursive: true });
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([k, v]) => [k, sorted(v)]),
  );
}
