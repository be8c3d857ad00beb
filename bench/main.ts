import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { processor } from "./python.js";
import { benchStep } from "./step.js";
import { benchTrain } from "./train.js";

const USAGE = `usage: npm run bench -- step --model t5-base [--batch 8] [--seq 128] [--label-seq 32] [--steps 5] [--layers N] [--threads N]
       npm run bench -- train tweets REAL/smollm2 [--steps N]
       npm run bench -- train banking77 REAL/minilm [--steps N]
REAL: the folder that ../shared/bench/real_models.py filled. Python runs beside where PEFT_PYTHON (or /tmp/ref/bin/python) is there.`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: "string", default: "t5-base" },
    batch: { type: "string", default: "8" },
    seq: { type: "string", default: "128" },
    "label-seq": { type: "string", default: "32" },
    steps: { type: "string" },
    layers: { type: "string" },
    threads: { type: "string", default: `${availableParallelism()}` },
  },
});
const number = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text);
console.log(processor(readFileSync("/proc/cpuinfo", "utf8")));
const [kind, task, folder] = positionals;
if (kind === "step")
  await benchStep({
    model: values.model,
    batch: Number(values.batch),
    seq: Number(values.seq),
    labelSeq: Number(values["label-seq"]),
    steps: Number(values.steps ?? 5),
    threads: Number(values.threads),
    layers: number(values.layers),
  });
else if (kind === "train" && folder !== undefined && (task === "tweets" || task === "banking77"))
  await benchTrain(task, folder, number(values.steps));
else {
  console.error(USAGE);
  process.exit(2);
}
