import { LoraConfig } from "../src/adapters/index.js";
import { PreTrainedModel } from "../src/peft/base_model.js";
import type { Inputs } from "../src/peft/feeds.js";
import { getPeftModel } from "../src/peft/peft_model.js";
import { below, random } from "../src/random.js";
import { AdamW } from "../src/train/adamw.js";
import { shapeOf } from "../tools/shapes/shapes.js";
import { runReference } from "./python.js";
import { randomModel } from "./random_model.js";

export interface StepBench {
  readonly model: string;
  readonly batch: number;
  readonly seq: number;
  readonly labelSeq: number;
  readonly steps: number;
  readonly threads: number;
  readonly layers: number | undefined;
}

/** One LoRA training step (r = 8 on the default targets) on a model of true shape, beside Python's. */
export async function benchStep(o: StepBench): Promise<void> {
  const folder = await randomModel(o.model, o.layers);
  const { task } = shapeOf(o.model);
  const base = await PreTrainedModel.load(task, folder, { threads: o.threads });
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
  }
  await base.close();
  const sorted = times.slice(1).sort((a, b) => a - b);
  const ours = {
    ms: Math.round(sorted[sorted.length >> 1]!),
    peak: Math.round(process.resourceUsage().maxRSS / 1024),
  };
  console.log(
    `peft.js: ${ours.ms} ms a step (least ${Math.round(sorted[0]!)}; first ${Math.round(times[0]!)}), peak ${ours.peak} MB`,
  );
  const layers = o.layers === undefined ? [] : ["--layers", `${o.layers}`];
  const theirs = runReference("reference_step.py", [
    ...["--model", o.model, "--batch", `${o.batch}`, "--seq", `${o.seq}`, "--label-seq", `${o.labelSeq}`],
    ...["--steps", `${o.steps}`, "--threads", `${o.threads}`],
    ...layers,
  ]);
  if (theirs === undefined) return;
  const [ms, peak] = [theirs["ms_per_step"] as number, theirs["peak_mb"] as number];
  console.log(`Python:  ${ms} ms a step (least ${theirs["min_ms"]}), peak ${peak} MB`);
  console.log(
    `ratio: ${(ms / ours.ms).toFixed(2)} times as fast, ${(ours.peak / peak).toFixed(2)} of the memory`,
  );
}

function makeBatch(o: StepBench, vocab: number, task: string): Inputs {
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
