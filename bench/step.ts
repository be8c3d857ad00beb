import { LoraConfig } from "../src/adapters/index.js";
import { nodeFiles } from "../src/hub/files.js";
import { readJsonObject } from "../src/hub/json.js";
import type { TaskType } from "../src/models/model.js";
import type { LoadOptions } from "../src/peft/base_model.js";
import { PreTrainedModel } from "../src/peft/base_model.js";
import type { Inputs } from "../src/peft/feeds.js";
import { getPeftModel } from "../src/peft/peft_model.js";
import { below, random } from "../src/random.js";
import { AdamW } from "../src/train/adamw.js";
import { gemmRate, stepFlops } from "./gemm.js";
import { MemoryWatch } from "./memory.js";
import { loadWords } from "./options.js";
import { runReference } from "./python.js";
import { randomModel } from "./random_model.js";

export interface StepBench {
  /** A shape of tools/shapes; beside a folder, only the one that Python takes (undefined: none). */
  readonly model: string | undefined;
  /** A checkpoint made before. */
  readonly folder: string | undefined;
  readonly batch: number;
  readonly seq: number;
  readonly labelSeq: number;
  readonly steps: number;
  readonly threads: number;
  readonly layers: number | undefined;
  readonly load: LoadOptions;
  /** Of Python's side. */
  readonly python: { readonly dtype: string; readonly checkpointing: boolean; readonly skip: boolean };
}

interface Ours {
  readonly ms: number;
  /** MB */
  readonly peak: number;
}

const MB = 2 ** 20;
const NO_DROPOUT = {
  dropout_rate: 0,
  dropout: 0,
  attention_dropout: 0,
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
};
/** Shapes that Python's script lacks. */
const ONLY_OURS: readonly string[] = ["smollm2-135m"];

/** One LoRA training step (r = 8 on the default targets) on a model of true shape, beside Python's. */
export async function benchStep(o: StepBench): Promise<void> {
  const folder = o.folder ?? (await randomModel(o.model ?? "t5-base", o.layers));
  const ours = await measure(o, folder);
  const model = o.folder === undefined ? (o.model ?? "t5-base") : o.model;
  if (model === undefined || o.python.skip || ONLY_OURS.includes(model)) return;
  compare(ours, model, o);
}

async function measure(o: StepBench, folder: string): Promise<Ours> {
  const memory = new MemoryWatch();
  const task = await taskOf(folder);
  const base = await PreTrainedModel.load(task, folder, {
    ...o.load,
    threads: o.threads,
    config: NO_DROPOUT,
  });
  const model = getPeftModel(base, new LoraConfig({ r: 8, loraAlpha: 32 }));
  console.log(model.trainableParametersLine());
  const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-3 });
  const batch = makeBatch(o, base.config.vocabSize, task);
  const times: number[] = [];
  for (let i = 0; i <= o.steps; i++) {
    const start = performance.now();
    await model.forwardBackward(batch as never);
    await optimizer.step();
    times.push(performance.now() - start);
    memory.lookAtFiles();
  }
  const { inventory } = base.runtime.weights;
  await base.close();
  const sorted = times.slice(1).sort((a, b) => a - b);
  const ms = sorted[sorted.length >> 1]!;
  const taken = memory.stop();
  const mb = (bytes: number): number => Math.round(bytes / MB);
  console.log(
    `peft.js${loadWords(o.load)}: ${Math.round(ms)} ms a step (least ${Math.round(sorted[0]!)}; first ${Math.round(times[0]!)}), ` +
      `peak ${mb(taken.peak)} MB (anonymous ${mb(taken.anonymous)}, mapped weights ${mb(taken.mapped)})`,
  );
  const rate = await gemmRate(o.threads);
  const reached = stepFlops(inventory, positionsOf(o, task)) / (ms / 1000);
  console.log(
    `linears: ${(reached / 1e9).toFixed(1)} GFLOP/s, ${((100 * reached) / rate).toFixed(0)} % of f32 MatMul's ${(rate / 1e9).toFixed(1)}`,
  );
  return { ms, peak: mb(taken.peak) };
}

async function taskOf(folder: string): Promise<TaskType> {
  const json = await readJsonObject(nodeFiles.join(folder, "config.json"));
  const type = `${json["model_type"]}`;
  if (/bert/.test(type)) return "SEQ_CLS";
  return /t5$/.test(type) ? "SEQ_2_SEQ_LM" : "CAUSAL_LM";
}

function positionsOf(o: StepBench, task: TaskType): { input: number; target: number; head: number } {
  const [input, target] = [o.batch * o.seq, o.batch * o.labelSeq];
  const labelled = { SEQ_CLS: o.batch, SEQ_2_SEQ_LM: target, CAUSAL_LM: input - o.batch };
  return { input, target, head: labelled[task as keyof typeof labelled] };
}

function compare(ours: Ours, model: string, o: StepBench): void {
  const layers = o.layers === undefined ? [] : ["--layers", `${o.layers}`];
  const { dtype, checkpointing } = o.python;
  const theirs = runReference("reference_step.py", [
    ...["--model", model, "--batch", `${o.batch}`, "--seq", `${o.seq}`, "--label-seq", `${o.labelSeq}`],
    ...["--steps", `${o.steps}`, "--threads", `${o.threads}`, "--dtype", dtype],
    ...layers,
    ...(checkpointing ? ["--checkpointing"] : []),
  ]);
  if (theirs === undefined) return;
  const [ms, peak] = [theirs["ms_per_step"] as number, theirs["peak_mb"] as number];
  const how = `${dtype}${checkpointing ? ", checkpointing" : ""}`;
  console.log(`Python (${how}): ${ms} ms a step (least ${theirs["min_ms"]}), peak ${peak} MB`);
  console.log(
    `ratio: ${(ms / ours.ms).toFixed(2)} times as fast, ${(ours.peak / peak).toFixed(2)} of the memory`,
  );
}

function makeBatch(o: StepBench, vocab: number, task: TaskType): Inputs {
  const next = random(1);
  const ids = (rows: number, columns: number): { data: Int32Array; shape: [number, number] } => ({
    data: Int32Array.from({ length: rows * columns }, () => 4 + below(next, vocab - 4)),
    shape: [rows, columns],
  });
  const inputIds = ids(o.batch, o.seq);
  const attentionMask = { data: new Int32Array(o.batch * o.seq).fill(1), shape: inputIds.shape };
  const classes = { data: Int32Array.from({ length: o.batch }, () => below(next, 2)), shape: [o.batch, 1] };
  const labels = task === "SEQ_CLS" ? classes : task === "SEQ_2_SEQ_LM" ? ids(o.batch, o.labelSeq) : inputIds;
  return { task, inputIds, attentionMask, labels } as unknown as Inputs;
}
