import type { Adapter } from "../src/adapters/adapter.js";
import { nodeFiles } from "../src/hub/files.js";
import { readJsonObject } from "../src/hub/json.js";
import { LoraConfig } from "../src/methods/index.js";
import type { TaskType } from "../src/models/model.js";
import type { LoadOptions } from "../src/peft/base_model.js";
import { PreTrainedModel } from "../src/peft/base_model.js";
import { getPeftModel } from "../src/peft/get_peft_model.js";
import { RunMemory } from "../src/plan/memory/estimate.js";
import { storedIn } from "../src/plan/memory/table.js";
import type { PlanName } from "../src/plan/plan.js";
import { below, random } from "../src/random.js";
import type { TextBatch } from "../src/trace/feeds.js";
import { AdamW } from "../src/train/adamw.js";
import type { FloatType } from "../tools/shapes/noise.js";
import { gemmRate, stepFlops } from "./gemm.js";
import type { PeakMemory } from "./memory.js";
import { MemoryWatch } from "./memory.js";
import { loadWords } from "./options.js";
import { randomModel } from "./random_model.js";
import { referenceStep } from "./step_reference.js";

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
  /** Of a checkpoint that is made for it. */
  readonly dtype: FloatType;
  readonly load: LoadOptions;
  readonly python: {
    readonly dtype: "f32" | "bf16";
    readonly checkpointing: boolean;
    readonly skip: boolean;
    readonly layers: number | undefined;
  };
}

interface Ours {
  readonly ms: number;
  /** Bytes. */
  readonly peak: number;
}

const mb = (bytes: number): number => Math.round(bytes / 2 ** 20);
const SECONDS = 1000;
export const NO_DROPOUT = {
  dropout_rate: 0,
  dropout: 0,
  attention_dropout: 0,
  hidden_dropout_prob: 0,
  attention_probs_dropout_prob: 0,
};
/** One LoRA training step (r = 8 on the default targets) on a model of true shape, beside Python's. */
export async function benchStep(o: StepBench): Promise<void> {
  const folder = o.folder ?? (await randomModel(o.model ?? "t5-base", o.layers, o.dtype));
  const ours = await measure(o, folder);
  const model = o.folder === undefined ? (o.model ?? "t5-base") : o.model;
  if (model !== undefined && !o.python.skip) await compare(ours, model, o);
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
  const taken = memory.stop();
  await base.close();
  const ms = report(times, taken, o);
  console.log(estimateLine(base, model.activeAdapter, taken, o));
  const rate = await gemmRate(o.threads);
  const reached = stepFlops(base.runtime.weights.inventory, positionsOf(o, task)) / (ms / SECONDS);
  console.log(
    `linears: ${(reached / 1e9).toFixed(1)} GFLOP/s, ${((100 * reached) / rate).toFixed(0)} % of f32 MatMul's ${(rate / 1e9).toFixed(1)}`,
  );
  return { ms, peak: taken.peak };
}

/** The median of all steps but the first. */
function report(times: readonly number[], taken: PeakMemory, o: StepBench): number {
  const sorted = times.slice(1).sort((a, b) => a - b);
  const ms = sorted[sorted.length >> 1]!;
  console.log(
    `peft.js${loadWords(o.load)}: ${Math.round(ms)} ms a step (least ${Math.round(sorted[0]!)}; first ${Math.round(times[0]!)}), ` +
      `peak ${mb(taken.peak)} MB (anonymous ${mb(taken.anonymous)}, mapped weights ${mb(taken.mapped)})`,
  );
  return ms;
}

/** The estimate that the plan was chosen by, or where it was given, what it would have been. */
function estimateLine(base: PreTrainedModel, adapter: Adapter, taken: PeakMemory, o: StepBench): string {
  const chosen = base.memoryEstimate;
  const { name, recompute } = chosen?.plan ?? { name: o.load.plan as PlanName, recompute: o.load.recompute };
  const bytes = chosen?.bytes ?? estimated(base, adapter, name, o);
  const off = (100 * (bytes - taken.peak)) / taken.peak;
  const again = Number.isFinite(recompute) ? `, ${recompute} blocks computed again` : "";
  const sign = off < 0 ? "" : "+";
  return `estimate: ${mb(bytes)} MB (${sign}${off.toFixed(1)} %), plan ${name}${again}`;
}

function estimated(base: PreTrainedModel, adapter: Adapter, plan: PlanName, o: StepBench): number {
  const sizes = {
    adapters: [adapter],
    batch: o.batch,
    seq: o.seq,
    target: base.taskType === "CAUSAL_LM" ? o.seq : o.labelSeq,
  };
  const stored = storedIn(base.configJson);
  const more = o.load.recompute === undefined ? {} : { recompute: o.load.recompute };
  const choice = { plan, format: o.load.load ?? "f32", stored, ...more };
  return RunMemory.ofStep(base.runtime.weights, sizes).estimate(choice).bytes;
}

/** By its config.json. */
export async function taskOf(folder: string): Promise<TaskType> {
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

async function compare(ours: Ours, model: string, o: StepBench): Promise<void> {
  const { dtype, checkpointing, layers: referenceLayers } = o.python;
  const { batch, seq, labelSeq, steps, threads, layers } = o;
  const sizes = { batch, seq, labelSeq, steps, threads, layers };
  const found = await referenceStep({ model, ...sizes, dtype, checkpointing, referenceLayers });
  if (found === undefined) return;
  const { ms, least, memory, resident, reckoned } = found;
  const how = `${dtype}${checkpointing ? ", checkpointing" : ""}`;
  console.log(
    `Python (${how}): ${Math.round(ms)} ms a step (least ${Math.round(least)}), peak ${mb(memory.peak)} MB (resident set ${mb(resident)})`,
  );
  if (reckoned !== undefined) console.log(`        ${reckoned}`);
  console.log(
    `ratio: ${(ms / ours.ms).toFixed(2)} times as fast, ${(ours.peak / memory.peak).toFixed(2)} of the memory`,
  );
}

function makeBatch(o: StepBench, vocab: number, task: TaskType): TextBatch {
  const next = random(1);
  const ids = (rows: number, columns: number): { data: Int32Array; shape: [number, number] } => ({
    data: Int32Array.from({ length: rows * columns }, () => 4 + below(next, vocab - 4)),
    shape: [rows, columns],
  });
  const inputIds = ids(o.batch, o.seq);
  const attentionMask = { data: new Int32Array(o.batch * o.seq).fill(1), shape: inputIds.shape };
  const classes = { data: Int32Array.from({ length: o.batch }, () => below(next, 2)), shape: [o.batch, 1] };
  const labels = task === "SEQ_CLS" ? classes : task === "SEQ_2_SEQ_LM" ? ids(o.batch, o.labelSeq) : inputIds;
  return { task, inputIds, attentionMask, labels } as unknown as TextBatch;
}
