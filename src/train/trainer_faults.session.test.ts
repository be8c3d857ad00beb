import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PromptRow, Row } from "../data/row.js";
import { nodeFiles } from "../hub/files.js";
import { LoraConfig } from "../methods/lora.js";
import { AutoModelForSeq2SeqLM } from "../peft/auto.js";
import type { PreTrainedModel } from "../peft/base_model.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import { AutoTokenizer } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { TrainEvent } from "./events.js";
import { RunFolder } from "./run_folder.js";
import { Trainer, type TrainerOptions } from "./trainer.js";

const kit = fileURLToPath(new URL("../../tests/kit/models/t5-text", import.meta.url));
type Options = TrainerOptions<"SEQ_2_SEQ_LM">;

let base: PreTrainedModel<"SEQ_2_SEQ_LM">;
let tokenizer: Tokenizer;
let root: string;
let outputDir: string;
beforeAll(async () => {
  base = await AutoModelForSeq2SeqLM.fromPretrained(kit);
  tokenizer = await AutoTokenizer.fromPretrained(kit);
});
afterAll(() => base.close());
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "peft-faults-"));
  outputDir = join(root, "out");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const rows: PromptRow[] = Array.from({ length: 8 }, (_, i) => {
  return { kind: "prompt", at: `row ${i + 1}`, prompt: `number ${i}`, target: "yes" };
});

function trainerOf(options: Partial<Options> = {}, r = 4): Trainer<"SEQ_2_SEQ_LM"> {
  const model = getPeftModel(base, new LoraConfig({ r, loraDropout: 0.1 }));
  return new Trainer({ model, tokenizer, train: rows, batchSize: 4, ...options });
}

async function all(
  options: Partial<Options> = {},
  see: (event: TrainEvent) => void = () => {},
): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of trainerOf(options).run()) {
    events.push(event);
    see(event);
  }
  return events;
}

const contents = (folder: string): string[] => readdirSync(folder, { recursive: true }).map(String).sort();

describe("faults before work starts leave nothing behind", () => {
  it("options: all at once", () => {
    const wrong = { epochs: 0, batchSize: 2.5, lr: Number.NaN, warmupRatio: 2, warmupSteps: 3 };
    const more = { schedule: "steps" as "linear", bestMetric: "bleu", saveEvery: 5, resume: true };
    expect(() => trainerOf({ ...wrong, ...more })).toThrow(
      /\[option\].*epochs is 0.*batchSize is 2.5.*lr is .*schedule is "steps", not one of "linear".*warmupRatio is 2.*warmupSteps and warmupRatio.*"bleu" is none of loss, accuracy.*bestMetric without validation.*saveEvery, resume without outputDir/,
    );
    const early = { patience: 0, metric: "f1" };
    expect(() => trainerOf({ earlyStopping: early, bestMetric: "loss", validation: rows })).toThrow(
      /patience is 0.*bestMetric is "loss", the metric of earlyStopping "f1"/,
    );
  });

  it("a schedule that lacks what it needs", async () => {
    const run = trainerOf({ schedule: "warmup_stable_decay", outputDir }).run();
    await expect(run.next()).rejects.toThrow(/\[option\].*it needs numDecaySteps/);
    expect(existsSync(outputDir)).toBe(false);
  });

  it("rows: of both sets at once", async () => {
    const text: Row = { kind: "text", at: "more.txt line 3", text: "a" };
    const empty = { ...rows[0]!, at: "row 9", target: "" };
    const run = trainerOf({ train: [...rows, empty], validation: [text], outputDir }).run();
    await expect(run.next()).rejects.toThrow(
      /\[data\].*row 9: its target is empty.*more.txt line 3: kind "text"/,
    );
    expect(existsSync(outputDir)).toBe(false);
  });

  it("an output folder that is a file, is not empty, or cannot be written", async () => {
    const file = join(root, "file");
    writeFileSync(file, "x");
    await expect(trainerOf({ outputDir: file }).run().next()).rejects.toThrow(/\[output\].*it is a file/);
    const below = join(file, "out");
    await expect(trainerOf({ outputDir: below }).run().next()).rejects.toThrow(
      /\[output\].*file, not a folder/,
    );
    mkdirSync(outputDir);
    writeFileSync(join(outputDir, "thesis.txt"), "x");
    await expect(trainerOf({ outputDir }).run().next()).rejects.toThrow(/\[output\].*not empty: thesis.txt/);
    await expect(trainerOf({ outputDir, resume: true }).run().next()).rejects.toThrow(
      /holds no run to resume/,
    );
    expect(contents(root)).toEqual(["file", "out", join("out", "thesis.txt")]);
  });

  it("a disk without room, and one that cannot be written", async () => {
    const full = new RunFolder(outputDir, Date.now, { ...nodeFiles, free: async () => 1e6 });
    await expect(full.open(5e6, "new")).rejects.toThrow(
      /\[output\].*writes about 5 MB, and the disk has 1 MB free/,
    );
    expect(existsSync(outputDir)).toBe(false);
    const refuse = (): Promise<void> => Promise.reject(new Error("read-only"));
    const locked = new RunFolder(outputDir, Date.now, { ...nodeFiles, writeAtomic: refuse });
    await expect(locked.open(1, "new")).rejects.toThrow("read-only");
    expect(existsSync(outputDir)).toBe(false);
  });

  it("a second run of the same command refuses; resumed, it has nothing left to do", async () => {
    await all({ outputDir, maxSteps: 2 });
    const before = contents(outputDir);
    await expect(trainerOf({ outputDir, maxSteps: 2 }).run().next()).rejects.toThrow(/go on with that run/);
    expect(contents(outputDir)).toEqual(before);
    const events = await all({ outputDir, maxSteps: 2, resume: true });
    expect(events.map(({ type }) => type)).toEqual(["start", "end"]);
    const longer = await all({ outputDir, maxSteps: 3, resume: true });
    expect(longer.filter(({ type }) => type === "step")).toHaveLength(1);
  });

  it("a folder that another run has; one that a killed process had is free", async () => {
    const run = trainerOf({ outputDir, maxSteps: 2 }).run();
    expect((await run.next()).value).toMatchObject({ type: "start" });
    const second = trainerOf({ outputDir, maxSteps: 2, overwrite: true }).run();
    await expect(second.next()).rejects.toThrow(
      /\[output\].*another run is at work in it \(process .*wait for it/,
    );
    await run.return();
    expect(contents(outputDir)).toEqual(["metrics.jsonl", "training_config.json"]);
    writeFileSync(join(outputDir, ".run.lock"), nodeFiles.owner().replace(/\d+$/, "4194304999"));
    writeFileSync(
      join(outputDir, `.report.html.${nodeFiles.owner().replace(/\d+$/, "4194304999")}_01234567.tmp`),
      "x",
    );
    expect((await all({ outputDir, maxSteps: 2, resume: true })).at(-1)).toMatchObject({
      reason: "finished",
    });
    expect(contents(outputDir).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("a run that is overwritten goes when the new one can start; what no run wrote is never removed", async () => {
    await all({ outputDir, maxSteps: 2 });
    const before = contents(outputDir);
    expect(() => trainerOf({ outputDir, overwrite: true, resume: true })).toThrow(
      /overwrite and resume contradict/,
    );
    writeFileSync(join(outputDir, "thesis.txt"), "x");
    await expect(trainerOf({ outputDir, maxSteps: 1, overwrite: true }).run().next()).rejects.toThrow(
      /and no run put these there: thesis.txt/,
    );
    rmSync(join(outputDir, "thesis.txt"));
    expect(contents(outputDir)).toEqual(before);
    await all({ outputDir, maxSteps: 1, overwrite: true });
    expect(readdirSync(join(outputDir, "checkpoints"))).toEqual(["checkpoint-1"]);
  });

  it("a checkpoint of another run or another adapter", async () => {
    await all({ outputDir, maxSteps: 2 });
    const other = { outputDir, maxSteps: 4, resume: true, batchSize: 2, seed: 1, train: rows.slice(1) };
    await expect(trainerOf(other).run().next()).rejects.toThrow(
      /\[option\].*batchSize is 2, and was 4.*seed is 1, and was 0.*training samples is 7, and was 8/,
    );
    await expect(trainerOf({ outputDir, maxSteps: 4, resume: true }, 2).run().next()).rejects.toThrow(
      /\[checkpoint\].*has the shape/,
    );
    await expect(
      trainerOf({ resume: join(root, "nowhere") })
        .run()
        .next(),
    ).rejects.toThrow(/\[checkpoint\]/);
  });
});

describe("while it runs", () => {
  it("stops at a loss that is no number, names the step, and keeps the checkpoints from before", async () => {
    const two = { outputDir, maxSteps: 2, saveEvery: 1 };
    await all(two);
    const good = readFileSync(join(outputDir, "checkpoints", "checkpoint-2", "training_state.safetensors"));
    const wild = { ...two, maxSteps: 9, resume: true, lr: 1e38, schedule: "constant" as const };
    const steps: number[] = [];
    const run = all(wild, (event) => event.type === "step" && steps.push(event.step));
    await expect(run).rejects.toThrow(/\[training\].*[Ss]tep \d/);
    expect(steps.length).toBeLessThan(4);
    const kept = readdirSync(join(outputDir, "checkpoints"));
    expect(kept).toContain("checkpoint-2");
    expect(kept.every((name) => /^checkpoint-\d+$/.test(name))).toBe(true);
    expect(
      readFileSync(join(outputDir, "checkpoints", "checkpoint-2", "training_state.safetensors")),
    ).toEqual(good);
  });

  it("stops by its signal before the first step, and in an evaluation, which the resumed run makes up for", async () => {
    const none = await all({ signal: AbortSignal.abort(), samples: 2, validation: rows });
    expect(none.map(({ type }) => type)).toEqual(["start", "end"]);

    const options = { outputDir, maxSteps: 4, validation: rows, evaluateEvery: 2 };
    const straight = await all({ ...options, outputDir: join(root, "straight") });
    const stop = new AbortController();
    const first = await all({ ...options, signal: stop.signal }, (event) => {
      if (event.type === "step" && event.step === 2) stop.abort();
    });
    expect(first.map(({ type }) => type)).toEqual(["start", "step", "step", "checkpoint", "end"]);
    expect(first.at(-1)).toMatchObject({ reason: "aborted", step: 2 });
    const second = await all({ ...options, resume: true });
    const evaluations = (events: TrainEvent[]): TrainEvent[] => events.filter((e) => e.type === "evaluation");
    expect(evaluations(second)).toEqual(evaluations(straight));
    expect(second.at(-1)).toMatchObject({ reason: "finished", step: 4 });
  });

  it("says which rows were cut", async () => {
    const events = await all({ maxSteps: 1, maxLength: 4, maxTargetLength: 4 });
    expect(events[1]).toMatchObject({
      type: "warning",
      message: expect.stringMatching(/train: .*8 rows cut at 4/),
    });
  });
});
