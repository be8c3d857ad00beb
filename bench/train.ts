import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { PeftError } from "../src/errors.js";
import { LoraConfig } from "../src/methods/index.js";
import type { LoadOptions } from "../src/peft/base_model.js";
import { PreTrainedModel } from "../src/peft/base_model.js";
import { getPeftModel } from "../src/peft/get_peft_model.js";
import type { PeftModel } from "../src/peft/peft_model.js";
import { random, shuffled } from "../src/random.js";
import { AutoTokenizer } from "../src/tokenizers/auto.js";
import type { Tokenizer } from "../src/tokenizers/tokenizer.js";
import type { TextBatch } from "../src/trace/feeds.js";
import { AdamW } from "../src/train/adamw.js";
import { learningRate } from "../src/train/schedules.js";
import { MemoryWatch } from "./memory.js";
import { loadWords } from "./options.js";
import { above } from "./paths.js";
import type { Reference } from "./python.js";
import { runReference } from "./python.js";

type CsvRow = Record<string, string>;
type Ids = { data: Int32Array; shape: [number, number] };

interface Task {
  readonly model: PeftModel;
  readonly train: readonly CsvRow[];
  readonly batchSize: number;
  readonly epochs: number;
  readonly lr: number;
  readonly collate: (rows: readonly CsvRow[]) => TextBatch;
  readonly evaluate: () => Promise<{ accuracy: number; answers: string[] }>;
}

function readRows(file: string): CsvRow[] {
  const path = above(join("shared/data", file));
  if (path === undefined)
    throw new PeftError("data", {
      what: `There is no ${file}.`,
      why: "it is looked for in shared/data, beside this repository.",
      fix: "put it there.",
    });
  return parse(readFileSync(path), { columns: true, bom: true }) as CsvRow[];
}

function padded(rows: readonly (readonly number[])[], value: number, left: boolean): Ids {
  const width = Math.max(...rows.map((r) => r.length));
  const data = new Int32Array(rows.length * width).fill(value);
  for (const [i, row] of rows.entries()) data.set(row, i * width + (left ? width - row.length : 0));
  return { data, shape: [rows.length, width] };
}

const ones = (rows: readonly (readonly number[])[]): number[][] => rows.map((r) => r.map(() => 1));

/** LoRA on BERT, 77 classes. */
async function banking77(tokenizer: Tokenizer, { folder, load, steps }: TrainBench): Promise<Task> {
  const train = readRows("banking77/train.csv");
  const test = readRows("banking77/test.csv").filter((_, i) => steps === undefined || i % 3 === 0);
  const names = [...new Set(train.map((r) => r["category"]!))].sort();
  const config = { num_labels: names.length, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
  const base = await PreTrainedModel.load("SEQ_CLS", folder, { ...load, config });
  const model = getPeftModel(
    base,
    new LoraConfig({ r: 16, loraAlpha: 32, targetModules: ["query", "value"] }),
  );
  await model.ready();
  for (const e of model.activeAdapter.entries.values()) if (e.key.startsWith("classifier")) e.data.fill(0);
  const collate = (rows: readonly CsvRow[]): TextBatch => {
    const texts = rows.map((r) => r["text"]!);
    const { inputIds } = tokenizer(texts, { truncation: true, maxLength: 64 });
    const labels = {
      data: Int32Array.from(rows, (r) => names.indexOf(r["category"]!)),
      shape: [rows.length, 1],
    };
    return {
      task: "SEQ_CLS",
      inputIds: padded(inputIds, tokenizer.padTokenId ?? 0, false),
      attentionMask: padded(ones(inputIds), 0, false),
      labels,
    } as unknown as TextBatch;
  };
  const evaluate = async (): Promise<{ accuracy: number; answers: string[] }> => {
    let right = 0;
    for (let i = 0; i < test.length; i += 64) {
      const rows = test.slice(i, i + 64);
      const { logits } = await model.forward(collate(rows) as never);
      for (const [k, row] of rows.entries()) {
        const scores = logits.data.subarray(k * names.length, (k + 1) * names.length);
        if (scores.indexOf(Math.max(...scores)) === names.indexOf(row["category"]!)) right++;
      }
    }
    return { accuracy: right / test.length, answers: [] };
  };
  return { model: model as PeftModel, train, batchSize: 32, epochs: 2, lr: 2e-3, collate, evaluate };
}

/** LoRA on a Llama: "Tweet text : ... Label : complaint", only the label is learnt. */
async function tweets(tokenizer: Tokenizer, { folder, load }: TrainBench): Promise<Task> {
  const all = readRows("twitter_complaints/train.csv");
  const [train, test] = [all.slice(0, 40), all.slice(40)];
  const base = await PreTrainedModel.load("CAUSAL_LM", folder, load);
  const model = getPeftModel(
    base,
    new LoraConfig({ r: 8, loraAlpha: 16, targetModules: ["q_proj", "v_proj"] }),
  );
  const prompt = (r: CsvRow): string => `Tweet text : ${r["Tweet text"]} Label : `;
  const ids = (text: string): number[] => tokenizer(text).inputIds[0]!;
  const collate = (rows: readonly CsvRow[]): TextBatch => {
    const pairs = rows.map((r) => [ids(prompt(r)), [...ids(r["Label"]!), tokenizer.eosTokenId!]] as const);
    const whole = pairs.map(([p, l]) => [...p, ...l]);
    return {
      task: "CAUSAL_LM",
      inputIds: padded(whole, tokenizer.padTokenId!, true),
      attentionMask: padded(ones(whole), 0, true),
      labels: padded(
        pairs.map(([p, l]) => [...p.map(() => -100), ...l]),
        -100,
        true,
      ),
    } as unknown as TextBatch;
  };
  const evaluate = async (): Promise<{ accuracy: number; answers: string[] }> => {
    const answers: string[] = [];
    for (const row of test) {
      const input = ids(prompt(row));
      const [out] = await model.generate({ inputIds: [input] }, { maxNewTokens: 6, doSample: false });
      answers.push(tokenizer.decode(out!.slice(input.length), { skipSpecialTokens: true }));
    }
    const right = answers.filter((a, i) => a.trim() === test[i]!["Label"]).length;
    return { accuracy: right / test.length, answers };
  };
  return { model: model as PeftModel, train, batchSize: 8, epochs: 8, lr: 1e-3, collate, evaluate };
}

export interface TrainBench {
  readonly task: "tweets" | "banking77";
  readonly folder: string;
  /** Given: not the whole run, and banking77 is evaluated on every third test row alone. */
  readonly steps: number | undefined;
  /**
   * Given: the adapter starts at random and rows come in an order of this seed, which Python's run has not.
   */
  readonly seed: number | undefined;
  readonly load: LoadOptions;
  readonly reference: boolean;
}

/**
 * A whole fine-tuning run on real weights and data, beside the same run in Python: same start, same batches.
 */
export async function benchTrain(o: TrainBench): Promise<void> {
  const memory = new MemoryWatch();
  const tokenizer = await AutoTokenizer.fromPretrained(o.folder);
  const task = await (o.task === "banking77" ? banking77 : tweets)(tokenizer, o);
  await task.model.ready();
  if (o.seed === undefined) setStart(task.model);
  const { losses, tokens, seconds } = await trainSteps(task, o);
  const { accuracy, answers } = await task.evaluate();
  memory.lookAtFiles();
  await task.model.close();
  const ours = { seconds, rate: tokens / seconds, accuracy, peak: memory.stop().peak };
  const who = `peft.js${loadWords(o.load)}${o.seed === undefined ? "" : `, seed ${o.seed}`}`;
  console.log(line(who, ours), answers.length > 0 ? JSON.stringify(answers) : "");
  const limit = o.steps === undefined ? ["--full"] : ["--steps", `${o.steps}`];
  const theirs =
    o.reference && o.seed === undefined
      ? await runReference("reference_train.py", [o.task, o.folder, ...limit])
      : undefined;
  if (theirs === undefined) console.log(`losses: ${losses.map((l) => l.toFixed(5)).join(" ")}`);
  else report(ours, losses, answers, theirs);
}

/** The adapter's A as Python's run has it. */
function setStart(model: PeftModel): void {
  for (const e of model.activeAdapter.entries.values())
    if (e.key.includes("lora_A"))
      for (let i = 0; i < e.data.length; i++)
        e.data[i] = Math.fround(Math.sin(i * 1.7)) / Math.sqrt(e.shape[1]!);
  model.activeAdapter.state.touch();
}

async function trainSteps(
  task: Task,
  { seed, steps }: TrainBench,
): Promise<{ losses: number[]; tokens: number; seconds: number }> {
  const perEpoch = Math.floor(task.train.length / task.batchSize);
  const total = perEpoch * task.epochs;
  const optimizer = new AdamW(task.model.trainableParameters(), { lr: task.lr, weightDecay: 0 });
  const rowsOf = rowOrder(task, seed);
  const losses: number[] = [];
  let tokens = 0;
  const start = performance.now();
  for (let step = 0; step < (steps ?? total); step++) {
    const batch = task.collate(rowsOf(Math.floor(step / perEpoch), step % perEpoch));
    losses.push((await task.model.forwardBackward(batch, { training: false })).loss);
    const options = { lr: task.lr, warmupSteps: Math.floor(total / 10), totalSteps: total };
    optimizer.lr = learningRate("linear", options, step);
    await optimizer.step();
    tokens += batch.attentionMask.data.reduce((a, b) => a + b, 0);
  }
  return { losses, tokens, seconds: (performance.now() - start) / 1000 };
}

/** Rows of a batch: in Python's fixed order, or shuffled for every epoch. */
function rowOrder(
  { train, batchSize }: Task,
  seed: number | undefined,
): (epoch: number, batch: number) => CsvRow[] {
  const fixed = train.map((_, k) => train[(k * 7919) % train.length]!);
  return (epoch, batch) => {
    const rows = seed === undefined ? fixed : shuffled(train, random(seed, epoch));
    return rows.slice(batch * batchSize, (batch + 1) * batchSize);
  };
}

interface Figures {
  readonly seconds: number;
  readonly rate: number;
  readonly accuracy: number;
  readonly peak: number;
}

function line(who: string, f: Figures): string {
  return `${who}: ${f.seconds.toFixed(1)} s, ${Math.round(f.rate)} tokens/s, accuracy ${f.accuracy.toFixed(4)}, peak ${Math.round(f.peak / 2 ** 20)} MB`;
}

function report(
  ours: Figures,
  losses: readonly number[],
  answers: readonly string[],
  { json: theirs, memory }: Reference,
): void {
  const expected = theirs["losses"] as number[];
  const python = {
    seconds: theirs["seconds"] as number,
    rate: theirs["tokens_per_second"] as number,
    accuracy: theirs["accuracy"] as number,
    peak: memory.peak,
  };
  const worst = Math.max(...losses.map((l, i) => Math.abs(l - expected[i]!)));
  const same = JSON.stringify(answers) === JSON.stringify(theirs["answers"]);
  console.log(`${line("Python", python)} (resident set ${theirs["peak_mb"]})`);
  console.log(`losses: largest difference of ${losses.length} steps ${worst.toExponential(2)}`);
  if (answers.length > 0)
    console.log(`answers: ${same ? "the same" : `not the same: ${JSON.stringify(theirs["answers"])}`}`);
  console.log(
    `ratio: ${(ours.rate / python.rate).toFixed(2)} times as fast, ${(ours.peak / python.peak).toFixed(2)} of the memory`,
  );
}
