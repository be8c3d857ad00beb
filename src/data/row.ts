import { expectArgument } from "../arguments.js";
import type { ProblemType } from "./batch.js";
import type { Message } from "./types.js";

/** What is said in turns, and what of it is learnt. */
export interface Conversation {
  readonly messages: readonly Message[];
  /** Whether a message is learnt, one for each; what the assistant says, without it. */
  readonly learn?: readonly boolean[];
  /** Functions that the assistant may call, as the chat template takes them. */
  readonly tools?: readonly unknown[];
}

/**
 * A row of a data set after its columns were understood. `at` says where it stood: `tweets.csv line 4`. `chat` is the same for
 * models with a chat template; without it, the prompt is taken to the letter.
 */
export interface PromptRow {
  readonly kind: "prompt";
  readonly at: string;
  readonly prompt: string;
  readonly target: string;
  readonly chat?: Conversation;
}

export interface ChatRow extends Conversation {
  readonly kind: "chat";
  readonly at: string;
}

export interface TextRow {
  readonly kind: "text";
  readonly at: string;
  readonly text: string;
}

/** `labels`: one class id, or one number (regression), or a 0 or 1 per class. `labelNames` is one list for the whole set. */
export interface ClassifyRow {
  readonly kind: "classify";
  readonly at: string;
  readonly text: string;
  readonly pair?: string;
  readonly problemType: ProblemType;
  readonly labels: readonly number[];
  readonly labelNames: readonly string[];
}

/** One tag per word, as an id into `labelNames`; -100 is not learnt. */
export interface TokensRow {
  readonly kind: "tokens";
  readonly at: string;
  readonly words: readonly string[];
  readonly tags: readonly number[];
  readonly labelNames: readonly string[];
}

/** `answer` is a range of the context in UTF-16 units; absent where the context has no answer. */
export interface QuestionRow {
  readonly kind: "question";
  readonly at: string;
  readonly question: string;
  readonly context: string;
  readonly answer?: { readonly start: number; readonly end: number };
}

export type Row = PromptRow | ChatRow | TextRow | ClassifyRow | TokensRow | QuestionRow;
export type RowKind = Row["kind"];

/** Class names of a classification or tagging data set, in the order of their ids; empty for other kinds. */
export function labelNames(rows: readonly Row[]): readonly string[] {
  const first = rows[0];
  return first?.kind === "classify" || first?.kind === "tokens" ? first.labelNames : [];
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
