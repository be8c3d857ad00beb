import type { LoadOptions } from "../src/peft/base_model.js";

/** The options of the command line, as parseArgs gives them. */
export const OPTIONS = {
  model: { type: "string" },
  folder: { type: "string" },
  batch: { type: "string" },
  seq: { type: "string" },
  "label-seq": { type: "string", default: "32" },
  steps: { type: "string" },
  layers: { type: "string" },
  threads: { type: "string" },
  load: { type: "string" },
  plan: { type: "string" },
  "max-memory": { type: "string" },
  recompute: { type: "string" },
  dtype: { type: "string", default: "f32" },
  "reference-dtype": { type: "string", default: "f32" },
  "reference-layers": { type: "string" },
  checkpointing: { type: "boolean", default: false },
  seed: { type: "string" },
  "evaluate-every": { type: "string" },
  "generate-every": { type: "string" },
  prompt: { type: "string", default: "32" },
  new: { type: "string", default: "64" },
  batches: { type: "string", default: "1,8" },
  caches: { type: "string", default: "32,512,2048" },
  "no-reference": { type: "boolean", default: false },
} as const;

type Values = { readonly [K in keyof typeof OPTIONS]?: string | boolean | undefined };

/** What PreTrainedModel.load is told: only what was given. */
export function loadOptions(values: Values): LoadOptions {
  const given = {
    threads: number(values.threads),
    load: values.load,
    plan: values.plan,
    maxMemory: values["max-memory"],
    recompute: number(values.recompute),
    seed: number(values.seed),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as LoadOptions;
}

export function number(text: string | boolean | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}

/** Those of loadOptions that change what is measured, in words. */
export function loadWords({ threads: _, seed: __, ...options }: LoadOptions): string {
  const words = Object.entries(options).map(([key, value]) => `${key} ${value}`);
  return words.length === 0 ? "" : ` (${words.join(", ")})`;
}
