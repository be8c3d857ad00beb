import { argmax } from "../argmax.js";
import type { Entity, Predicted, PredictOptions, Said, TextToken } from "./prediction.js";
import { softmax } from "./prediction.js";

/** A token, or a word, with the label that it has. */
interface Labelled {
  readonly label: string;
  readonly score: number;
  readonly start: number;
  readonly end: number;
}

interface ScoredToken extends TextToken {
  readonly scores: Float32Array;
}

/** Which scores a word has, of those of its tokens. */
const ofWord: Readonly<Record<"first" | "average" | "max", (word: readonly ScoredToken[]) => Float32Array>> =
  {
    first: ([token]) => token?.scores ?? new Float32Array(),
    average: (word) => {
      const sum = new Float32Array(word[0]?.scores.length ?? 0);
      for (const { scores } of word)
        for (const [i, score] of scores.entries()) sum[i]! += score / word.length;
      return sum;
    },
    max: (word) => {
      const best = (token: ScoredToken): number => token.scores[argmax(token.scores)] ?? 0;
      return word.reduce((a, b) => (best(b) > best(a) ? b : a)).scores;
    },
  };

/**
 * Parts of a text with their labels. "none": each token; "simple": neighbours of one label are one entity,
 * where B- begins a new one; the others first give all tokens of a word one label. Reference:
 * transformers/pipelines/token_classification.py
 */
export function predictEntities(
  { logits, outputs, tokens, text, nameOf }: Said,
  { aggregation = "simple", ignoreLabels = ["O"] }: PredictOptions = {},
): Predicted {
  const scored = tokens.flatMap((token, i): ScoredToken[] => {
    const scores = softmax(logits.subarray(i * outputs, (i + 1) * outputs));
    return token.isSpecial ? [] : [{ ...token, scores }];
  });
  const isByToken = aggregation === "none" || aggregation === "simple";
  const choose = ofWord[isByToken ? "first" : aggregation];
  const words = isByToken ? scored.map((token) => [token]) : wordsOf(scored);
  const labelled = words.map((word): Labelled => {
    const scores = choose(word);
    const id = argmax(scores);
    const [start, end] = [word[0]?.start ?? 0, word.at(-1)?.end ?? 0];
    return { label: nameOf(id), score: scores[id] ?? 0, start, end };
  });
  const parts = aggregation === "none" ? labelled : groupsOf(labelled);
  const entities = parts
    .filter(({ label }) => !ignoreLabels.includes(label))
    .map((part): Entity => ({ ...part, text: text.slice(part.start, part.end) }));
  return { kind: "entities", entities };
}

function wordsOf(tokens: readonly ScoredToken[]): ScoredToken[][] {
  const words: ScoredToken[][] = [];
  for (const token of tokens) {
    const word = words.at(-1);
    if (word !== undefined && token.isSubword) word.push(token);
    else words.push([token]);
  }
  return words;
}

/** "B-PER" begins a PER, "I-PER" goes on with one, and so does a label without a prefix. */
function partsOf(label: string): { begins: boolean; tag: string } {
  return { begins: label.startsWith("B-"), tag: label.replace(/^[BI]-/, "") };
}

/** Neighbours of one tag; their score is the mean. */
function groupsOf(labelled: readonly Labelled[]): Labelled[] {
  const groups: Labelled[][] = [];
  for (const part of labelled) {
    const group = groups.at(-1);
    const { begins, tag } = partsOf(part.label);
    if (group?.[0] !== undefined && !begins && partsOf(group[0].label).tag === tag) group.push(part);
    else groups.push([part]);
  }
  return groups.map((group) => {
    const score = group.reduce((n, part) => n + part.score, 0) / group.length;
    const [label, start, end] = [group[0]?.label ?? "", group[0]?.start ?? 0, group.at(-1)?.end ?? 0];
    return { label: label.slice(label.indexOf("-") + 1), score, start, end };
  });
}
