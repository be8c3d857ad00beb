import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  AdamW,
  AutoModelForSequenceClassification,
  BottleneckConfig,
  getPeftModel,
  type Inputs,
} from "../../src/index.js";

/**
 * npx tsx tools/interop/bottleneck.ts MODEL OUT, then python -P tools/interop/bottleneck.py MODEL OUT in an
 * environment of the library "adapters": it loads what was trained and saved here and must give the same
 * logits. The other way is the kit's folder bottleneck.
 */
const [folder = "", out = ""] = process.argv.slice(2);
const shape = [2, 5] as const;
const batch: Inputs<"SEQ_CLS"> = {
  task: "SEQ_CLS",
  inputIds: { data: Int32Array.of(5, 7, 9, 11, 3, 9, 40, 41, 42, 43), shape },
  attentionMask: { data: new Int32Array(10).fill(1), shape },
  labels: { data: Int32Array.of(1, 2), shape: [2, 1] },
};
const logits: Record<string, readonly number[]> = {};
const base = await AutoModelForSequenceClassification.fromPretrained(folder, { threads: 1 });
for (const preset of [
  "seq_bn",
  "double_seq_bn",
  "par_bn",
  "seq_bn_inv",
  "compacter",
  "adapter_plus",
] as const) {
  const model = getPeftModel(base, new BottleneckConfig({ preset, reductionFactor: 2, stochasticDepth: 0 }));
  const optimizer = new AdamW(model.trainableParameters(), { lr: 0.05 });
  for (let i = 0; i < 4; i++) {
    await model.forwardBackward(batch);
    await optimizer.step();
  }
  logits[preset] = [...(await model.forward(batch)).logits.data];
  rmSync(join(out, preset), { recursive: true, force: true });
  await model.savePretrained(join(out, preset));
  await model.unload();
}
await base.close();
mkdirSync(out, { recursive: true });
writeFileSync(join(out, "logits.json"), JSON.stringify(logits));
