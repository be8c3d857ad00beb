import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ClassifyRow, PeftModel, StepEvent, TrainableModel } from "../src/index.js";
import {
  AutoModelForCausalLM,
  AutoTokenizer,
  DPOTrainer,
  getPeftModel,
  LoraConfig,
  loadDataset,
  rowsFrom,
} from "../src/index.js";
import { MemoryWatch } from "./memory.js";
import { runReference } from "./python.js";

// DPO on pairs made of labelled tweets: ours, and TRL's from the same adapter on the same rows in the same
// order. Losses of every step, seconds a step, peak memory.
// PEFT_PYTHON=/tmp/ref-rlhf/bin/python node --import tsx bench/dpo.ts [--model FOLDER] [--data TWEETS.csv]
const text = { type: "string" } as const;
const { values } = parseArgs({
  options: { model: text, data: text, steps: text, batch: text, pairs: text, out: text, threads: text },
});
const { model: folder = "/tmp/real/smollm2", out = "/tmp/bench-dpo" } = values;
const { data = "../shared/data/twitter_complaints/train.csv" } = values;
const [steps, batchSize, count] = [values.steps ?? 30, values.batch ?? 4, values.pairs ?? 200].map(Number);
const threads = Number(values.threads ?? 1);

const PROMPTS = [
  (tweet: string) => `Tweet text : ${tweet} Label :`,
  (tweet: string) => `Is this a complaint?\n${tweet}\nAnswer:`,
  (tweet: string) => `${tweet}\nThis tweet is a`,
  (tweet: string) => `Classify the tweet.\nTweet: ${tweet}\nClass:`,
];

/** The label that is right is preferred; each tweet is asked about in several ways. */
async function pairs(): Promise<{ prompt: string; chosen: string; rejected: string }[]> {
  const rows = await loadDataset(data, { columns: { text: "Tweet text", label: "Label" }, kind: "classify" });
  const tweets = rows.filter((row): row is ClassifyRow => row.kind === "classify");
  return PROMPTS.flatMap((write) =>
    tweets.map(({ text, labels: [label = 0], labelNames }) => ({
      prompt: write(text),
      chosen: ` ${labelNames[label]}`,
      rejected: ` ${labelNames[1 - label]}`,
    })),
  ).slice(0, count);
}

const list = await pairs();
mkdirSync(out, { recursive: true });
writeFileSync(join(out, "pairs.jsonl"), list.map((pair) => `${JSON.stringify(pair)}\n`).join(""));
const watch = new MemoryWatch(process.pid);
const tokenizer = await AutoTokenizer.fromPretrained(folder);
const base = await AutoModelForCausalLM.fromPretrained(folder, { threads, seed: 1 });
const model: PeftModel<"CAUSAL_LM"> = getPeftModel(
  base,
  new LoraConfig({ r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] }),
);
await model.ready();
await model.savePretrained(join(out, "adapter"));
const trainer = new DPOTrainer(model as unknown as TrainableModel, {
  ...{
    tokenizer,
    rows: rowsFrom(list),
    batchSize,
    maxSteps: steps,
    lr: 1e-4,
    shuffle: false,
    maxLength: 128,
  },
});
const events: StepEvent[] = [];
const times: number[] = [];
let before = performance.now();
for await (const event of trainer.run()) {
  if (event.type !== "step") continue;
  times.push((performance.now() - before) / 1000);
  before = performance.now();
  events.push(event);
}
const ours = await watch.stop();
await base.close();
const secondsOf = (list: readonly number[]): number =>
  list.slice(2).reduce((a, b) => a + b, 0) / (list.length - 2);
console.log(
  `ours: ${secondsOf(times).toFixed(3)} s a step (first, with the reference's pass: ${times[0]?.toFixed(1)} s)`,
);
console.log(`ours: peak ${JSON.stringify(ours)}`);
const args = [folder, out, `--steps=${steps}`, `--batch=${batchSize}`, `--threads=${threads}`];
const python = await runReference("dpo_reference.py", args);
if (python !== undefined) {
  const losses = (python.json["losses"] ?? []) as readonly number[];
  const off = losses.map((loss, i) => Math.abs(loss - (events[i]?.loss ?? Number.NaN)));
  const theirs = (python.json["seconds"] ?? []) as readonly number[];
  console.log(`TRL: ${secondsOf(theirs).toFixed(3)} s a step; peak ${JSON.stringify(python.memory)}`);
  console.log(
    `losses: ours ${events[0]?.loss} to ${events.at(-1)?.loss}, TRL's ${losses[0]} to ${losses.at(-1)}`,
  );
  console.log(`losses of ${losses.length} steps: furthest apart ${Math.max(...off).toExponential(1)}`);
  console.log(`ratio of times: ${(secondsOf(theirs) / secondsOf(times)).toFixed(2)}`);
}
