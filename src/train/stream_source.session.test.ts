import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Batch } from "../data/batch.js";
import { batches } from "../data/batches.js";
import type { RowStream } from "../data/row_stream.js";
import { rowsFrom } from "../data/rows_from.js";
import { shuffledWithin } from "../data/stream_batches.js";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForSeq2SeqLM } from "../peft/auto.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { PeftModel } from "../peft/peft_model.js";
import { random } from "../random.js";
import { AutoTokenizer } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { TrainEvent } from "./events.js";
import { evaluate, Trainer, type TrainerOptions } from "./trainer.js";

const kit = fileURLToPath(new URL("../../tests/kit/models/t5-text", import.meta.url));
const list = Array.from({ length: 101 }, (_, i) => ({
  prompt: `train ${"late ".repeat((i * 7) % 13)}`,
  completion: i % 2 === 0 ? "no" : "yes",
}));
const stream = (): RowStream =>
  rowsFrom(async function* () {
    yield* list;
  });

let model: PeftModel<"SEQ_2_SEQ_LM">;
let tokenizer: Tokenizer;
let root: string;
async function adapt(): Promise<PeftModel<"SEQ_2_SEQ_LM">> {
  const base = await AutoModelForSeq2SeqLM.fromPretrained(kit, { threads: 1, seed: 5 });
  return getPeftModel(base, new LoraConfig({ r: 2, loraDropout: 0.1, targetModules: ["q", "v"] }));
}
beforeEach(async () => {
  model = await adapt();
  tokenizer = await AutoTokenizer.fromPretrained(kit);
  root = mkdtempSync(join(tmpdir(), "peft-stream-"));
});
afterEach(async () => {
  await model.close();
  rmSync(root, { recursive: true });
});

const places = (found: readonly Batch[]): number[] => found.flatMap(({ rows }) => [...rows]);
const sorted = (numbers: readonly number[]): number[] => [...numbers].sort((a, b) => a - b);

describe("batches of a stream", () => {
  const walk = async (options: object): Promise<Batch[]> => {
    const found: Batch[] = [];
    const all = { tokenizer, model, batchSize: 2, epochs: 2, seed: 3, shuffleWindow: 40, maxLength: 16 };
    for await (const batch of batches(stream(), { ...all, ...options })) found.push(batch as Batch);
    return found;
  };

  it("has every row once an epoch, in an order of its own that comes again", async () => {
    const found = await walk({});
    expect(found).toHaveLength(102);
    const [first, second] = [places(found.slice(0, 51)), places(found.slice(51))];
    expect(sorted(first)).toEqual([...list.keys()]);
    expect(sorted(second)).toEqual([...list.keys()]);
    expect(first).not.toEqual(second);
    expect(first).not.toEqual([...list.keys()]);
    expect(await walk({})).toEqual(found);
    expect(places(await walk({ seed: 4 }))).not.toEqual(places(found));
    expect(places(await walk({ shuffle: false, epochs: 1 }))).toEqual([...list.keys()]);
    expect(await walk({ dropLast: true })).toHaveLength(100);
  });

  it.each([0, 1, 49, 50, 51, 52, 100, 101, 102])("goes on at batch %i", async (startAt) => {
    expect(await walk({ startAt })).toEqual((await walk({})).slice(startAt));
    const drop = { emptyLabels: "drop" };
    expect(await walk({ startAt, ...drop })).toEqual((await walk(drop)).slice(startAt));
  });

  it("has the rows of a list in the same batches where nothing is shuffled", async () => {
    const plain = { tokenizer, model, batchSize: 4, shuffle: false };
    const found: Batch[] = [];
    for await (const batch of batches(rowsFrom(list), plain)) found.push(batch as Batch);
    expect(await walk({ ...plain, epochs: 1, maxLength: undefined })).toEqual(found);
  });
});

it("a window lets no row come more than itself too early, and mixes all of it", async () => {
  async function* numbers(): AsyncGenerator<number> {
    for (let i = 0; i < 1000; i++) yield i;
  }
  const found: number[] = [];
  for await (const n of shuffledWithin(numbers(), 100, random(1))) found.push(n);
  expect(sorted(found)).toEqual([...found.keys()]);
  for (const [place, n] of found.entries()) expect(n - place).toBeLessThanOrEqual(100);
  expect(found.filter((n, place) => n === place).length).toBeLessThan(30);
});

describe("the Trainer on a stream", () => {
  const run = async (options: Partial<TrainerOptions<"SEQ_2_SEQ_LM">>): Promise<TrainEvent[]> => {
    const events: TrainEvent[] = [];
    const all = {
      model,
      tokenizer,
      train: stream(),
      batchSize: 8,
      maxLength: 16,
      shuffleWindow: 50,
      lr: 1e-2,
    };
    for await (const event of new Trainer({ ...all, ...options }).run()) events.push(event);
    return events;
  };
  const adapter = (name: string): Buffer => readFileSync(join(root, name, "adapter_model.safetensors"));

  it("counts the rows, trains all of them, answers and evaluates", async () => {
    const events = await run({ epochs: 2, validation: stream(), samples: 2 });
    expect(events[0]).toMatchObject({ type: "start", totalSteps: 26, epochs: 2, rows: 101 });
    expect(events.filter(({ type }) => type === "sample")).toHaveLength(4);
    const losses = events.flatMap((event) => (event.type === "evaluation" ? [event.loss] : []));
    expect(losses).toHaveLength(2);
    expect(losses[1]).toBeLessThan(losses[0]!);
    const { loss } = await evaluate(model, stream(), { tokenizer, maxLength: 16, generate: false });
    expect(loss).toBeCloseTo(losses[1]!, 5);
  });

  it("goes on with the bits of a run that was not stopped", async () => {
    const options = { epochs: 2, gradientAccumulationSteps: 2 };
    await run({ ...options, outputDir: join(root, "whole") });
    await model.close();
    model = await adapt();
    const stop = new AbortController();
    const halves = { ...options, outputDir: join(root, "halves") };
    const first = new Trainer({
      model,
      tokenizer,
      train: stream(),
      batchSize: 8,
      maxLength: 16,
      shuffleWindow: 50,
      lr: 1e-2,
      signal: stop.signal,
      ...halves,
    });
    for await (const event of first.run()) if (event.type === "step" && event.step === 9) stop.abort();
    await model.close();
    model = await adapt();
    const events = await run({ ...halves, resume: true });
    expect(events[0]).toMatchObject({ type: "start", step: 9, totalSteps: 14 });
    expect(adapter("halves").equals(adapter("whole"))).toBe(true);
  });

  it("a stream that is read once: its length is not known, it ends early, it is not resumed", async () => {
    const note = "x".repeat(2 ** 20); // much text is not kept
    async function* once(): AsyncGenerator<object> {
      for (const row of list) yield { ...row, note };
    }
    await expect(run({ train: rowsFrom(once()) })).rejects.toThrow(/\[option\].*only once.*maxSteps: 1000/);
    const outputDir = join(root, "once");
    const train = rowsFrom(once());
    const events = await run({ train, maxSteps: 3, outputDir });
    expect(events.filter(({ type }) => type === "step")).toHaveLength(3);
    const again = run({ train: rowsFrom(once()), maxSteps: 5, outputDir, resume: true });
    await expect(again).rejects.toThrow(/\[option\].*only once cannot resume.*rowsFrom\(\(\) =>/);
    const short = run({ train: rowsFrom(once()), maxSteps: 50 });
    await expect(short).rejects.toThrow(/\[data\].*ended before the 50 steps of maxSteps/);
  });
});
