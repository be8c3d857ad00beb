import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PromptRow } from "../data/row.js";
import { AdaLoraConfig } from "../methods/adalora.js";
import { LoraConfig } from "../methods/lora.js";
import type { AdapterConfig } from "../methods/method.js";
import { AutoModelForSeq2SeqLM } from "../peft/auto.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import { PeftModel } from "../peft/peft_model.js";
import { AutoTokenizer } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { TrainEvent, TrainEventOf } from "./events.js";
import { loadState } from "./saved_state.js";
import { evaluate, Trainer, type TrainerOptions } from "./trainer.js";

const kit = (name: string): string =>
  fileURLToPath(new URL(`../../tests/kit/models/${name}`, import.meta.url));

let root: string;
const open: { close(): Promise<void> }[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "peft-trainer-"));
});
afterEach(async () => {
  for (const model of open.splice(0)) await model.close();
  rmSync(root, { recursive: true, force: true });
});

const subjects = ["train", "phone", "bread", "weather", "bill", "garden"];
const rows: PromptRow[] = Array.from({ length: 24 }, (_, i) => {
  const bad = i % 2 === 1;
  const prompt = `${subjects[i % 6]} ${bad ? "late late late" : "fine fine fine"}`;
  return { kind: "prompt", at: `row ${i + 1}`, prompt, target: bad ? "no" : "yes" };
});

const where = { targetModules: ["q", "v"], modulesToSave: ["lm_head"] };
const lora = (loraDropout: number): AdapterConfig =>
  new LoraConfig({ r: 8, loraAlpha: 32, loraDropout, ...where });

async function setUp(
  dropout = 0.1,
  config = lora(dropout),
): Promise<{ model: PeftModel<"SEQ_2_SEQ_LM">; tokenizer: Tokenizer }> {
  const base = await AutoModelForSeq2SeqLM.fromPretrained(kit("t5-text"));
  const model = getPeftModel(base, config);
  open.push(model);
  return { model, tokenizer: await AutoTokenizer.fromPretrained(kit("t5-text")) };
}

async function all(
  trainer: Trainer<"SEQ_2_SEQ_LM">,
  see: (event: TrainEvent) => void = () => {},
): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of trainer.run()) {
    see(event);
    events.push(event);
  }
  return events;
}

const of = <K extends TrainEvent["type"]>(events: readonly TrainEvent[], type: K): TrainEventOf<K>[] =>
  events.filter((event): event is TrainEventOf<K> => event.type === type);

const losses = (events: readonly TrainEvent[]): number[] => of(events, "step").map(({ loss }) => loss);

async function trainerOf(
  options: Partial<TrainerOptions<"SEQ_2_SEQ_LM">>,
  dropout?: number,
): Promise<{ trainer: Trainer<"SEQ_2_SEQ_LM">; model: PeftModel<"SEQ_2_SEQ_LM">; tokenizer: Tokenizer }> {
  const parts = await setUp(dropout);
  return { ...parts, trainer: new Trainer({ ...parts, train: rows, ...options }) };
}

describe("Trainer", () => {
  it("learns, tells what it does, and leaves a folder from which all of it can be used again", async () => {
    const outputDir = join(root, "out");
    const options = {
      outputDir,
      validation: rows.slice(0, 8),
      epochs: 12,
      batchSize: 6,
      lr: 3e-2,
      samples: 2,
    };
    const more = { evaluateOnStart: true, evaluateEvery: 20, generate: 4 };
    const { trainer, model, tokenizer } = await trainerOf({ ...options, ...more });
    const events = await all(trainer);

    const steps = of(events, "step");
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 48 }, (_, i) => i + 1));
    expect(steps[0]!.tokens).toBeGreaterThan(50);
    const evaluations = of(events, "evaluation");
    expect(evaluations.map(({ step }) => step)).toEqual([0, 20, 40, 48]);
    expect(evaluations.at(-1)!.loss).toBeLessThan(evaluations[0]!.loss / 3);
    expect(Object.keys(evaluations[0]!.metrics)).toEqual(["accuracy", "exactMatch", "f1"]);
    const samples = of(events, "sample");
    expect(samples.map(({ step }) => step)).toEqual([0, 0, 48, 48]);
    expect(samples[0]!.expected).toBe("yes");
    expect(samples[2]!.output).not.toBe(samples[0]!.output);
    expect(of(events, "end")[0]).toMatchObject({ reason: "finished", step: 48 });

    const names = readdirSync(outputDir);
    for (const name of ["adapter_model.safetensors", "adapter_config.json", "README.md", "tokenizer.json"])
      expect(names).toContain(name);
    expect(readdirSync(join(outputDir, "checkpoints"))).toEqual(["checkpoint-44", "checkpoint-48"]);
    const lines = readFileSync(join(outputDir, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines).toHaveLength(events.length);
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ type: "end", peak_memory_bytes: expect.any(Number) });
    expect(JSON.parse(readFileSync(join(outputDir, "training_config.json"), "utf8"))).toMatchObject({
      task_type: "SEQ_2_SEQ_LM",
      batch_size: 6,
      total_steps: 48,
      adapter: { peft_type: "LORA", r: 8 },
    });
    expect(readFileSync(join(outputDir, "report.html"), "utf8")).toContain("fine fine fine");

    const again = await PeftModel.fromPretrained(model.base, outputDir);
    const { loss } = await evaluate(again, options.validation, { tokenizer, generate: false });
    expect(loss).toBeCloseTo(evaluations.at(-1)!.loss, 5);
  });

  it("has figures of one's own beside the task's, and may keep the best by one", async () => {
    const seen: number[] = [];
    const metrics = (said: readonly { output: string }[]): Record<string, number> => {
      seen.push(said.length);
      return { costLoss: 5 - seen.length };
    };
    const options = { validation: rows.slice(0, 4), maxSteps: 4, evaluateEvery: 2, metrics, samples: 1 };
    const { trainer, model, tokenizer } = await trainerOf({ ...options, bestMetric: "costLoss" });
    const events = await all(trainer);
    expect(of(events, "evaluation").map(({ metrics }) => metrics["costLoss"])).toEqual([4, 3]);
    expect(seen).toEqual([4, 4]);
    expect(of(events, "end")[0]?.best).toEqual({ step: 4, metric: "costLoss", value: 3 });
    const other = new Trainer({ ...options, model, tokenizer, train: rows, bestMetric: "cost" });
    await expect(all(other)).rejects.toThrow('bestMetric is "cost", which the evaluation does not have.');
  });

  it("goes on after a stop to the same bits: weights, moments, losses, with dropout on", async () => {
    const common = { maxSteps: 10, batchSize: 5, gradientAccumulationSteps: 2, lr: 1e-2, warmupSteps: 2 };
    const straight = await trainerOf({ ...common, outputDir: join(root, "straight") });
    const whole = await all(straight.trainer);

    const outputDir = join(root, "resumed");
    const stop = new AbortController();
    const first = await trainerOf({ ...common, outputDir, signal: stop.signal });
    const before = await all(first.trainer, (event) => {
      if (event.type === "step" && event.step === 5) stop.abort();
    });
    const end = of(before, "end")[0]!;
    expect(end).toMatchObject({ reason: "aborted", step: 5 });
    expect(end.checkpoint).toBe(join(outputDir, "checkpoints", "checkpoint-5"));

    const second = await trainerOf({ ...common, outputDir, resume: true });
    const after = await all(second.trainer);
    expect(of(after, "start")[0]).toMatchObject({ step: 5, totalSteps: 10 });
    expect([...losses(before), ...losses(after)]).toEqual(losses(whole));
    expect(of(after, "end")[0]!.loss).toBe(of(whole, "end")[0]!.loss);

    const expected = await loadState(join(root, "straight", "checkpoints"));
    const actual = await loadState(join(outputDir, "checkpoints"));
    expect(actual.step).toBe(10);
    expect(actual.parameters).toEqual(expected.parameters);
    expect(actual.optimizer).toEqual(expected.optimizer);
    expect(actual.seeds).toEqual(expected.seeds);
    const lines = readFileSync(join(outputDir, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    const steps = lines.map((line) => JSON.parse(line)).filter(({ type }) => type === "step");
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    // dropout is on: another stream of random numbers gives other losses
    expect(new Set(losses(whole)).size).toBe(10);
  });

  it("takes AdaLoRA's ranks away, over a stop too, and saves what is left", async () => {
    const run = async (more: Partial<TrainerOptions<"SEQ_2_SEQ_LM">>): Promise<PeftModel<"SEQ_2_SEQ_LM">> => {
      const schedule = { initR: 4, targetR: 2, tinit: 1, tfinal: 1 };
      // the term that keeps vectors orthogonal would be another without those that went
      const config = new AdaLoraConfig({ ...schedule, orthRegWeight: 0, ...where });
      const parts = await setUp(0, config);
      const trainer = new Trainer({ ...parts, train: rows, maxSteps: 8, batchSize: 8, lr: 1e-2, ...more });
      for await (const event of trainer.run())
        if (more.saveEvery && event.type === "step" && event.step === 5) break;
      return parts.model;
    };
    const outputDir = join(root, "out");
    await run({ outputDir, saveEvery: 2 }); // killed after step 5
    const resumed = await run({ outputDir, resume: true });
    const straight = await run({});
    const alive = ({ activeAdapter }: PeftModel): number[] =>
      [...activeAdapter.entries.values()]
        .filter(({ key }) => key.endsWith(".lora_E"))
        .map(({ data }) => data.filter((x) => x !== 0).length);
    const layers = alive(straight).length;
    expect(alive(straight).reduce((a, b) => a + b)).toBe(2 * layers);
    for (const { key, data } of straight.activeAdapter.entries.values())
      expect(resumed.activeAdapter.entry(key).data).toEqual(data);

    const again = await PeftModel.fromPretrained(resumed.base, outputDir);
    const shapes = [...again.activeAdapter.entries.values()].flatMap(({ key, shape }) =>
      key.endsWith(".lora_A") ? [shape[0]!] : [],
    );
    expect(shapes).toEqual(alive(resumed));
    const { tokenizer } = await setUp(0);
    const loss = async (model: PeftModel<"SEQ_2_SEQ_LM">): Promise<number> =>
      (await evaluate(model, rows.slice(0, 8), { tokenizer, generate: false })).loss;
    expect(await loss(again)).toBeCloseTo(await loss(resumed), 5);
  });

  it("plans AdaLoRA's steps where another adapter is active before it", async () => {
    const config = new AdaLoraConfig({ initR: 4, targetR: 2, tinit: 1, tfinal: 1, targetModules: ["k"] });
    const parts = await setUp(0);
    parts.model.addAdapter("ada", config);
    await parts.model.ready();
    parts.model.setAdapter([...parts.model.activeAdapters, "ada"]);
    await all(new Trainer({ ...parts, train: rows, maxSteps: 6, batchSize: 8, lr: 1e-2 }));
    const values = [...parts.model.adapters.get("ada")!.entries.values()].filter(({ key }) =>
      key.endsWith(".lora_E"),
    );
    expect(values.reduce((n, { data }) => n + data.filter((x) => x !== 0).length, 0)).toBe(2 * values.length);
  });

  it("goes on from the last checkpoint after a kill, and cuts what came after it from the metrics", async () => {
    const outputDir = join(root, "out");
    const common = { maxSteps: 6, batchSize: 8, lr: 1e-2 };
    const straight = losses(await all((await trainerOf(common)).trainer));
    const killed = await trainerOf({ ...common, outputDir, saveEvery: 2 });
    for await (const event of killed.trainer.run()) if (event.type === "step" && event.step === 5) break;
    const lines = (): string[] =>
      readFileSync(join(outputDir, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines().filter((line) => line.includes('"step"') && line.includes('"step":5'))).toHaveLength(1);
    writeFileSync(join(outputDir, "metrics.jsonl"), `${lines().join("\n")}\n{"type":"step","st`);

    const { trainer } = await trainerOf({ ...common, outputDir, resume: true });
    const events = await all(trainer);
    expect(of(events, "start")[0]!.step).toBe(4);
    expect(losses(events)).toEqual(straight.slice(4));
    const steps = lines().map((line) => JSON.parse(line) as TrainEvent);
    expect(of(steps, "step").map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it("weighs accumulated batches by their labelled tokens: four of 2 rows make the step of one of 8", async () => {
    const common = { maxSteps: 3, lr: 1e-2, groupByLength: false, schedule: "constant" as const };
    const one = await all((await trainerOf({ ...common, batchSize: 8 }, 0)).trainer);
    const four = await all(
      (await trainerOf({ ...common, batchSize: 2, gradientAccumulationSteps: 4 }, 0)).trainer,
    );
    for (const [i, loss] of losses(one).entries()) expect(losses(four)[i]).toBeCloseTo(loss, 4);
    const norms = (events: TrainEvent[]): number[] => of(events, "step").map(({ gradNorm }) => gradNorm);
    expect(norms(four)[0]! / norms(one)[0]!).toBeCloseTo(1, 4);
  });

  it("stops early, and leaves the best weights, not the last", async () => {
    const outputDir = join(root, "out");
    const other = rows.slice(0, 6).map((row) => ({ ...row, target: "something else" }));
    const options = { validation: other, epochs: 30, batchSize: 12, lr: 8e-2, evaluateEvery: 2 };
    const { trainer, model } = await trainerOf({ ...options, outputDir, earlyStopping: { patience: 3 } });
    const events = await all(trainer);
    const end = of(events, "end")[0]!;
    expect(end.reason).toBe("stopped-early");
    const best = of(events, "evaluation").reduce((a, b) => (b.loss < a.loss ? b : a));
    expect(end.best).toEqual({ step: best.step, metric: "loss", value: best.loss });
    expect(end.step).toBe(best.step + 6);
    const kept = await loadState(join(outputDir, "checkpoints", `checkpoint-${best.step}`));
    const named = new Map(kept.parameters.map((p) => [p.name, p.data]));
    for (const { name, data } of model.trainableParameters()) expect(data).toEqual(named.get(name));
  });

  it("trains all weights of a model, until its answers are right", async () => {
    const model = await AutoModelForSeq2SeqLM.fromPretrained(kit("t5-text"));
    open.push(model);
    const tokenizer = await AutoTokenizer.fromPretrained(kit("t5-text"));
    const outputDir = join(root, "full");
    const fixed = { lr: 5e-2, schedule: "constant" as const, batchSize: 6, epochs: 12, saveEvery: 48 };
    const end = { validation: rows, evaluateEvery: 48, evaluateOnStart: true, generate: true };
    const events = await all(new Trainer({ model, tokenizer, train: rows, outputDir, ...fixed, ...end }));
    const [before, after] = of(events, "evaluation");
    expect(before!.metrics["accuracy"]).toBe(0);
    expect(after!.metrics).toEqual({ accuracy: 1, exactMatch: 1, f1: 1 });
    const again = await AutoModelForSeq2SeqLM.fromPretrained(outputDir);
    open.push(again);
    const name = "decoder.block.1.layer.2.DenseReluDense.wo.weight";
    const trained = [...model.trainableParameters()].find((p) => p.name === name)!;
    expect(await again.runtime.weight(name)).toEqual(trained.data);
  });
});
