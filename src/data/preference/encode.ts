import type { JudgedRow, PreferenceRow } from "../row.js";
import type { TokenizerLike } from "../types.js";
import { type Completions, jointCompletions } from "./completions.js";
import { encodedCompletions, type Sequence, separateCompletions } from "./separate.js";

/** How rows become sequences: by TRL's rules of one trainer or another. */
export interface CompletionOptions {
  readonly tokenizer: TokenizerLike;
  /**
   * joint: prompt and completion as one text (DPO, KTO); separate: as ORPO and CPO; reserved: as BCO;
   * encoded: of encoder-decoders, whose completions are cut.
   */
  readonly form: "joint" | "separate" | "reserved" | "encoded";
  /** Tokens of a prompt with its completion; of a completion, where an encoder reads the prompt. */
  readonly maxLength: number;
  /** Which end stays of what is longer (joint). @default "start" */
  readonly keep?: "start" | "end" | undefined;
  /** Rows stay of which nothing of a completion is left, as TRL's ORPO has it. @default false */
  readonly keepsEmpty?: boolean;
}

/** A row of a batch: what a decoder reads, or an encoder (`ids`) and a decoder (`target`). */
export interface CompletionSequence extends Sequence {
  readonly target?: readonly number[];
}

/** A row with its completions: two of a pair, one of a judged row. */
export interface CompletionSample {
  /** Its place in the data set. */
  readonly row: number;
  readonly at: string;
  readonly sequences: readonly CompletionSequence[];
  /** Of a judged row. */
  readonly isDesirable?: boolean;
  readonly margin?: number;
  /** Prompt and completions apart, before anything was cut (joint). */
  readonly joint?: Completions;
}

/** What encoding did to the rows. */
export interface CompletionReport {
  readonly rows: number;
  readonly samples: number;
  readonly maxLength: number;
  /** Rows of which something was cut. */
  readonly cut: number;
  /** Rows whose prompt alone fills `maxLength`: nothing of a completion would be left. */
  readonly dropped: readonly string[];
  readonly longest: number;
  readonly tokens: number;
  readonly learntTokens: number;
}

/** Rows of pairs or judged completions as token ids. Throws "tokenizer". */
export function encodeCompletions(
  rows: readonly (PreferenceRow | JudgedRow)[],
  options: CompletionOptions,
): { readonly samples: readonly CompletionSample[]; readonly report: CompletionReport } {
  const dropped: string[] = [];
  let cut = 0;
  const samples = rows.flatMap((row, index): CompletionSample[] => {
    const { sequences, isCut, ...more } = encodeRow(row, options);
    if (sequences.length === 0 || (!options.keepsEmpty && sequences.some(isEmpty))) {
      dropped.push(row.at);
      return [];
    }
    cut += Number(isCut);
    const own =
      row.kind === "judged"
        ? { isDesirable: row.isDesirable }
        : row.margin === undefined
          ? {}
          : { margin: row.margin };
    return [{ row: index, at: row.at, sequences, ...more, ...own }];
  });
  const all = samples.flatMap(({ sequences }) => sequences);
  const sum = (of: (s: CompletionSequence) => number): number => all.reduce((n, s) => n + of(s), 0);
  const lengthOf = ({ ids, target = [] }: CompletionSequence): number => ids.length + target.length;
  return {
    samples,
    report: {
      ...{ rows: rows.length, samples: samples.length, maxLength: options.maxLength, cut, dropped },
      longest: all.reduce((n, s) => Math.max(n, lengthOf(s)), 0),
      tokens: sum(lengthOf),
      learntTokens: sum(({ ids, start, target }) => target?.length ?? ids.length - start),
    },
  };
}

function isEmpty({ ids, start, target }: CompletionSequence): boolean {
  return target === undefined ? ids.length <= start : target.length === 0;
}

type EncodedRow = Pick<CompletionSample, "sequences" | "joint"> & { readonly isCut: boolean };

function encodeRow(row: PreferenceRow | JudgedRow, options: CompletionOptions): EncodedRow {
  const { tokenizer, form, maxLength } = options;
  const { prompt, tools } = row;
  const completions = row.kind === "judged" ? [row.completion] : [row.chosen, row.rejected];
  const asked = { prompt, completions, ...(tools && { tools }) };
  if (form === "joint") return cutJoint(jointCompletions(asked, tokenizer), options);
  if (form === "encoded") {
    const encoded = encodedCompletions(asked, tokenizer, { maxLength });
    const sequences = encoded.completions.map((target) => ({
      ids: encoded.prompt,
      start: encoded.prompt.length,
      target,
    }));
    return { sequences, isCut: encoded.completions.some(({ length }) => length === maxLength) };
  }
  const reserve = form === "reserved";
  const whole = separateCompletions(asked, tokenizer, { maxLength: Number.POSITIVE_INFINITY });
  const isCut = whole.some(({ ids }) => ids.length > maxLength);
  return { sequences: isCut ? separateCompletions(asked, tokenizer, { maxLength, reserve }) : whole, isCut };
}

/** None, where the prompt alone fills what is kept of the start. */
function cutJoint(joint: Completions, { maxLength, keep = "start" }: CompletionOptions): EncodedRow {
  const { prompt, completions } = joint;
  if (keep === "start" && prompt.length >= maxLength) return { sequences: [], isCut: true };
  const sequences = completions.map((completion) => {
    const ids = [...prompt, ...completion];
    const from = keep === "end" ? Math.max(0, ids.length - maxLength) : 0;
    return { ids: ids.slice(from, from + maxLength), start: Math.max(0, prompt.length - from) };
  });
  const isCut = completions.some((completion) => prompt.length + completion.length > maxLength);
  return { sequences, isCut, joint };
}

/** What encoding did, in words; undefined: nothing that is to be told. */
export function describeCompletions({ cut, dropped, maxLength, rows }: CompletionReport): string | undefined {
  const some = dropped.slice(0, 3).join(", ");
  const lines = [
    ...(dropped.length > 0
      ? [
          `${dropped.length} of ${rows} rows left out: their prompts leave no room for an answer within ${maxLength} tokens (first at ${some}).`,
        ]
      : []),
    ...(cut > 0 ? [`${cut} of ${rows} rows cut at ${maxLength} tokens (maxLength).`] : []),
  ];
  return lines.length === 0 ? undefined : lines.join(" ");
}

/** Pairs as judged rows: all chosen answers, then all rejected ones. */
export function unpaired(rows: readonly (PreferenceRow | JudgedRow)[]): readonly JudgedRow[] {
  const judge =
    (isDesirable: boolean) =>
    (row: PreferenceRow | JudgedRow): JudgedRow[] => {
      if (row.kind === "judged") return isDesirable ? [row] : [];
      const { at, prompt, tools, chosen, rejected } = row;
      const completion = isDesirable ? chosen : rejected;
      return [{ kind: "judged", at, prompt, completion, isDesirable, ...(tools && { tools }) }];
    };
  return [...rows.flatMap(judge(true)), ...rows.flatMap(judge(false))];
}
