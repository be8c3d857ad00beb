import type { NamesOf } from "../arguments.js";
import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import type { Pipeline } from "./pipeline/pipeline.js";
import type { Token } from "./pipeline/post_processors.js";

/** An end of a text. */
export type Side = "left" | "right";
/** Which text of a pair is cut. */
export type TruncationStrategy = "longest_first" | "only_first" | "only_second";

/** How to encode; what is left out is as in Python's `tokenizer(...)`. */
export type EncodeOptions = {
  /** The second text of a pair, or one for each text. */
  textPair?: string | readonly string[];
  /** `true` is "longest"; "max_length" pads to maxLength, or else to the tokenizer's modelMaxLength. */
  padding?: boolean | "longest" | "max_length" | "do_not_pad";
  /** `true` is "longest_first". */
  truncation?: boolean | TruncationStrategy | "do_not_truncate";
  /** Tokens of a row at most. @default the tokenizer's own limit */
  maxLength?: number;
  /** Padded lengths are multiples of this. @default 1 */
  padToMultipleOf?: number;
  /** Whether the model's special tokens are added. @default true */
  addSpecialTokens?: boolean;
  /** Whether each token's place in the text is told. @default false */
  returnOffsets?: boolean;
  /**
   * Whether it is told which text of a pair a token is of, as the model reads it.
   * @default what the model reads
   */
  returnTokenTypeIds?: boolean;
  /** Whether it is told which text of a pair a token is of, and which word of it. @default false */
  returnWordIds?: boolean;
  /** Where padding stands. @default the tokenizer's own side */
  paddingSide?: Side;
  /** Which end is cut. @default the tokenizer's own side */
  truncationSide?: Side;
};

export const encodeNames: NamesOf<EncodeOptions> = {
  textPair: {},
  padding: {},
  truncation: {},
  maxLength: {},
  padToMultipleOf: {},
  addSpecialTokens: {},
  returnOffsets: { python: "return_offsets_mapping" },
  returnTokenTypeIds: {},
  returnWordIds: {},
  paddingSide: {},
  truncationSide: {},
};

/** Rows of tokens; one text gives one row. Rows have the same length only where padding was asked for. */
export type Encoding = {
  /** [rows, tokens] */
  inputIds: number[][];
  /** 1 for tokens, 0 for padding. */
  attentionMask: number[][];
  /** 0 for the first text of a pair, 1 for the second. */
  tokenTypeIds?: number[][];
  /**
   * [start, end) of each token in the text as given, in UTF-16 units, as `slice` counts; [0, 0] for added
   * tokens.
   */
  offsets?: [number, number][][];
  /** Which text of a pair each token is of, 0 or 1; undefined for added tokens and padding. */
  sequenceIds?: (number | undefined)[][];
  /**
   * Which word of its text each token is of, as the tokenizer cuts words; undefined for added tokens and
   * padding.
   */
  wordIds?: (number | undefined)[][];
  /** How many rows lost tokens to the length limit. */
  truncated: number;
};

/** A length limit and where it cuts. */
export type Limit = {
  readonly maxLength: number;
  readonly strategy: TruncationStrategy;
  readonly side: Side;
};

/** One text or a pair to tokens: cut to the limit, special tokens put in. */
export function encodeRow(
  pipeline: Pipeline,
  text: string,
  pair: string | undefined,
  limit: Limit | undefined,
  addSpecial: boolean,
): { tokens: Token[]; truncated: boolean } {
  const texts = [pipeline.tokenize(text, 0)];
  if (pair !== undefined) texts.push(pipeline.tokenize(pair, 1));
  const special = addSpecial ? pipeline.post.added(pair !== undefined) : 0;
  if (limit !== undefined && limit.maxLength < special) {
    throw new PeftError("option", {
      what: words`${option("maxLength")} ${limit.maxLength} leaves no room for text.`,
      why: `this tokenizer adds ${special} special tokens to each row.`,
      fix: words`use ${option("maxLength", special + 1)} or more, or ${option("addSpecialTokens", false)}.`,
    });
  }
  const whole = texts.map(({ length }) => length);
  const lengths = limit && keptLengths(whole, limit.maxLength - special, limit.strategy);
  const kept = texts.map((tokens, i) => keep(tokens, lengths?.[i] ?? tokens.length, limit?.side ?? "right"));
  const truncated = kept.some((tokens, i) => tokens.length < at(texts, i).length);
  return { tokens: pipeline.post.run(kept, addSpecial).flat(), truncated };
}

function keep(tokens: Token[], length: number, side: Side): Token[] {
  if (length >= tokens.length) return tokens;
  return side === "right" ? tokens.slice(0, length) : tokens.slice(tokens.length - length);
}

/** How many tokens of each text stay. Reference: tokenizers/src/utils/truncation.rs */
export function keptLengths(
  lengths: readonly number[],
  room: number,
  strategy: TruncationStrategy,
): number[] {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const [first = 0, second] = lengths;
  if (total <= room) return [...lengths];
  if (room === 0) return lengths.map(() => 0);
  if (strategy === "longest_first") {
    if (second === undefined) return [room];
    const short = Math.min(first, second);
    const long = short > room ? short : Math.max(short, room - short);
    const halves: [number, number] =
      short + long > room ? [Math.floor(room / 2), Math.floor(room / 2) + (room % 2)] : [short, long];
    return first <= second ? halves : halves.reverse();
  }
  if (strategy === "only_second" && second === undefined) {
    throw new PeftError("option", {
      what: `truncation "only_second" needs a pair.`,
      why: "there is one text only.",
      fix: `pass textPair, or use truncation: "only_first".`,
    });
  }
  const target = strategy === "only_first" ? 0 : 1;
  const left = at(lengths, target) - (total - room);
  if (left > 0) return lengths.map((length, i) => (i === target ? left : length));
  throw new PeftError("option", {
    what: `truncation ${JSON.stringify(strategy)} cannot make the pair fit.`,
    why: `${total - room} tokens must go, and that text has ${lengths[target]} of them.`,
    fix: words`use ${option("truncation", "longest_first")} or a larger ${option("maxLength")}.`,
  });
}

export type Padding = { readonly length: number; readonly side: Side; readonly padId: number };

const NO_PADDING: Padding = { length: 0, side: "right", padId: 0 };

/** Lays rows out as an Encoding, padded where asked. */
export function layRows(
  rows: readonly Token[][],
  truncated: number,
  padding: Padding | undefined,
  want: { offsets: boolean; tokenTypeIds: boolean; wordIds: boolean },
): Encoding {
  const { length, side, padId } = padding ?? NO_PADDING;
  const fill = <T>(values: T[], blank: () => T): T[] => {
    const count = Math.max(0, length - values.length);
    if (count === 0) return values;
    const blanks = Array.from({ length: count }, blank);
    return side === "right" ? [...values, ...blanks] : [...blanks, ...values];
  };
  const column = <T>(value: (token: Token) => T, blank: () => T): T[][] =>
    rows.map((tokens) => fill(tokens.map(value), blank));
  const encoding: Encoding = {
    inputIds: column(
      (token) => token.id,
      () => padId,
    ),
    attentionMask: column(
      () => 1,
      () => 0,
    ),
    truncated,
  };
  if (want.tokenTypeIds)
    encoding.tokenTypeIds = column(
      (token) => token.typeId,
      () => 0,
    );
  if (want.offsets)
    encoding.offsets = column(
      ({ start, end }): [number, number] => [start, end],
      () => [0, 0],
    );
  const none = (): undefined => undefined;
  if (want.wordIds) {
    encoding.sequenceIds = column(({ sequence }): number | undefined => sequence, none);
    encoding.wordIds = column(({ word }): number | undefined => word, none);
  }
  return encoding;
}
