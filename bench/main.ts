import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { PeftError } from "../src/errors.js";
import { parseBytes } from "../src/plan/memory/sizes.js";
import type { FloatType } from "../tools/shapes/noise.js";
import { benchCaches } from "./caches.js";
import { benchDecode } from "./decode.js";
import { benchGrpo } from "./grpo.js";
import { limitLine, runLimited } from "./limit.js";
import { loadOptions, number, OPTIONS } from "./options.js";
import { benchPredict } from "./predict.js";
import { processor } from "./python.js";
import { benchRows } from "./rows.js";
import { benchSoak } from "./soak.js";
import type { StepBench } from "./step.js";
import { benchStep } from "./step.js";
import { benchTrain } from "./train.js";

const USAGE = `usage: npm run bench -- step [--model t5-base | --folder FOLDER [--model NAME]] [--batch 8] [--seq 128] [--label-seq 32]
                              [--steps 5] [--layers N] [--dtype bf16] LOADING
                              [--reference-dtype bf16] [--reference-layers N] [--checkpointing]
       npm run bench -- decode REAL/smollm2 [--prompt 32] [--new 64] LOADING [--reference-dtype bf16]
       npm run bench -- caches REAL/smollm2 [OTHER-CHECKOUT...] [--batches 1,8] [--caches 32,512,2048] LOADING
       npm run bench -- grpo REAL/smollm2 [--steps 100] [--seed N] LOADING
       npm run bench -- train tweets REAL/smollm2 | banking77 REAL/minilm [--steps N] [--seed N] LOADING
       npm run bench -- soak [--model llama-tiny] [--layers N] [--batch 4] [--seq 512] [--label-seq 32] [--steps 200]
                              [--plan NAME] [--load FORMAT] [--evaluate-every N] [--generate-every N]
       npm run bench -- rows [COUNT [GIGABYTES [MODEL]]], with MODEL a few steps of training on the file
       npm run bench -- predict REAL/minilm [COUNT] [--batch 32] LOADING
       npm run bench -- limit 3GB -- COMMAND...
LOADING: [--load int8] [--plan NAME] [--max-memory 3GB] [--recompute N] [--threads N]
REAL: the folder that ../shared/bench/real_models.py filled. Models are the shapes of \`npm run shapes\`.
--dtype is what the weights of a model that step makes are stored in. limit needs root: it makes a memory cgroup and empties the page cache.
Python runs beside where PEFT_PYTHON (or /tmp/ref/bin/python) is there, without --no-reference; --reference-... and --checkpointing
are its. A step that does not fit this machine's memory there is reckoned from runs with fewer layers (--reference-layers: so many and
twice so many). train without --steps evaluates banking77 on all test rows, with it on every third.`;

const { values, positionals } = parseArgs({ allowPositionals: true, options: OPTIONS });
const [kind, ...rest] = positionals;

async function step(): Promise<void> {
  await benchStep({
    model: values.model,
    folder: values.folder,
    batch: number(values.batch) ?? 8,
    seq: number(values.seq) ?? 128,
    labelSeq: Number(values["label-seq"]),
    steps: Number(values.steps ?? 5),
    threads,
    layers: number(values.layers),
    dtype: floatType("dtype", ["f32", "bf16", "f16"]),
    load: loadOptions(values),
    python: python(),
  });
}

async function soak(): Promise<void> {
  await benchSoak({
    model: values.model ?? "llama-tiny",
    layers: number(values.layers),
    batch: number(values.batch) ?? 4,
    seq: number(values.seq) ?? 512,
    labelSeq: Number(values["label-seq"]),
    steps: number(values.steps) ?? 200,
    evaluateEvery: number(values["evaluate-every"]) ?? 0,
    generateEvery: number(values["generate-every"]) ?? 0,
    load: loadOptions(values),
  });
}

async function decode(folder: string): Promise<void> {
  const [prompt, tokens] = [Number(values.prompt), Number(values.new)];
  await benchDecode({ folder, prompt, tokens, threads, load: loadOptions(values), python: python() });
}

async function limit(size: string, command: readonly string[]): Promise<void> {
  const bytes = parseBytes(size);
  const run = await runLimited(bytes, command);
  console.log(limitLine(bytes, run));
  process.exitCode = run.exitCode ?? 1;
}

async function train(task: "tweets" | "banking77", folder: string): Promise<void> {
  await benchTrain({
    task,
    folder,
    steps: number(values.steps),
    seed: number(values.seed),
    load: loadOptions(values),
    reference: !python().skip,
  });
}

/** Of Python's side. */
function python(): StepBench["python"] {
  return {
    dtype: floatType("reference-dtype", ["f32", "bf16"]),
    checkpointing: values.checkpointing,
    skip: values["no-reference"],
    layers: number(values["reference-layers"]),
  };
}

const threads = Number(values.threads ?? availableParallelism());

const numbers = (text: string): number[] => text.split(",").map(Number);

function floatType<T extends FloatType>(option: "dtype" | "reference-dtype", known: readonly T[]): T {
  const found = known.find((name) => name === values[option]);
  if (found !== undefined) return found;
  throw new PeftError("option", {
    what: `There is no --${option} ${values[option]}.`,
    why: `known are ${known.join(", ")}.`,
    fix: "choose one of these.",
  });
}

async function main(): Promise<void> {
  const [first, second] = rest;
  if (kind !== "limit") console.log(processor(readFileSync("/proc/cpuinfo", "utf8")));
  if (kind === "step") return step();
  if (kind === "soak") return soak();
  if (kind === "rows") return benchRows(Number(rest[0] ?? 1e7), Number(rest[1] ?? 5), rest[2]);
  if (kind === "predict" && first !== undefined)
    return benchPredict(first, {
      ...{ rows: Number(second ?? 10_000), batch: number(values.batch) ?? 32 },
      ...{ load: { threads, ...loadOptions(values) }, skip: python().skip === true },
    });
  if (kind === "caches" && first !== undefined)
    return benchCaches({
      ...{ folder: first, versions: rest.slice(1), load: { threads, ...loadOptions(values) } },
      ...{ batches: numbers(values.batches), caches: numbers(values.caches) },
    });
  if (kind === "grpo" && first !== undefined)
    return benchGrpo({
      ...{ folder: first, steps: number(values.steps) ?? 100, seed: number(values.seed) ?? 0 },
      ...{ load: { threads, ...loadOptions(values) }, skipPython: python().skip === true },
    });
  if (kind === "decode" && first !== undefined) return decode(first);
  if (kind === "limit" && first !== undefined && second !== undefined) return limit(first, rest.slice(1));
  if (kind === "train" && (first === "tweets" || first === "banking77") && second !== undefined)
    return train(first, second);
  console.error(USAGE);
  process.exitCode = 2;
}

main().catch((error: unknown) => {
  console.error(error instanceof PeftError ? error.message : error);
  process.exitCode = 1;
});
