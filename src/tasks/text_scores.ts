import { accuracy, exactMatch, tokenF1 } from "./metrics.js";
import type { InWords, Scores } from "./scores.js";

/**
 * accuracy is plain equality; exactMatch and f1 are SQuAD's, without case, punctuation and articles.
 */
function measureTexts(texts: readonly InWords[]): Record<string, number> {
  const outputs = texts.map(({ output }) => output);
  const expected = texts.map((text) => text.expected ?? "");
  if (texts.length === 0) return {};
  return {
    accuracy: accuracy(outputs, expected),
    exactMatch: exactMatch(outputs, expected, { normalize: true }),
    f1: tokenF1(outputs, expected),
  };
}

/** Texts that the model generates: logits over a vocabulary would be large, and nobody reads them. */
export const answerScores: Scores = {
  metrics: { accuracy: "higher", exactMatch: "higher", f1: "higher" },
  from: "text",
  read: () => [],
  words: () => "",
  measure: (_scored, texts) => measureTexts(texts),
};

const longestAnswer = 30;

/**
 * The likeliest span of real tokens, as places in the sample without its padding. With virtual tokens labels
 * are not shifted (as Python has it), so neither is this.
 */
export const spanScores: Scores = {
  metrics: answerScores.metrics,
  from: "logits",
  read({ rows, inputIds, attentionMask, startPositions, endPositions }, { data, shape }) {
    const total = shape[1]!;
    const seq = inputIds.shape[1];
    return [...rows].map((row, i) => {
      const y = (j: number, side: 0 | 1): number => data[(i * total + j) * 2 + side]!;
      let best = Number.NEGATIVE_INFINITY;
      let predicted: [number, number] = [0, 0];
      for (let start = 0; start < seq; start++) {
        if (attentionMask.data[i * seq + start] !== 1) continue;
        for (let end = start; end < Math.min(seq, start + longestAnswer); end++) {
          if (attentionMask.data[i * seq + end] !== 1) break;
          const score = y(start, 0) + y(end, 1);
          if (score > best) [best, predicted] = [score, [start, end]];
        }
      }
      const actual = [startPositions?.data[i] ?? 0, endPositions?.data[i] ?? 0];
      const padding = attentionMask.data.subarray(i * seq, (i + 1) * seq).indexOf(1);
      const unpadded = (places: readonly number[]): number[] => places.map((place) => place - padding);
      return { row, predicted: unpadded(predicted), actual: unpadded(actual) };
    });
  },
  words: ([first = 0, last = 0], { textOf }) => (last === 0 ? "" : textOf(first, last)),
  measure: (_scored, texts) => measureTexts(texts),
};
