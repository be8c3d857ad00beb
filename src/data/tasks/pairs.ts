import { stack } from "../padding.js";
import { jointCompletions } from "../preference/completions.js";
import type { PreferenceRow } from "../row.js";
import type { SequenceClassificationSample } from "../sample.js";
import { type BatchLabels, type EncodeContext, type Encoded, inputsOf } from "./task.js";

/**
 * The better answer, and the worse one beside it, each with the prompt: nothing of them is cut. Pairs with a
 * text over `maxLength` are left out.
 */
export function encodePair(row: PreferenceRow, { tokenizer, maxLength }: EncodeContext): Encoded<"SEQ_CLS"> {
  const { prompt, chosen, rejected, tools, margin } = row;
  const asked = { prompt, completions: [chosen, rejected], ...(tools && { tools }) };
  const { prompt: start, completions } = jointCompletions(asked, tokenizer);
  const [better = [], worse = []] = completions.map((ids) => [...start, ...ids]);
  return {
    fields: {
      ...inputsOf(better),
      others: [inputsOf(worse)],
      problemType: "regression",
      labels: new Float32Array(0),
      ...(margin === undefined ? {} : { margin }),
    },
    truncated: false,
    labelsCut: false,
    learnt: 1,
    isChat: typeof chosen !== "string",
    tooLong: Math.max(better.length, worse.length) > maxLength,
  };
}

/** Which texts of a batch are a pair's, and by how much the first is better. */
export function pairsOf(samples: readonly SequenceClassificationSample[]): BatchLabels<"SEQ_CLS"> {
  const data = Int32Array.from({ length: 2 * samples.length }, (_, i) => i);
  return {
    problemType: "regression",
    labels: stack([...data].map((row) => Float32Array.of(1 - (row % 2)))),
    pairs: { data, shape: [samples.length, 2] },
    margins: stack(samples.map(({ margin = 0 }) => Float32Array.of(margin))),
  };
}
