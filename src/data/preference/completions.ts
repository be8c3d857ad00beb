import { PeftError } from "../../errors.js";
import { at } from "../../present.js";
import type { TextOrTurns } from "../row.js";
import type { TokenizerLike } from "../types.js";

/** A prompt with some completions of it, as token ids: each begins where it first differs from the prompt. */
export interface Completions {
  readonly prompt: readonly number[];
  readonly completions: readonly (readonly number[])[];
}

/** A prompt, its completions and what the template may name besides. */
export interface Asked {
  readonly prompt: TextOrTurns;
  readonly completions: readonly TextOrTurns[];
  readonly tools?: readonly unknown[];
}

/** The same as texts, and whether the chat template wrote them: with it come its own special tokens. */
export interface AskedTexts {
  readonly prompt: string;
  readonly completions: readonly string[];
  readonly isChat: boolean;
}

/**
 * What the model reads: texts as they are; turns as the chat template writes them, with what makes the
 * assistant speak behind the prompt. Throws "tokenizer" for turns without a template.
 */
export function textsOf({ prompt, completions, tools }: Asked, tokenizer: TokenizerLike): AskedTexts {
  if (typeof prompt === "string" && completions.every((said) => typeof said === "string"))
    return { prompt, completions: completions as readonly string[], isChat: false };
  if (tokenizer.chatTemplate === undefined) throw noTemplate();
  const write = (said: TextOrTurns, addGenerationPrompt: boolean): string => {
    const options = { tokenize: false, addGenerationPrompt, ...(tools && { tools }) } as const;
    return tokenizer.applyChatTemplate?.(asTurns(said, "user"), options) ?? throwNoTemplate();
  };
  const text = write(prompt, true);
  const wholes = completions.map((said) =>
    write([...asTurns(prompt, "user"), ...asTurns(said, "assistant")], false),
  );
  // a template may write a prompt otherwise where an answer follows: then what both begin with is the prompt
  const shared = wholes.reduce((n, whole) => Math.min(n, sharedLength(text, whole)), text.length);
  return {
    prompt: text.slice(0, shared),
    completions: wholes.map((whole) => whole.slice(shared)),
    isChat: true,
  };
}

function asTurns(said: TextOrTurns, role: string): Exclude<TextOrTurns, string> {
  return typeof said === "string" ? [{ role, content: said }] : said;
}

function sharedLength<T>(a: ArrayLike<T>, b: ArrayLike<T>): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

/** A text's ids; a template has written its own special tokens. */
export function idsOf(tokenizer: TokenizerLike, text: string, addSpecialTokens: boolean): number[] {
  return at(tokenizer(text, { addSpecialTokens }).inputIds, 0);
}

/** The end token as text, where completions get one: behind texts that do not end with it. */
function withEndText(text: string, tokenizer: TokenizerLike): string {
  const { eosTokenId } = tokenizer;
  if (eosTokenId === undefined) return text;
  const end = tokenizer.decode([eosTokenId], { skipSpecialTokens: false });
  return text.endsWith(end) ? text : text + end;
}

/**
 * As TRL's DPO and KTO: prompt and completion are tokenized as one text; the completion begins where this and
 * the prompt alone first differ, for several completions at the earliest such place. Texts get the end
 * token, what a template wrote does not.
 */
export function jointCompletions(asked: Asked, tokenizer: TokenizerLike): Completions {
  const { prompt, completions, isChat } = textsOf(asked, tokenizer);
  const alone = idsOf(tokenizer, prompt, !isChat);
  const wholes = completions.map((text) =>
    idsOf(tokenizer, prompt + (isChat ? text : withEndText(text, tokenizer)), !isChat),
  );
  const start = wholes.reduce((n, whole) => Math.min(n, sharedLength(alone, whole)), alone.length);
  return { prompt: alone.slice(0, start), completions: wholes.map((whole) => whole.slice(start)) };
}

function throwNoTemplate(): never {
  throw noTemplate();
}

function noTemplate(): PeftError {
  return new PeftError("tokenizer", {
    what: "The rows are conversations, and the tokenizer has no chat template.",
    why: "only a template says how turns become text.",
    fix: "use a model whose tokenizer has one (chat_template), or rows of plain texts.",
  });
}
