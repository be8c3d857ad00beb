import type { Predicted, PredictOptions, Said, SpanAnswer } from "./prediction.js";
import { softmax } from "./prediction.js";

/**
 * The likeliest spans of a context: P(start) P(end), each a softmax over the context's tokens, and over the first token where there may
 * be no answer, which that token then stands for. Reference: the question-answering pipeline of transformers 4
 */
export function predictSpans(
  { logits, tokens, text }: Said,
  { topK = 1, maxAnswerTokens = 15, noAnswer = false }: PredictOptions = {},
): Predicted {
  const isContext = tokens.map(({ isSpecial, isContext = true }) => isContext && !isSpecial);
  const side = (which: 0 | 1): Float32Array =>
    softmax(
      Float32Array.from(tokens, (_, i) =>
        isContext[i] || (noAnswer && i === 0) ? logits[2 * i + which]! : -1e4,
      ),
    );
  const [starts, ends] = [side(0), side(1)];
  const answers: SpanAnswer[] = [];
  for (const first of tokens.keys()) {
    if (!isContext[first]) continue;
    for (let last = first; last < Math.min(tokens.length, first + maxAnswerTokens); last++) {
      if (!isContext[last]) break;
      const [start, end] = [tokens[first]?.start ?? 0, tokens[last]?.end ?? 0];
      answers.push({ answer: text.slice(start, end), score: starts[first]! * ends[last]!, start, end });
    }
  }
  if (noAnswer) answers.push({ answer: "", score: (starts[0] ?? 0) * (ends[0] ?? 0), start: 0, end: 0 });
  return { kind: "spans", answers: answers.sort((a, b) => b.score - a.score).slice(0, topK) };
}
