import { expectArgument } from "../arguments.js";
import type { ImageSource } from "../processors/pictures/image_source.js";
import type { SoundSource } from "../processors/sound/load.js";
import type { ProblemType } from "./batch.js";
import type { Box, PageSize } from "./boxes.js";
import type { Message } from "./types.js";

/** What is said in turns, and what of it is learnt. */
export interface Conversation {
  /** The turns, in their order. */
  readonly messages: readonly Message[];
  /** Whether a message is learnt, one for each; what the assistant says, without it. */
  readonly learn?: readonly boolean[];
  /** Functions that the assistant may call, as the chat template takes them. */
  readonly tools?: readonly unknown[];
}

/** What every row has. */
interface RowBase {
  /** Where it stood: `tweets.csv line 4`. */
  readonly at: string;
  /** Numbers for a custom loss that declares columns of these names: one a row, or a list of one length. */
  readonly columns?: Readonly<Record<string, number | readonly number[]>>;
}

/**
 * A row of a data set after its columns were understood. `at` says where it stood: `tweets.csv line 4`.
 * `chat` is the same for models with a chat template; without it, the prompt is taken to the letter.
 */
export interface PromptRow extends RowBase {
  readonly kind: "prompt";
  readonly prompt: string;
  readonly target: string;
  readonly chat?: Conversation;
}

/** A chat to learn. */
export interface ChatRow extends Conversation, RowBase {
  readonly kind: "chat";
}

/** A text that is learnt as a whole. */
export interface TextRow extends RowBase {
  readonly kind: "text";
  readonly text: string;
}

/** A text, or a pair of texts, with what it is to be told as. */
export interface ClassifyRow extends RowBase {
  readonly kind: "classify";
  readonly text: string;
  readonly pair?: string;
  readonly problemType: ProblemType;
  /** One class id, or one number (regression), or a 0 or 1 for each class. */
  readonly labels: readonly number[];
  /** Names of the classes: one list for the whole set. */
  readonly labelNames: readonly string[];
}

/** One tag per word, as an id into `labelNames`; -100 is not learnt. */
export interface TokensRow extends RowBase {
  readonly kind: "tokens";
  readonly words: readonly string[];
  readonly tags: readonly number[];
  readonly labelNames: readonly string[];
}

/** `answer` is a range of the context in UTF-16 units; absent where the context has no answer. */
export interface QuestionRow extends RowBase {
  readonly kind: "question";
  readonly question: string;
  readonly context: string;
  readonly answer?: { readonly start: number; readonly end: number };
}

/** Texts of which the first is near the second, and far from those behind it. */
export interface SimilarityRow extends RowBase {
  readonly kind: "similarity";
  /** An anchor, its positive, and negatives, if there are any. */
  readonly texts: readonly string[];
  /** How near the first two are, in place of being near. */
  readonly score?: number;
}

/** What was asked or answered: a text, or turns. */
export type TextOrTurns = string | readonly Message[];

/** A prompt with two answers, of which one is preferred. */
export interface PreferenceRow extends RowBase {
  readonly kind: "preference";
  /** What both answers begin with, where the data set names no prompt. */
  readonly prompt: TextOrTurns;
  readonly chosen: TextOrTurns;
  readonly rejected: TextOrTurns;
  readonly tools?: readonly unknown[];
  /** By how much the chosen one is better. */
  readonly margin?: number;
}

/** A prompt with an answer that is desirable or not. */
export interface JudgedRow extends RowBase {
  readonly kind: "judged";
  readonly prompt: TextOrTurns;
  readonly completion: TextOrTurns;
  readonly isDesirable: boolean;
  readonly tools?: readonly unknown[];
}

/** A page of words with their boxes, and what is learnt of it. */
export interface DocumentRow extends RowBase {
  readonly kind: "document";
  readonly words: readonly string[];
  /** Where each word stands, in thousandths of the page. */
  readonly boxes: readonly Box[];
  /** A class for each word, as an id into `labelNames`; -100 is not learnt. */
  readonly tags?: readonly number[];
  /** The page's own class, as an id into `labelNames`. */
  readonly label?: number;
  readonly labelNames: readonly string[];
  readonly question?: string;
  /** The words that answer it; absent where no words do. */
  readonly answer?: { readonly first: number; readonly last: number };
  /** The page's picture, for models that see it. */
  readonly image?: ImageSource;
  /** The page's size in the unit that its boxes had. */
  readonly page?: PageSize;
}

/** A picture with what it is to be told as; without labels, to be asked about. */
export interface PictureRow extends RowBase {
  readonly kind: "picture";
  /** It is read when its batch is made. */
  readonly image: ImageSource;
  readonly problemType: ProblemType;
  /** One class id, or one number (regression), or a 0 or 1 for each class; -100 is not learnt. */
  readonly labels: readonly number[];
  readonly labelNames: readonly string[];
}

/** A clip with what is spoken in it; without words, to be asked about. */
export interface SpeechRow extends RowBase {
  readonly kind: "speech";
  /** It is read when its batch is made. */
  readonly audio: SoundSource;
  readonly text: string;
  /** The language spoken, as "hindi" or "hi"; undefined: nobody says. */
  readonly language?: string;
  /** Whether the text is a translation to English. @default false */
  readonly isTranslated?: boolean;
}

/** A clip with what it is to be told as; without labels, to be asked about. */
export interface SoundRow extends RowBase {
  readonly kind: "sound";
  /** It is read when its batch is made. */
  readonly audio: SoundSource;
  readonly problemType: ProblemType;
  /** One class id, or one number (regression), or a 0 or 1 for each class; -100 is not learnt. */
  readonly labels: readonly number[];
  readonly labelNames: readonly string[];
}

/** A row of a data set after its columns were understood; `kind` tells which it is. */
export type Row =
  | PromptRow
  | ChatRow
  | TextRow
  | ClassifyRow
  | TokensRow
  | QuestionRow
  | SimilarityRow
  | PreferenceRow
  | JudgedRow
  | DocumentRow
  | PictureRow
  | SpeechRow
  | SoundRow;
/** What a row can be. */
export type RowKind = Row["kind"];

/** Class names of a classification or tagging data set, in the order of their ids; empty for other kinds. */
export function labelNames(rows: readonly Row[]): readonly string[] {
  const first = rows[0];
  return first !== undefined && "labelNames" in first ? first.labelNames : [];
}

/** Throws "option" where an argument is no list of rows: a promise of them, a path. */
export function expectRows(call: string, rows: unknown): void {
  const first = Array.isArray(rows) ? rows[0] : undefined;
  expectArgument(call, rows, {
    is: Array.isArray(rows) && (first === undefined || typeof first?.kind === "string"),
    wants: "rows",
    fix: 'read them first: const rows = await loadDataset("rows.jsonl").',
  });
}

/** What was said as one text, turn by turn. */
export function saidText(said: TextOrTurns): string {
  if (typeof said === "string") return said;
  return said.map(({ role, content }) => `${role}: ${content}`).join("\n");
}
