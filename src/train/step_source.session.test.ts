import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { Batch } from "../data/batch.js";
import { batches } from "../data/batches.js";
import type { PromptRow } from "../data/row.js";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForSeq2SeqLM } from "../peft/auto.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { PeftModel } from "../peft/peft_model.js";
import { AutoTokenizer } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Inputs } from "../trace/feeds.js";
import type { TrainEvent } from "./events.js";
import { openRows, planOf } from "./run_plan.js";
import { loadState } from "./saved_state.js";
import type { StepSource } from "./step_source.js";
import { Trainer } from "./trainer.js";
import { settingsOf } from "./trainer_options.js";

const kit = fileURLToPath(new URL("../../tests/kit/models/t5-text", import.meta.url));
const rows: PromptRow[] = ["train late", "phone fine", "bread late late", "bill", "garden fine"].map(
  (prompt, i) => ({ kind: "prompt", at: `row ${i + 1}`, prompt, target: i % 2 === 0 ? "no" : "yes" }),
);

let model: PeftModel<"SEQ_2_SEQ_LM">;
let tokenizer: Tokenizer;
let root: string;
beforeEach(async () => {
  const base = await AutoModelForSeq2SeqLM.fromPretrained(kit, { threads: 1 });
  model = getPeftModel(base, new LoraConfig({ r: 2, targetModules: ["q", "v"] }));
  tokenizer = await AutoTokenizer.fromPretrained(kit);
  root = mkdtempSync(join(tmpdir(), "peft-source-"));
});
afterEach(async () => {
  await model.close();
  rmSync(root, { recursive: true });
});

const rowsOf = ({ rows = new Int32Array(0) }: Inputs): number[] => [...rows];

async function taken(source: StepSource): Promise<number[][]> {
  const list: number[][] = [];
  for await (const batch of source.next()) list.push(rowsOf(batch));
  return list;
}

it("rows: the batches of every epoch, also from the middle and after a step that broke off", async () => {
  const options = { batchSize: 2, seed: 3 };
  const expected: number[][] = [];
  for await (const batch of batches(rows, { ...options, epochs: 2, tokenizer, model }))
    expected.push(rowsOf(batch));
  const { source } = planOf(
    await openRows(settingsOf({ ...options, model, tokenizer, train: rows, gradientAccumulationSteps: 2 })),
  );
  expect(source).toMatchObject({ size: 5, epochSize: 3, stepsPerEpoch: 2, epoch: 0, position: 0 });
  expect(source.sizes).toMatchObject({ batch: 2 });
  expect(await taken(source)).toEqual(expected.slice(0, 2));
  expect(source).toMatchObject({ epoch: 0, position: 2 });
  expect(await taken(source)).toEqual(expected.slice(2, 3));
  expect(source).toMatchObject({ epoch: 1, position: 0 });
  for await (const batch of source.next()) {
    expect(source.whereIs(batch)).toBe(
      `in the batch of ${rowsOf(batch)
        .map((row) => rows[row]!.at)
        .join(", ")}`,
    );
    break;
  }
  expect(source).toMatchObject({ epoch: 1, position: 0 });
  expect(await taken(source)).toEqual(expected.slice(3, 5));
  source.seek(0, 2);
  expect(await taken(source)).toEqual(expected.slice(2, 3));
});

/** As rollouts come: made when their step is due, three to an epoch. */
class Rollouts implements StepSource {
  readonly size = 3;
  readonly epochSize = 3;
  readonly stepsPerEpoch = 3;
  readonly sizes = { batch: 1, seq: 8 };
  readonly identity: Readonly<Record<string, number>>;
  epoch = 0;
  position = 0;
  readonly asked: string[] = [];

  constructor(temperature = 1) {
    this.identity = { temperature };
  }

  seek(epoch: number, position: number): void {
    [this.epoch, this.position] = [epoch, position];
  }

  async *next(): AsyncGenerator<Batch> {
    this.asked.push(`${this.epoch}.${this.position}`);
    const prompt = rows[this.position]!;
    const inputs = tokenizer([prompt.prompt]);
    const [ids = []] = await model.generate(inputs, { maxNewTokens: 3 });
    const target = `${prompt.target} ${ids.length}`;
    for await (const batch of batches([{ ...prompt, target }], { tokenizer, model }))
      yield batch as unknown as Batch;
    this.position++;
    if (this.position === this.epochSize) this.seek(this.epoch + 1, 0);
  }

  async longestBatch(): Promise<undefined> {}

  whereIs(): string {
    return "in a rollout";
  }
}

async function train(source: StepSource, options: object): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  const outputDir = join(root, "out");
  for await (const event of new Trainer({ model, tokenizer, train: source, outputDir, ...options }).run())
    events.push(event);
  return events;
}

it("a source of one's own: the Trainer takes its steps, saves where it is, and goes on from there", async () => {
  const first = new Rollouts();
  const events = await train(first, { maxSteps: 4, lr: 1e-2 });
  expect(events[0]).toMatchObject({ type: "start", totalSteps: 4, epochs: 2, rows: 3 });
  expect(events.filter(({ type }) => type === "step")).toHaveLength(4);
  expect(first.asked).toEqual(["0.0", "0.1", "0.2", "1.0"]);
  const state = await loadState(join(root, "out", "checkpoints", "checkpoint-4"));
  expect(state).toMatchObject({ epoch: 1, position: 1, counters: { temperature: 1 } });
  const second = new Rollouts();
  await train(second, { maxSteps: 6, lr: 1e-2, resume: true });
  expect(second.asked).toEqual(["1.1", "1.2"]);
  const other = train(new Rollouts(0.5), { maxSteps: 7, lr: 1e-2, resume: true });
  await expect(other).rejects.toThrow(/\[option\].*temperature is 0.5, and was 1/);
});
