import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import type { Adapter } from "../../src/adapters/adapter.js";
import { methods } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import type { TaskType } from "../../src/models/model.js";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { ForwardResult } from "../../src/run/passes.js";
import type { TextBatch } from "../../src/trace/feeds.js";

/** Tolerances of the contracts: absolute or relative, whichever is larger. */
export const CLOSE = 1e-4;
export const SAME = 1e-6;

export const TASKS = { t5: "SEQ_2_SEQ_LM", llama: "CAUSAL_LM", bert: "SEQ_CLS" } as const;
export type Kind = keyof typeof TASKS;

export function folderOf(model: string): string {
  return join(import.meta.dirname, "../kit/models", model);
}

export function loadBase<T extends TaskType>(
  task: T,
  model: string,
  options: LoadOptions = {},
): Promise<PreTrainedModel<T>> {
  return PreTrainedModel.load(task, folderOf(model), { threads: 1, ...options });
}

/** Tasks that the rows of a batch are of, in turn. */
const TASK_COUNT = 2;

/** Padded rows of ids with a mask, and labels of the task. */
export function batchOf<T extends TaskType>(
  task: T,
  rows: readonly number[][],
  labels: unknown,
): TextBatch<T> {
  const seq = Math.max(...rows.map((r) => r.length));
  const pad = (of: (row: number[], i: number) => number): Int32Array =>
    Int32Array.from(rows.flatMap((row) => Array.from({ length: seq }, (_, i) => of(row, i))));
  const shape = [rows.length, seq] as const;
  return {
    task,
    inputIds: { data: pad((row, i) => row[i] ?? 0), shape },
    attentionMask: { data: pad((row, i) => (i < row.length ? 1 : 0)), shape },
    ...(labels === undefined ? {} : { labels }),
    // what methods read beside the model's own inputs
    columns: { taskIds: { data: Int32Array.from(rows, (_, i) => i % TASK_COUNT), shape: [rows.length] } },
  } as unknown as TextBatch<T>;
}

export function ids(rows: readonly number[][]): { data: Int32Array; shape: [number, number] } {
  return { data: Int32Array.from(rows.flat()), shape: [rows.length, rows[0]!.length] };
}

const ROWS = [
  [5, 7, 9, 11, 3],
  [9, 40, 41, 42, 43, 44, 45],
];

/** A batch of two rows, one padded, for each of the three models. */
export function sampleBatch(kind: Kind): TextBatch {
  const labels = {
    t5: [
      [7, 9, 60, -100],
      [3, 11, 2, 1],
    ],
    llama: [
      [-100, -100, 9, 11, 3, -100, -100],
      [-100, 40, 41, 42, 43, 44, 45],
    ],
    bert: [[1], [3]],
  }[kind];
  return batchOf(TASKS[kind], ROWS, ids(labels));
}

/** The same rows and labels with everything twice as long, in three rows: another shape. */
export function otherBatch(kind: Kind): TextBatch {
  const row = Array.from({ length: 11 }, (_, i) => 10 + i);
  const labels = kind === "bert" ? [[0], [1], [2]] : [row, row, row];
  return batchOf(TASKS[kind], [row, row, row], ids(labels));
}

/** A small config for every method, by what it can do. */
export function configFor(method: string, options: Record<string, unknown> = {}): AdapterConfig {
  const found = methods.find((m) => m.name === method)!;
  const small = { ...(found.prompt && method !== "cpt" && { numVirtualTokens: 3 }), ...SMALL[method] };
  return found.config.create({ ...small, ...options });
}

/** Where a method's defaults are too large for the kit's models, or have an effect from the start. */
const SMALL: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  c3a: { blockSize: 4, initWeights: true },
  "adaption-prompt": { adapterLen: 3, adapterLayers: 1 },
  adalora: { totalStep: 10, initR: 4, targetR: 2 },
  cpt: { cptTokenIds: [5, 7, 9, 11], cptTokensTypeMask: [1, 2, 3, 4], optProjectionEpsilon: 6 },
  fourierft: { nFrequency: 20, initWeights: true },
  lily: { r: 4 },
  miss: { r: 4 },
  pvera: { r: 8 },
  "multitask-prompt-tuning": { numTasks: TASK_COUNT },
  poly: { nTasks: TASK_COUNT, nSkills: 3, nSplits: 2 },
  road: { groupSize: 8 },
  shira: { r: 2 },
  supertuning: { sparsity: 0.9 },
  "trainable-tokens": { tokenIndices: [5, 9, 40] },
  waveft: { nFrequency: 20 },
  vblora: { numVectors: 8, vectorLength: 8 },
  vera: { r: 8 },
};

/** Values that are no start: a formula of name and place, so that every adapter does something. */
export function disturb(adapter: Adapter, factor = 1): void {
  for (const entry of adapter.entries.values()) {
    if (entry.frozen) continue;
    const h = [...entry.key].reduce((n, c) => n + c.charCodeAt(0), 0) % 101;
    entry.data.forEach((x, i) => {
      entry.data[i] = x + factor * 0.2 * Math.sin(1.3 * i + h);
    });
  }
  adapter.state.touch();
}

export interface Warned {
  readonly model: PeftModel;
  readonly warnings: string[];
}

/**
 * A model with a disturbed adapter on it, and what it warned of; the test's end takes the adapters off again.
 */
export async function adapted(
  base: PreTrainedModel,
  config: AdapterConfig,
  name = "default",
): Promise<Warned> {
  const warnings: string[] = [];
  const model = new PeftModel(base, (w) => warnings.push(`${w}`));
  onTestFinished(async () => {
    await model.unload();
  });
  model.addAdapter(name, config);
  await model.ready();
  disturb(model.activeAdapter);
  return { model, warnings };
}

/** Logits, zero at padding: what is computed there differs by how positions lie. */
export async function logitsOf(
  model: { forward(batch: TextBatch): Promise<ForwardResult> },
  batch: TextBatch,
): Promise<Float32Array> {
  const { data, shape } = (await model.forward(batch)).logits;
  const {
    data: mask,
    shape: [, seq],
  } = batch.attentionMask;
  const [, total = 0, width] = shape;
  if (batch.task !== "CAUSAL_LM" || width === undefined) return data;
  return data.map((x, i) => {
    const at = (Math.floor(i / width) % total) - (total - seq);
    return at >= 0 && mask[Math.floor(i / width / total) * seq + at] === 0 ? 0 : x;
  });
}

/** The largest difference, relative to numbers above 1. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let worst = 0;
  for (let i = 0; i < a.length; i++)
    worst = Math.max(worst, Math.abs(a[i]! - b[i]!) / Math.max(1, Math.abs(b[i]!)));
  return worst;
}

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "peft-contracts-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
