import type { Predicted, PredictOptions, Said, SpanAnswer } from "./prediction.js";
import { softmax } from "./prediction.js";

/**
 * The likeliest spans of a context: P(start) P(end), each a softmax over the context's tokens and [CLS],
 * which stands for "no answer". Reference: transformers/pipelines/question_answering.py of transformers 4
 */
export function predictSpans(said: Said, options: PredictOptions = {}): Predicted {
  return predictSpansOf([said], options);
}

/**
 * The same for a context that is longer than the model reads, in windows that overlap. Spans of one text are
 * one answer, whose score is the sum of theirs; that there is no answer is as likely as in the window where
 * it is least likely.
 */
export function predictSpansOf(
  windows: readonly Said[],
  { topK = 1, maxAnswerTokens = 15, noAnswer = false }: PredictOptions = {},
): Predicted {
  const byText = new Map<string, SpanAnswer>();
  for (const window of windows)
    for (const span of spansIn(window, 2 * topK + 10, maxAnswerTokens)) {
      const key = span.answer.toLowerCase();
      const former = byText.get(key);
      byText.set(key, former === undefined ? span : { ...former, score: former.score + span.score });
    }
  const answers = [...byText.values()];
  if (noAnswer) answers.push({ answer: "", score: Math.min(...windows.map(noneIn)), start: 0, end: 0 });
  return { kind: "spans", answers: answers.sort((a, b) => b.score - a.score).slice(0, topK) };
}

/** P of each token as a start (0) or an end (1). */
function likelihood({ logits, tokens }: Said, side: 0 | 1): Float32Array {
  return softmax(
    Float32Array.from(tokens, (token, i) =>
      isContext(token) || token.isClass === true ? (logits[2 * i + side] ?? 0) : -1e4,
    ),
  );
}

function isContext({ isSpecial, isContext = true }: Said["tokens"][number]): boolean {
  return isContext && !isSpecial;
}

function noneIn(said: Said): number {
  return (likelihood(said, 0)[0] ?? 0) * (likelihood(said, 1)[0] ?? 0);
}

/** The `count` likeliest spans of one window, the best first. */
function spansIn(said: Said, count: number, maxAnswerTokens: number): SpanAnswer[] {
  const { tokens, text } = said;
  const [starts, ends] = [likelihood(said, 0), likelihood(said, 1)];
  const spans: { score: number; first: number; last: number }[] = [];
  for (const [first, token] of tokens.entries()) {
    if (!isContext(token)) continue;
    for (let last = first; last < Math.min(tokens.length, first + maxAnswerTokens); last++) {
      const end = tokens[last];
      if (end === undefined || !isContext(end)) break;
      spans.push({ score: (starts[first] ?? 0) * (ends[last] ?? 0), first, last });
    }
  }
  return spans
    .sort((a, b) => b.score - a.score)
    .slice(0, count)
    .map(({ score, first, last }) => {
      const [start, end] = [tokens[first]?.start ?? 0, tokens[last]?.end ?? 0];
      return { answer: text.slice(start, end), score, start, end };
    });
}
