import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { PreferenceRow } from "../data/row.js";
import { rowsFrom } from "../data/rows_from.js";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForSeq2SeqLM } from "../peft/auto.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { PeftModel } from "../peft/peft_model.js";
import type { TrainableModel } from "../peft/trainable.js";
import { AutoTokenizer } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { StepEvent, TrainEvent } from "../train/events.js";
import { BCOTrainer, CPOTrainer, DPOTrainer, KTOTrainer, ORPOTrainer } from "./preference_trainers.js";

const kit = fileURLToPath(new URL("../../tests/kit/models/t5-text", import.meta.url));
const rows = rowsFrom(
  [
    ["train late", "no", "yes yes"],
    ["phone fine", "yes", "late"],
    ["bread late late", "no no", "fine"],
    ["bill", "fine", "no late"],
    ["garden fine", "yes fine", "bill"],
  ].map(([prompt, chosen, rejected]) => ({ prompt, chosen, rejected })),
);

let tokenizer: Tokenizer;
let root: string;
const models: PeftModel[] = [];
beforeEach(async () => {
  tokenizer = await AutoTokenizer.fromPretrained(kit);
  root = mkdtempSync(join(tmpdir(), "peft-pairs-"));
});
afterEach(async () => {
  for (const model of models.splice(0)) await model.close();
  rmSync(root, { recursive: true });
});

async function fresh(): Promise<TrainableModel> {
  const base = await AutoModelForSeq2SeqLM.fromPretrained(kit, { threads: 1, seed: 3 });
  const model = getPeftModel(base, new LoraConfig({ r: 2, targetModules: ["q", "v"], loraDropout: 0.3 }));
  models.push(model as unknown as PeftModel);
  return model as unknown as TrainableModel;
}

async function all(run: AsyncIterable<TrainEvent>): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of run) events.push(event);
  return events;
}

const steps = (events: readonly TrainEvent[]): StepEvent[] =>
  events.filter((event): event is StepEvent => event.type === "step");

it("DPO begins with a policy that is its reference, and learns to prefer", async () => {
  const options = { tokenizer, rows, batchSize: 5, maxSteps: 40, lr: 2e-2, beta: 0.5, validation: rows };
  const events = await all(new DPOTrainer(await fresh(), { ...options, evaluateEvery: 20 }).run());
  const [first] = steps(events);
  expect(first?.loss).toBeCloseTo(Math.LN2, 6);
  expect(first?.metrics).toMatchObject({ "rewards/margins": 0, "rewards/accuracies": 0 });
  const last = steps(events).at(-1);
  expect(last?.metrics?.["rewards/accuracies"]).toBe(1);
  expect(last?.loss).toBeLessThan(0.3);
  const evaluations = events.filter((event) => event.type === "evaluation");
  expect(evaluations.map(({ step }) => step)).toEqual([20, 40]);
  expect(evaluations[1]?.metrics["rewards/margins"]).toBeGreaterThan(
    evaluations[0]?.metrics["rewards/margins"] ?? 9,
  );
});

it("a run that is resumed ends with the bits of one that was not: its reference and running means are kept", async () => {
  const constant = {
    tokenizer,
    rows,
    batchSize: 2,
    gradientAccumulationSteps: 2,
    lr: 1e-2,
    schedule: "constant",
  } as const;
  const seen = ({ step, loss, metrics }: StepEvent): unknown => [step, loss, metrics];
  for (const Kind of [DPOTrainer, BCOTrainer, KTOTrainer]) {
    const output = join(root, Kind.name);
    const unbroken = steps(await all(new Kind(await fresh(), { ...constant, maxSteps: 6 }).run()));
    await all(new Kind(await fresh(), { ...constant, maxSteps: 4, output }).run());
    const rest = steps(
      await all(new Kind(await fresh(), { ...constant, maxSteps: 6, output, resume: true }).run()),
    );
    expect(rest.map(seen)).toEqual(unbroken.slice(4).map(seen));
  }
});

it("methods without a reference learn too", async () => {
  for (const Kind of [ORPOTrainer, CPOTrainer]) {
    const events = await all(
      new Kind(await fresh(), { tokenizer, rows, batchSize: 5, maxSteps: 20, lr: 2e-2 }).run(),
    );
    const losses = steps(events).map(({ loss }) => loss);
    expect(losses.at(-1)).toBeLessThan((losses[0] ?? 0) * 0.9);
  }
});

it("what is wrong with rows is said before anything is computed", async () => {
  const model = await fresh();
  const make = (rows: unknown): unknown =>
    new DPOTrainer(model, { tokenizer, rows: rows as PreferenceRow[] });
  expect(() => make(rowsFrom([{ prompt: "a", completion: "b", label: true }], { kind: "judged" }))).toThrow(
    /\[data\].*row 1 is a row of kind "judged"/,
  );
  expect(() => make([])).toThrow(/\[data\].*There are no rows/);
  expect(() => rowsFrom([{ prompt: "a", chosen: "b", rejected: "b" }])).toThrow(/the same/);
  expect(() => new KTOTrainer(model, { tokenizer, rows, batchSize: 1 })).toThrow(
    /\[option\].*batchSize is 1/,
  );
  const both = rowsFrom([
    { prompt: "a", chosen: "b", rejected: "c" },
    { prompt: "a", chosen: "c", rejected: "b" },
  ]);
  const events = await all(new DPOTrainer(model, { tokenizer, rows: both, maxSteps: 1 }).run());
  const told = events.flatMap((event) => (event.type === "warning" ? [`${event.message}`] : []));
  expect(told.join()).toMatch(/2 pairs stand in the rows both ways round, first at row 1/);
});
