import { noRepeatNgram, repetitionPenalty } from "../../src/generate/processors.js";
import { minP, temperature, topK, topP, typicalP } from "../../src/generate/warpers.js";
import type { ScheduleName } from "../../src/train/schedules.js";
import { learningRate, schedules } from "../../src/train/schedules.js";
import { json } from "./files.js";
import type { CaseResult } from "./result.js";
import type { Check } from "./tensors.js";
import { compare, Expected, equal, exact } from "./tensors.js";
import { unknownKeys } from "./text.js";

interface SchedulesFile {
  readonly lr: number;
  readonly warmup_steps: number;
  readonly total_steps: number;
  readonly schedules: Readonly<Record<string, { options: Record<string, number>; lr: number[] }>>;
}

const camel = (key: string): string => key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/** The learning rate of every step, as a share of the peak. */
export function runSchedules(path: string): CaseResult {
  const { lr, warmup_steps, total_steps, schedules: rows, ...more } = json<SchedulesFile>(path);
  const checks = unknownKeys(more);
  checks.push(equal("schedules.names", Object.keys(rows).sort(), Object.keys(schedules).sort()));
  const steps = { lr, warmupSteps: warmup_steps, totalSteps: total_steps };
  for (const [name, row] of Object.entries(rows)) {
    const extras = Object.fromEntries(Object.entries(row.options).map(([key, value]) => [camel(key), value]));
    const rates = Array.from({ length: total_steps }, (_, step) =>
      learningRate(name as ScheduleName, { ...steps, ...extras }, step),
    );
    const share = (rate: number): number => rate / lr;
    const wanted = { shape: [row.lr.length], data: Float64Array.from(row.lr, share), isInteger: false };
    checks.push(
      compare(`schedules.${name}`, { shape: [rates.length], data: rates.map(share) }, wanted, 1e-9),
    );
  }
  return { checks };
}

type Rule = ReturnType<typeof temperature>;

const RULES: Readonly<Record<string, (value: number) => Rule>> = {
  temperature,
  top_k: topK,
  top_p: topP,
  min_p: minP,
  typical_p: typicalP,
  repetition_penalty: repetitionPenalty,
  no_repeat_ngram_size: noRepeatNgram,
};

/** Every rule of sampling, to the bit. */
export async function runScores(path: string): Promise<CaseResult> {
  const expected = await Expected.open(path);
  const [ids, scores] = [expected.get("ids"), expected.get("scores")];
  if (ids === undefined || scores === undefined) throw new Error(`${path} lacks "ids" or "scores"`);
  const [rows = 0, length = 0] = ids.shape;
  const vocab = scores.shape[1]!;
  const checks: Check[] = Object.keys(RULES).map((rule) =>
    exact(
      `scores.${rule}`,
      expected.keys.some((key) => key.startsWith(`${rule}-`)),
      "the kit has no such rule",
    ),
  );
  for (const key of expected.unread) {
    const [rule = "", value] = key.split("-");
    const make = RULES[rule];
    if (make === undefined) {
      checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
      continue;
    }
    const got = Float32Array.from(scores.data);
    for (let row = 0; row < rows; row++) {
      const before = Int32Array.from(ids.data.subarray(row * length, (row + 1) * length));
      make(Number(value))(before, got.subarray(row * vocab, (row + 1) * vocab), 0);
    }
    const same = expected.get(key)!.data.every((x, i) => x === got[i]);
    checks.push(exact(`scores.${key}`, same, "other scores"));
  }
  return { checks };
}
