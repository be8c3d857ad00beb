import { lettersOfRows } from "../letter_vocabulary.js";
import { learnt, read } from "../pieces.js";
import type { DataTask, EncodeContext } from "./task.js";
import { padLabels } from "./task.js";

/**
 * A clip, and the letters that are spoken in it, wherever they are. Nothing of them may be cut: a clip whose
 * letters are fewer than its words teaches not to hear them.
 */
export const ctc: DataTask<"CTC"> = {
  name: "CTC",
  accepts: ["speech"],
  tables: ["speech"],
  vocabulary: lettersOfRows,
  encode(row, context) {
    if (row.kind !== "speech") return `a row of kind "${row.kind}"`;
    const [ids = []] = context.tokenizer(row.text, { addSpecialTokens: false }).inputIds;
    noteUnknown(row.text, ids, context);
    const labels = Int32Array.from(ids);
    const fields = { inputIds: new Int32Array(0), media: row.audio, labels };
    return { fields, truncated: false, labelsCut: false, learnt: labels.length };
  },
  collate: (samples, _inputs, options) => ({
    labels: padLabels(samples, { ...options, paddingSide: "right" }),
  }),
  preview: ({ at, labels }, { tokenizer }) => [
    read(`${at} -> `),
    learnt(tokenizer.decode([...labels], { groupTokens: false })),
  ],
  target: ({ labels }) => labels,
};

const UNKNOWN = "The vocabulary lacks letters of the texts, which are learnt as its unknown token: ";

/** Says once that the vocabulary lacks letters, with one of them: mostly texts are in the other case. */
function noteUnknown(text: string, ids: readonly number[], { tokenizer, notes }: EncodeContext): void {
  const { unkTokenId } = tokenizer;
  if (unkTokenId === undefined || !ids.includes(unkTokenId)) return;
  if ([...notes].some((note) => note.startsWith(UNKNOWN))) return;
  const idOf = (letter: string): number | undefined =>
    tokenizer(letter, { addSpecialTokens: false }).inputIds[0]?.[0];
  const letter = [...text].find((one) => idOf(one) === unkTokenId) ?? text;
  notes.add(`${UNKNOWN}${JSON.stringify(letter)} of ${JSON.stringify(text.slice(0, 40))}, for one.`);
}
