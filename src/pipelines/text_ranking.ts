import { jointCompletions } from "../data/preference/completions.js";
import type { TextOrTurns } from "../data/row.js";
import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import type { Opened, Part, PipelineDefinition } from "./definition.js";
import { textPart } from "./encode.js";
import { forwardParts, type PartLogits } from "./forward.js";

/** A prompt with answers, or a question with texts that may answer it. */
export type RankingInput =
  | { readonly prompt: TextOrTurns; readonly completions: readonly TextOrTurns[] }
  | { readonly query: string; readonly documents: readonly string[] };

/** One of them, with what the ranker says of it. */
export interface RankedText {
  /** Its place in the input. */
  readonly index: number;
  /** The model's number, as it is: the higher, the better. */
  readonly score: number;
}

/** How texts are ranked. */
export interface TextRankingOptions {
  /** How many of the best. @default all */
  readonly topK?: number | undefined;
  /** Tokens that a text may have: documents are cut, answers refused. @default as many as the model reads */
  readonly maxLength?: number | undefined;
}

/**
 * Answers to a prompt, as a reward model ranks them, or documents for a query, as a cross-encoder does: the
 * best first. Reference: trl/trainer/reward_trainer.py; sentence_transformers/cross_encoder
 */
export const textRanking: PipelineDefinition<RankingInput, RankedText[], TextRankingOptions, PartLogits> = {
  names: ["text-ranking"],
  task: "SEQ_CLS",
  options: { topK: {}, maxLength: {} },
  wants: "{ prompt, completions: [...] } or { query, documents: [...] }",
  isInput: isRankingInput,
  parts(input, opened, { maxLength = opened.maxLength }) {
    if ("query" in input)
      return input.documents.map((document) =>
        textPart({ text: input.query, textPair: document }, opened, maxLength),
      );
    return answerParts(input, opened, Math.min(maxLength, opened.maxLength));
  },
  compute: forwardParts,
  output(_, __, results, { topK = Number.POSITIVE_INFINITY }) {
    const scored = results.map(({ logits }, index) => ({ index, score: at(logits, 0) }));
    return scored.toSorted((a, b) => b.score - a.score).slice(0, topK);
  },
  window: 32,
};

function isRankingInput(value: unknown): value is RankingInput {
  const { prompt, completions, query, documents } = Object(value);
  const isSaid = (said: unknown): boolean => typeof said === "string" || Array.isArray(said);
  if (query !== undefined)
    return (
      typeof query === "string" && Array.isArray(documents) && documents.every((d) => typeof d === "string")
    );
  return isSaid(prompt) && Array.isArray(completions) && completions.every(isSaid);
}

/** Rows as a reward model learnt them: the prompt and an answer, of which nothing is cut. */
function answerParts(
  { prompt, completions }: { readonly prompt: TextOrTurns; readonly completions: readonly TextOrTurns[] },
  { tokenizer }: Opened,
  longest: number,
): Part[] {
  return completions.map((completion, row) => {
    const joint = jointCompletions({ prompt, completions: [completion] }, tokenizer);
    const inputIds = Int32Array.from([...joint.prompt, ...at(joint.completions, 0)]);
    if (inputIds.length > longest)
      throw new PeftError("option", {
        what: `Answer ${row + 1} has ${inputIds.length} tokens with its prompt, and the limit is ${longest}.`,
        why: "a reward model reads an answer to its end.",
        fix: words`shorten it${longest === Number.POSITIVE_INFINITY ? "" : words`, or raise ${option("maxLength")}`}.`,
      });
    return { row: 0, at: "", text: "", inputIds, tokens: [] };
  });
}
