import { classFields } from "../attach/class_names.js";
import { labelNames, type Row } from "../data/row.js";
import { tokenizerFor } from "../data/tokenizer_for.js";
import { PeftError } from "../errors.js";
import { AutoConfig } from "../peft/auto_config.js";
import { specOf } from "../peft/spec.js";
import { AutoFeatureExtractor, AutoImageProcessor, type ProcessorOptions } from "../processors/auto.js";
import type { RowProcessor } from "../processors/media.js";
import type { TaskType } from "../task.js";
import { taskOf, tasks } from "../tasks/registry.js";
import type { TokenizerOptions } from "../tokenizers/auto.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";

/**
 * What a model is to learn from rows where nobody says it: what they are good for; else what the model was
 * made for.
 */
export function taskForRows(rows: readonly Row[] | undefined, ofModel: TaskType | undefined): TaskType {
  const kind = rows?.[0]?.kind;
  const byKind = tasks.all.find(({ impliedBy }) => kind !== undefined && impliedBy.includes(kind));
  if (byKind !== undefined && !byKind.generates) return byKind.name;
  return ofModel ?? byKind?.name ?? "FEATURE_EXTRACTION";
}

/** What makes numbers of what the rows refer to; undefined: they are text. Throws "file-format", "hub". */
export async function processorForRows(
  rows: readonly Row[] | undefined,
  name: string,
  options: ProcessorOptions = {},
): Promise<RowProcessor | undefined> {
  const [first] = rows ?? [];
  const kind = first?.kind;
  if (kind === "speech" || kind === "sound") return AutoFeatureExtractor.fromPretrained(name, options);
  const isSeen =
    first?.kind === "document" && first.image !== undefined && (await seesPictures(name, options));
  return kind === "picture" || isSeen ? AutoImageProcessor.fromPretrained(name, options) : undefined;
}

/** Whether a model reads pixels: of pages others read words and boxes alone. */
async function seesPictures(name: string, options: ProcessorOptions): Promise<boolean> {
  const { json } = await AutoConfig.fromPretrained(name, options);
  const { architecture, config } = specOf(json, "TOKEN_CLS");
  const inputs = Object.entries(architecture.inputs ?? {}).filter(([key]) => !config.unread?.includes(key));
  return inputs.some(([, input]) => input.name === PIXELS);
}

const PIXELS = "pixelValues";

/** Fields of config.json for a head that is made for the rows' labels; none where a task has no such head. */
export function headForRows(task: TaskType, rows: readonly Row[] | undefined): Record<string, unknown> {
  const first = rows?.[0];
  if (rows === undefined || first === undefined || !taskOf(task).head.isPerLabel) return {};
  if (first.kind === "preference") return { num_labels: 1, id2label: undefined, label2id: undefined };
  const problem = "problemType" in first ? { problem_type: first.problemType } : {};
  if ("problemType" in first && first.problemType === "regression") return { ...problem, num_labels: 1 };
  const names = labelNames(rows);
  return names.length === 0 ? problem : { ...problem, ...classFields(names) };
}

/** A model's tokenizer, and fields of config.json for one that was made of the rows. */
export interface RowTokenizer {
  readonly tokenizer: Tokenizer;
  readonly fields: Readonly<Record<string, unknown>>;
}

/**
 * The model's tokenizer, or the adapter's; where there is none, and the task can do with what the rows have,
 * one of their letters. Throws "tokenizer", "hub".
 */
export async function tokenizerForRows(
  task: TaskType,
  rows: readonly Row[] | undefined,
  name: string,
  options: TokenizerOptions = {},
): Promise<RowTokenizer> {
  try {
    return { tokenizer: await tokenizerFor(task, name, options), fields: {} };
  } catch (error) {
    if (!(error instanceof PeftError) || error.code !== "tokenizer" || rows === undefined) throw error;
    const tokenizer = await taskOf(task).vocabulary?.(rows);
    if (tokenizer === undefined) throw error;
    return { tokenizer, fields: { vocab_size: tokenizer.length, pad_token_id: tokenizer.padTokenId } };
  }
}
