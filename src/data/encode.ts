import { type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { option, words } from "../words.js";
import type { TaskType } from "./batch.js";
import { refuseClasses, refuseEmpty, refuseIds, refuseKinds } from "./checks.js";
import { count, type Fault, refuse } from "./faults.js";
import { packed } from "./pack.js";
import { expectRows, type Row } from "./row.js";
import { type CausalLMSample, type Sample, sequencesOf } from "./sample.js";
import { dataTaskOf } from "./tasks/registry.js";
import type { EncodeContext, Outcome } from "./tasks/task.js";
import type { TokenizerLike } from "./types.js";

/** How rows become token ids. */
export interface EncodeRowsOptions<T extends TaskType> {
  /** The model's own. */
  tokenizer: TokenizerLike;
  /** What the model is for. */
  task: T;
  /** Longest sample, in tokens. @default the tokenizer's own limit */
  maxLength?: number | undefined;
  /** Longest target of an encoder-decoder, in tokens. @default `maxLength` */
  maxTargetLength?: number | undefined;
  /** Ids from here on do not exist in the model; 0: it reads no tokens, and any may stand in its rows. */
  vocabSize?: number | undefined;
  /** Classes from here on do not exist in the model. */
  numLabels?: number | undefined;
  /** Class names, for rows that carry their label as text. */
  labels?: readonly string[] | undefined;
  /** What becomes of a row with nothing to learn in it. @default "error" */
  emptyLabels?: "error" | "drop" | undefined;
  /**
   * Several rows in one sample of `maxLength` tokens, apart in attention and positions; texts that are longer
   * become several samples (causal models). @default false
   */
  packing?: boolean | undefined;
  /** Which end of a sample that is too long is cut (causal models). @default "right" */
  truncationSide?: "left" | "right" | undefined;
}

export const encodeRowsNames: NamesOf<EncodeRowsOptions<TaskType>> = {
  tokenizer: { python: "processing_class" },
  task: { also: ["taskType"] },
  maxLength: { also: ["max_seq_length"] },
  maxTargetLength: { also: ["max_target_length"] },
  vocabSize: {},
  numLabels: {},
  labels: { also: ["label_names"] },
  emptyLabels: {},
  packing: {},
  truncationSide: {},
};

/** What encoding did to the rows. */
export interface EncodeReport {
  readonly rows: number;
  /** Rows that became samples. */
  readonly samples: number;
  /** The limit that held, in tokens. */
  readonly maxLength: number;
  /** Rows that were cut at it. */
  readonly truncated: number;
  /** Those of them that lost something learnt. */
  readonly labelsCut: number;
  /** Rows with nothing left to learn, which were dropped. */
  readonly emptyLabels: number;
  /** Rows that are too long, and nothing of which may be cut: they were left out. */
  readonly tooLong: number;
  /** Tokens of the longest sample. */
  readonly longest: number;
  /** Tokens of all samples. */
  readonly tokens: number;
  /** Tokens that are learnt. */
  readonly learntTokens: number;
  /** Rows that the model's chat template wrote. */
  readonly chats: number;
  /** What rows hold and the model does not see as it stands there, in sentences. */
  readonly notes: readonly string[];
}

/** Samples, and what became of the rows that they were made of. */
export interface EncodedRows<T extends TaskType> {
  readonly samples: Sample<T>[];
  readonly report: EncodeReport;
}

/**
 * Rows as token ids with labels for one task.
 * @throws "data" for rows of a kind that the task cannot use, rows with nothing to learn (unless dropped),
 *   token ids beyond
 * `vocabSize`, classes beyond `numLabels`: all rows of a fault at once
 * @example
 * ```ts
 * import { describeReport, encodeRows, preview } from "peft.js";
 *
 * const { samples, report } = encodeRows(rows, { tokenizer, task: "SEQ_2_SEQ_LM", maxLength: 512 });
 * console.log(describeReport(report), preview(samples, tokenizer, 3));
 * ```
 */
export function encodeRows<T extends TaskType>(
  rows: readonly Row[],
  options: EncodeRowsOptions<T>,
): EncodedRows<T> {
  const { task, emptyLabels = "error" } = options;
  refuseUnknown("encodeRows", options, encodeRowsNames);
  expectRows("encodeRows", rows);
  const context = contextOf(options);
  if (rows.length === 0) throw noSamples(task, context.maxLength, 0);
  refuseKinds(rows, task);
  const faults: Fault[] = [];
  const outcomes: Outcome<T>[] = [];
  for (const [row, item] of rows.entries()) {
    const encoded = dataTaskOf(task).encode(item, context);
    if (typeof encoded === "string") faults.push({ at: item.at, says: encoded });
    else outcomes.push({ row, at: item.at, encoded });
  }
  refuse(faults, {
    what: (n) => `${count(n, "row")} cannot be encoded for ${task}`,
    why: `the task takes rows of kind ${dataTaskOf(task).accepts.join(", ")} with all their parts.`,
    fix: "correct these rows or give what they lack.",
  });
  const fitting = outcomes.filter(({ encoded }) => encoded.tooLong !== true);
  const empty = fitting.filter(({ encoded }) => encoded.learnt === 0);
  if (emptyLabels === "error") refuseEmpty(empty, context.maxLength);
  const samples = fitting
    .filter(({ encoded }) => encoded.learnt !== 0)
    .map(
      ({ row, at, encoded }) =>
        ({ task, row, at, ...encoded.fields, ...columnsOf(rows[row]) }) as unknown as Sample<T>,
    );
  if (samples.length === 0) throw noSamples(task, context.maxLength, rows.length);
  refuseIds(samples, options.tokenizer, options.vocabSize || Infinity);
  if (options.numLabels !== undefined) refuseClasses(samples, options.numLabels);
  const whole = options.packing === true ? packedSamples(samples, context.maxLength) : samples;
  return { samples: whole, report: reportOf(outcomes, empty.length, whole, context) };
}

/** Throws "option" where samples cannot be packed. */
function packedSamples<T extends TaskType>(samples: readonly Sample<T>[], length: number): Sample<T>[] {
  const own = samples.filter((sample): sample is Sample<T> & CausalLMSample => sample.task === "CAUSAL_LM");
  if (own.length < samples.length || samples.some(({ columns }) => columns !== undefined))
    throw new PeftError("option", {
      what: words`${option("packing")} is on, and these rows ${own.length < samples.length ? `are for ${samples[0]?.task}` : "have numbers of their own for a loss"}.`,
      why: "several rows in one sample are apart in a causal model alone, and share what belongs to a row.",
      fix: words`leave ${option("packing")} out.`,
    });
  if (length === Infinity)
    throw new PeftError("option", {
      what: words`${option("packing")} is on, and there is no ${option("maxLength")}.`,
      why: "it says how many tokens go into one sample, and neither tokenizer nor model has a limit.",
      fix: words`give ${option("maxLength", 1024)}.`,
    });
  return packed(own, length) as unknown as Sample<T>[];
}

function columnsOf(row: Row | undefined): Pick<Row, "columns"> {
  return row?.columns === undefined ? {} : { columns: row.columns };
}

/** The report in words, for a log or a terminal. */
export function describeReport(report: EncodeReport): string {
  const { samples, longest, tokens, learntTokens, truncated, labelsCut, emptyLabels, maxLength, notes } =
    report;
  const lines = [
    `${count(samples, "sample")}, ${tokens} tokens, ${learntTokens} learnt, longest ${longest}.`,
  ];
  if (truncated > 0) lines.push(`${count(truncated, "row")} cut at ${maxLength} tokens (maxLength).`);
  if (labelsCut > 0) lines.push(`${count(labelsCut, "row")} lost part of what is learnt.`);
  if (emptyLabels > 0) lines.push(`${count(emptyLabels, "row")} left out: nothing to learn in them.`);
  if (report.tooLong > 0)
    lines.push(`${count(report.tooLong, "row")} left out: longer than ${maxLength} tokens (maxLength).`);
  return [...lines, ...notes].join(" ");
}

function contextOf<T extends TaskType>(options: EncodeRowsOptions<T>): EncodeContext {
  const { tokenizer, labels, truncationSide = "right" } = options;
  const maxLength = options.maxLength ?? tokenizer.modelMaxLength ?? Infinity;
  const maxTargetLength = options.maxTargetLength ?? maxLength;
  for (const [name, value] of Object.entries({ maxLength, maxTargetLength })) {
    if (value === Infinity || (Number.isInteger(value) && value > 0)) continue;
    throw new PeftError("option", {
      what: words`${option(name)} is ${value}.`,
      why: "it is a number of tokens.",
      fix: words`give a whole number above 0, or leave ${option(name)} out.`,
    });
  }
  const heard = { notes: new Set<string>(), written: new Map<string, boolean>() };
  const { packing = false } = options;
  return { tokenizer, maxLength, maxTargetLength, truncationSide, packing, labels, ...heard };
}

function noSamples(task: TaskType, maxLength: number, rows: number): PeftError {
  return new PeftError("data", {
    what: `There is no sample for ${task}.`,
    why:
      rows === 0
        ? "no rows were given."
        : `each of the ${count(rows, "row")} has an empty label or target, or one that lies beyond ${maxLength} tokens.`,
    fix:
      rows === 0
        ? "give at least one row."
        : words`give rows with a label or target${maxLength === Infinity ? "" : words`, or raise ${option("maxLength")}`}.`,
  });
}

function reportOf<T extends TaskType>(
  outcomes: readonly Outcome<T>[],
  emptyLabels: number,
  samples: readonly Sample<T>[],
  { maxLength, notes }: EncodeContext,
): EncodeReport {
  const texts = samples.flatMap((sample) => sequencesOf(sample));
  const lengths = texts.map(({ inputIds }) => inputIds.length);
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  return {
    rows: outcomes.length,
    samples: samples.length,
    maxLength,
    truncated: outcomes.filter(({ encoded }) => encoded.truncated).length,
    labelsCut: outcomes.filter(({ encoded }) => encoded.labelsCut).length,
    emptyLabels,
    tooLong: outcomes.filter(({ encoded }) => encoded.tooLong).length,
    longest: lengths.reduce((a, b) => Math.max(a, b), 0),
    tokens: sum(lengths),
    learntTokens: sum(outcomes.map(({ encoded }) => (encoded.tooLong ? 0 : (encoded.learnt ?? 0)))),
    chats: outcomes.filter(({ encoded }) => encoded.isChat).length,
    notes: [...notes],
  };
}
