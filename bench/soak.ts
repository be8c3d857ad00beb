import { spawnSync } from "node:child_process";
import { LoraConfig } from "../src/methods/index.js";
import type { LoadOptions } from "../src/peft/base_model.js";
import { PreTrainedModel } from "../src/peft/base_model.js";
import { getPeftModel } from "../src/peft/get_peft_model.js";
import type { PeftModel } from "../src/peft/peft_model.js";
import { budgetFor } from "../src/plan/choose_plan.js";
import { RunMemory } from "../src/plan/memory/estimate.js";
import { storedIn } from "../src/plan/memory/table.js";
import { PLAN_NAMES } from "../src/plan/plan.js";
import type { Random } from "../src/random.js";
import { below, random } from "../src/random.js";
import { anonymousMemory } from "../src/run/memory_use.js";
import type { TextBatch } from "../src/trace/feeds.js";
import { AdamW } from "../src/train/adamw.js";
import { MemoryWatch } from "./memory.js";
import { randomModel } from "./random_model.js";
import { NO_DROPOUT, taskOf } from "./step.js";

export interface Soak {
  readonly model: string;
  readonly layers: number | undefined;
  readonly batch: number;
  /** Tokens of the longest row. */
  readonly seq: number;
  /** Labelled tokens of a row; of an encoder-decoder, its target's. */
  readonly labelSeq: number;
  readonly steps: number;
  /** Every so many steps the loss of another batch is computed, or a prompt is answered; 0: never. */
  readonly evaluateEvery: number;
  readonly generateEvery: number;
  readonly load: LoadOptions;
}

const FORMATS = ["f32", "f16", "bf16", "int8", "int4", "nf4"] as const;
/** Steps after which memory should not grow. */
const SETTLED = 20;
const NEW_TOKENS = 32;

const mb = (bytes: number): number => Math.round(bytes / 2 ** 20);

/** All plans and formats, or one of each: every combination in a process of its own. */
export function benchSoak(o: Soak): Promise<void> {
  const { plan, load } = o.load;
  if (plan !== undefined && load !== undefined) return soak(o);
  for (const name of PLAN_NAMES)
    for (const format of FORMATS)
      if ((plan ?? name) === name && (load ?? format) === format)
        spawnSync(
          process.execPath,
          [...process.execArgv, ...process.argv.slice(1), "--plan", name, "--load", format],
          { stdio: ["ignore", "inherit", "inherit"] },
        );
  return Promise.resolve();
}

/**
 * Steps of training on rows of seeded lengths, within the least that the plan says to need. The longest batch
 * comes first (as the Trainer has it where memory is limited), and again where memory is looked at, so that
 * like is compared with like.
 */
async function soak(o: Soak): Promise<void> {
  const memory = new MemoryWatch();
  const format = o.load.load as (typeof FORMATS)[number];
  const stored = format === "f32" || format === "f16" ? format : "bf16";
  const folder = await randomModel(o.model, o.layers, stored);
  const task = await taskOf(folder);
  const { load: _, ...rest } = o.load;
  const packed = format === stored ? rest : o.load;
  const limit = await leastBudget(o, folder, packed);
  const base = await PreTrainedModel.load(task, folder, { ...packed, maxMemory: limit, config: NO_DROPOUT });
  const model = getPeftModel(base, new LoraConfig({ r: 8 }));
  await base.runtime.planMemory([model.activeAdapter], sizesOf(o, task));
  const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-4 });
  const next = random(0);
  const longest = Array.from({ length: o.batch }, () => o.seq);
  let [settled, end] = [0, 0];
  for (let step = 1; step <= o.steps; step++) {
    const isLongest = step === 1 || step === SETTLED || step === o.steps;
    const batch = makeBatch(o, model, next, isLongest ? longest : randomLengths(o, next));
    await model.forwardBackward(batch as never);
    await optimizer.step();
    end = await anonymousMemory();
    if (step === SETTLED) settled = end;
    if (step % o.evaluateEvery === 0)
      await model.lossOf(makeBatch(o, model, next, randomLengths(o, next)) as never);
    if (step % o.generateEvery === 0) await answer(o, model, next);
  }
  const { peak, anonymous, mapped } = memory.stop();
  const { bytes, plan } = base.memoryEstimate!;
  await base.close();
  const percent = (a: number, b: number): string => `${(100 * (a / b - 1)).toFixed(1)} %`;
  console.log(
    [
      `${plan.name} ${format}: step ${SETTLED} ${mb(settled)} MB, step ${o.steps} ${mb(end)} (${percent(end, settled)})`,
      `peak ${mb(peak)} (anonymous ${mb(anonymous)}, mapped ${mb(mapped)})`,
      `limit ${mb(limit)}${peak > limit ? " PASSED" : ""}`,
      `estimate ${mb(bytes)} (${percent(bytes, peak)})`,
    ].join(", "),
  );
}

type Sizes = { batch: number; seq: number; target?: number; labels?: number };

function sizesOf({ batch, seq, labelSeq }: Soak, task: string): Sizes {
  return task === "SEQ_2_SEQ_LM" ? { batch, seq, target: labelSeq } : { batch, seq, labels: labelSeq };
}

async function leastBudget(o: Soak, folder: string, load: LoadOptions): Promise<number> {
  const task = await taskOf(folder);
  const base = await PreTrainedModel.load(task, folder, { ...load, config: NO_DROPOUT });
  const model = getPeftModel(base, new LoraConfig({ r: 8 }));
  const { weights } = base.runtime;
  const memory = RunMemory.ofStep(weights, { adapters: [model.activeAdapter], ...sizesOf(o, task) });
  const plan = load.plan as (typeof PLAN_NAMES)[number];
  const { bytes } = memory.estimate({
    plan,
    format: load.load ?? "f32",
    stored: storedIn(base.configJson),
    ...(plan === "streamed" ? { keep: 0 } : {}),
  });
  await base.close();
  return budgetFor(bytes);
}

async function answer(o: Soak, model: PeftModel, next: Random): Promise<void> {
  const { inputIds } = makeBatch(o, model, next, randomLengths({ ...o, batch: 1 }, next));
  const options = { maxNewTokens: NEW_TOKENS, doSample: false };
  await model.generate({ inputIds: [[...inputIds.data]] }, options);
}

/** Rows of 1 to `seq` tokens. */
function randomLengths({ batch, seq }: Soak, next: Random): number[] {
  return Array.from({ length: batch }, () => 1 + below(next, seq));
}

function makeBatch(o: Soak, model: PeftModel, next: Random, lengths: readonly number[]): TextBatch {
  const { vocabSize } = model.config;
  const rows = lengths.length;
  const seq = Math.max(...lengths);
  const filled = (columns: number, of: (row: number, at: number) => number) => ({
    data: Int32Array.from({ length: rows * columns }, (_, i) => of(Math.floor(i / columns), i % columns)),
    shape: [rows, columns],
  });
  const inputIds = filled(seq, () => 4 + below(next, vocabSize - 4));
  const isToken = (row: number, at: number): boolean => at >= seq - lengths[row]!;
  const attentionMask = filled(seq, (row, at) => Number(isToken(row, at)));
  const labels =
    model.taskType === "SEQ_2_SEQ_LM"
      ? filled(o.labelSeq, () => 4 + below(next, vocabSize - 4))
      : filled(seq, (row, at) =>
          isToken(row, at) && at >= seq - o.labelSeq ? inputIds.data[row * seq + at]! : -100,
        );
  return { task: model.taskType, inputIds, attentionMask, labels } as unknown as TextBatch;
}
