import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Adapter } from "../../src/adapters/adapter.js";
import { toCamelName } from "../../src/hub/names.js";
import { openSafetensors } from "../../src/hub/tensors/safetensors.js";
import { IA3Config, LoraConfig, TrainableTokensConfig } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { Inputs } from "../../src/trace/feeds.js";
import { batchOf, folderOf, ids, loadBase, temporaryFolder } from "./kit.js";

// Adapters on embeddings and heads that share one weight, or do not: case by case as Python's PEFT has them
// (tools/golden/tied.py).
type Digest = readonly [sum: number, norm: number, ordered: number];
interface Failed {
  readonly error: string;
}
interface Case {
  readonly model: string;
  readonly peft_type: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly trainable: number;
  readonly loss: number;
  readonly logits: Digest;
  readonly grad: Readonly<Record<string, Digest>>;
  readonly saved: { readonly keys: readonly string[]; readonly config: Readonly<Record<string, unknown>> };
  readonly reloaded: Digest;
  readonly merged: Failed | { readonly logits: Digest; readonly tied: boolean };
}
interface Golden {
  readonly ids: number[][];
  readonly labels: number[][];
  readonly cases: Readonly<Record<string, Case | Failed>>;
}
const golden = JSON.parse(readFileSync(join(import.meta.dirname, "../golden/tied.json"), "utf8")) as Golden;
const cases = Object.entries(golden.cases);

/**
 * Where Python computes, and is wrong: T5 and BART do not read the table that "shared" is, and T5 v1.1 is not
 * tied.
 */
const REFUSED = {
  "stands on":
    /^(t5|t5-v1_1|bart): (save (embed|both)|lora (embed|both)|lora embed, save head|lora head, save embed|ia3 save both|tokens differing|lora head, tied)(, tied)?$|^t5-v1_1: (tokens|method tokens) both/,
  "steps such an adapter twice": /^(qwen2|gpt2): lora (head|both), tied$|^qwen2: lora embed, tied$/,
  "head has weights of its own": /^t5-v1_1: (tokens (list|embed)(, tied)?|method tokens (default|embed))$/,
} as const;

const bases = new Map<string, PreTrainedModel>();
const models = [...new Set(cases.map(([name]) => name.split(":")[0]!))];
const taskOf = (model: string): "SEQ_2_SEQ_LM" | "CAUSAL_LM" =>
  /^(t5|bart)/.test(model) ? "SEQ_2_SEQ_LM" : "CAUSAL_LM";
beforeAll(async () => {
  for (const model of models)
    bases.set(model, (await loadBase(taskOf(model), model)) as unknown as PreTrainedModel);
});
afterAll(async () => {
  for (const base of bases.values()) await base.close();
});

function batch(model: string): Inputs {
  return batchOf(taskOf(model), golden.ids, ids(golden.labels)) as Inputs;
}

/** The formula of tools/golden/tied.py. */
function fill(adapter: Adapter): void {
  for (const entry of adapter.entries.values()) {
    if (entry.frozen) continue;
    const h = [...(entry.savedKey ?? "")].reduce((n, c) => n + c.charCodeAt(0), 0) % 101;
    entry.data.forEach((_, i) => {
      entry.data[i] = 0.2 * Math.sin(1.3 * i + h);
    });
  }
  adapter.state.touch();
}

function digest(x: ArrayLike<number>): Digest {
  let [sum, squares, ordered] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    sum += x[i]!;
    squares += x[i]! ** 2;
    ordered += x[i]! * Math.cos(i);
  }
  return [sum, Math.sqrt(squares), ordered];
}

function near(actual: Digest, expected: Digest, what: string): void {
  const within = 1e-4 * Math.max(0.1, expected[1]);
  for (const i of [0, 1, 2] as const)
    expect(Math.abs(actual[i] - expected[i]), `${what}: ${actual}, not ${expected}`).toBeLessThan(within);
}

function isNear(a: Digest, b: Digest): boolean {
  return a.every((x, i) => Math.abs(x - b[i]!) < 1e-3 * Math.max(0.1, b[1]));
}

function configOf({ peft_type, options }: Pick<Case, "peft_type" | "options">): AdapterConfig {
  const camel = Object.fromEntries(Object.entries(options).map(([k, v]) => [toCamelName(k), v]));
  if (peft_type === "IA3Config") return new IA3Config(camel);
  return peft_type === "LoraConfig" ? new LoraConfig(camel) : new TrainableTokensConfig(camel);
}

async function logitsOf(model: PeftModel | PreTrainedModel, kind: string): Promise<Digest> {
  return digest((await model.forward(batch(kind))).logits.data);
}

async function open(name: string, expected: Case): Promise<PeftModel> {
  const model = new PeftModel(bases.get(name.split(":")[0]!)!, () => undefined);
  model.addAdapter("default", configOf(expected));
  await model.ready();
  return model;
}

const refusal = (name: string, c: Case | Failed): string | undefined =>
  "error" in c ? "" : Object.entries(REFUSED).find(([, cases]) => cases.test(name))?.[0];

describe("where Python fails or is wrong", () => {
  it.each(cases.filter(([name, c]) => refusal(name, c) !== undefined))("%s is refused", async (name, c) => {
    const opened = open(name, c as Case);
    await expect(opened).rejects.toMatchObject({ code: "adapter-config" });
    const text = await opened.catch((error: Error) => error.message);
    expect(text).toContain(refusal(name, c));
    expect(bases.get((c as Case).model)!.numParameters()).toBeGreaterThan(0);
  });
});

describe.each(cases.filter(([name, c]) => refusal(name, c) === undefined) as [string, Case][])(
  "%s",
  (name, c) => {
    it("has Python's numbers and files, and merges where Python is right", async () => {
      const folder = temporaryFolder();
      const model = await open(name, c);
      try {
        fill(model.activeAdapter);
        expect(model.getNbTrainableParameters().trainable).toBe(c.trainable);
        near(await logitsOf(model, c.model), c.logits, "logits");
        const parameters = model.trainableParameters();
        const { loss, count } = await model.forwardBackward(batch(c.model), { training: false });
        expect(loss).toBeCloseTo(c.loss, 4);
        const names = new Map([...model.activeAdapter.entries.values()].map((e) => [e.key, e.savedKey!]));
        const seen = parameters.list.map((p, i) => [names.get(p.name)!, parameters.gradientOf(i)] as const);
        expect(seen.map(([key]) => key)).toEqual(expect.arrayContaining(Object.keys(c.grad)));
        for (const [key, gradient] of seen)
          if (key in c.grad) near(digest(gradient.map((x) => x / count)), c.grad[key]!, key);
        parameters.zero();
        await model.savePretrained(folder);
        const { tensors } = await openSafetensors(join(folder, "adapter_model.safetensors"));
        const atEnds = [...tensors.keys()].filter((key) => /lm_head|embed_tokens|wte|shared/.test(key));
        expect(atEnds.sort()).toEqual(c.saved.keys);
        const json = JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"));
        for (const [field, value] of Object.entries(c.saved.config)) {
          const sorted = (x: unknown): unknown =>
            Array.isArray(x) && field.endsWith("modules") ? x.toSorted() : x;
          expect([field, sorted(json[field] ?? null)]).toEqual([field, sorted(value)]);
        }
        await model.loadAdapter(folder, "again");
        model.setAdapter("again");
        near(await logitsOf(model, c.model), c.reloaded, "loaded again");
        model.setAdapter("default");
        model.deleteAdapter("again");
        await merges(model, c);
      } finally {
        await model.unload();
      }
    });
  },
);

/**
 * Merging leaves the model as it was, in place and as a folder of its own; where Python's does not, it is
 * refused.
 */
async function merges(model: PeftModel, { merged, logits, model: kind }: Case): Promise<void> {
  if ("error" in merged || !isNear(merged.logits, logits)) {
    await expect(model.mergeAdapter()).rejects.toThrow(/\[adapter-config\].*cannot be merged.*tied/s);
    await expect(model.saveMerged(temporaryFolder())).rejects.toThrow(/\[adapter-config\].*tied/s);
    return;
  }
  const before = await model.disableAdapter(() => logitsOf(model, kind));
  await model.mergeAdapter();
  near(await logitsOf(model, kind), logits, "merged");
  await model.unmergeAdapter();
  near(await model.disableAdapter(() => logitsOf(model, kind)), before, "unmerged");
  near(await logitsOf(model, kind), logits, "with the adapter after unmerging");
  const folder = temporaryFolder();
  await model.saveMerged(folder);
  const { tie_word_embeddings: tied } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  expect(tied).toBe(merged.tied);
  const plain = await PreTrainedModel.load(taskOf(kind), folder, { threads: 1 });
  near(await logitsOf(plain as unknown as PreTrainedModel, kind), logits, "merged, saved and loaded");
  await plain.close();
}

it("mergeAndUnload leaves an untied model that adapters train on, and that is saved as such", async () => {
  const base = (await loadBase("CAUSAL_LM", "qwen2")) as unknown as PreTrainedModel;
  const tiedSize = base.numParameters();
  const model = new PeftModel(base);
  model.addAdapter(
    "default",
    new LoraConfig({ r: 4, targetModules: ["q_proj"], modulesToSave: ["lm_head"] }),
  );
  await model.ready();
  fill(model.activeAdapter);
  const logits = await logitsOf(model, "qwen2");
  const plain = await model.mergeAndUnload();
  near(await logitsOf(plain, "qwen2"), logits, "merged");
  expect(plain.numParameters()).toBe(tiedSize + 96 * 32);
  const folder = temporaryFolder();
  await plain.savePretrained(folder);
  const again = await PreTrainedModel.load("CAUSAL_LM", folder, { threads: 1 });
  near(await logitsOf(again as unknown as PreTrainedModel, "qwen2"), logits, "loaded again");
  const next = new PeftModel(plain);
  next.addAdapter("next", new LoraConfig({ r: 4, targetModules: ["lm_head"], useDora: true }));
  near(await logitsOf(next, "qwen2"), logits, "a new adapter on the untied head");
  await next.mergeAdapter();
  near(await logitsOf(next, "qwen2"), logits, "merged into the untied head");
  await again.close();
  await base.close();
});

it("a model that trains whole stays tied", async () => {
  const base = (await loadBase("CAUSAL_LM", "qwen2")) as unknown as PreTrainedModel;
  await base.forwardBackward(batch("qwen2"), { training: false });
  const parameters = base.trainableParameters();
  expect(parameters.size).toBe(base.numParameters());
  const embedding = parameters.list.find(({ name }) => name === "model.embed_tokens.weight")!;
  for (let i = 0; i < embedding.data.length; i++) embedding.data[i]! *= 2;
  parameters.zero();
  const folder = temporaryFolder();
  const logits = await logitsOf(base, "qwen2");
  await base.savePretrained(folder);
  const again = await PreTrainedModel.load("CAUSAL_LM", folder, { threads: 1 });
  near(await logitsOf(again as unknown as PreTrainedModel, "qwen2"), logits, "saved and loaded");
  await again.close();
  await base.close();
});

it("ensureWeightTying says where it has no effect", async () => {
  const said: string[] = [];
  const model = new PeftModel(bases.get("llama")!, (message) => said.push(`${message}`));
  model.addAdapter(
    "default",
    new LoraConfig({ targetModules: ["q_proj"], modulesToSave: ["lm_head"], ensureWeightTying: true }),
  );
  expect(said).toEqual([expect.stringMatching(/ensureWeightTying has no effect: .*two weights/)]);
  await model.unload();
  expect(folderOf("llama")).toContain("llama");
});
