import type { SimilarityRow } from "../row.js";
import { isScalar, print, show } from "../tables/values.js";
import { type Entry, type Kind, readEntries, refuseEntry } from "./kind.js";

/**
 * Texts that are near each other, as sentence-transformers' data sets have them: an anchor with its positive
 * (a query with its answer), with negatives (a column, several, or a list), or a pair with a score that says
 * how near its texts are.
 */
export const similarity: Kind<SimilarityRow> = {
  kind: "similarity",
  slots: {
    anchor: { names: ["anchor", "query", "question", "sentence1", "sentence_a", "text1"] },
    positive: {
      names: ["positive", "pos", "answer", "passage", "document", "sentence2", "sentence_b", "text2"],
    },
    negative: { names: ["negative", "negatives", "neg", "hard_negative"], optional: true, several: true },
    score: { names: ["score", "label", "similarity_score"], optional: true },
  },
  convert: (entries, faults) =>
    readEntries(entries, faults, ({ at, values }): SimilarityRow => {
      const texts = [textOf(values, "anchor"), textOf(values, "positive"), ...negativesOf(values)];
      const row = { kind: "similarity" as const, at, texts };
      const { score } = values;
      if (score === undefined || score === null || score === "") return row;
      if (!isScalar(score) || !Number.isFinite(Number(score)))
        refuseEntry(`the score ${show(score)} is not a number`);
      return { ...row, score: Number(score) };
    }),
};

function textOf(values: Entry["values"], slot: string): string {
  const value = values[slot];
  return isScalar(value) ? print(value) : refuseEntry(`${slot} is ${show(value)}, not text`);
}

/** Cells that are empty are no negatives: rows of a table may have different numbers of them. */
function negativesOf({ negative }: Entry["values"]): string[] {
  const list = [negative].flat(2).filter((value) => value !== undefined && value !== null && value !== "");
  return list.map((value) =>
    isScalar(value) ? print(value) : refuseEntry(`a negative is ${show(value)}, not text`),
  );
}
