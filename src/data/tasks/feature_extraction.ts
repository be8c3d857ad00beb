import { at } from "../../present.js";
import type { Floats, Ids } from "../batch.js";
import { stack } from "../padding.js";
import { learnt, type PreviewPiece, read, whole } from "../pieces.js";
import type { SimilarityRow } from "../row.js";
import { type FeatureExtractionSample, sequencesOf } from "../sample.js";
import { type DataTask, type EncodeContext, type Encoded, encodeText } from "./task.js";

/**
 * Texts, and texts that are near each other or far from each other. What is learnt from texts alone is the
 * caller's loss.
 */
export const featureExtraction: DataTask<"FEATURE_EXTRACTION"> = {
  name: "FEATURE_EXTRACTION",
  accepts: ["similarity", "text", "classify", "prompt"],
  tables: ["similarity", "text", "classify"],
  encode(row, context) {
    if (row.kind === "similarity") return encodeTexts(row, context);
    if (row.kind !== "text" && row.kind !== "classify" && row.kind !== "prompt")
      return `a row of kind "${row.kind}"`;
    const text = row.kind === "prompt" ? row.prompt : row.text;
    const pair = row.kind === "classify" ? row.pair : undefined;
    const { inputs, truncated } = encodeText(context, text, context.maxLength, pair);
    return { fields: inputs, truncated, labelsCut: false, learnt: undefined };
  },
  collate(samples) {
    if (samples[0]?.others === undefined) return {};
    const scores = samples.flatMap(({ score }) => score ?? []);
    const labels: Floats = stack(scores.map((score) => Float32Array.of(score)));
    return { texts: placesOf(samples), ...(scores.length === samples.length ? { labels } : {}) };
  },
  preview(sample, { tokenizer }) {
    const { score } = sample;
    const said = score === undefined ? [] : [learnt(` (${score})`)];
    return [
      ...sequencesOf(sample).flatMap(({ inputIds }, i): PreviewPiece[] => {
        const sign = i === 0 ? "" : i === 1 ? " ~ " : " | ";
        return [read(`${sign}${whole(inputIds, tokenizer)}`)];
      }),
      ...said,
    ];
  },
};

function encodeTexts(
  { texts, score }: SimilarityRow,
  context: EncodeContext,
): Encoded<"FEATURE_EXTRACTION"> | string {
  if (texts.length < 2) return "fewer than two texts";
  const encoded = texts.map((text) => encodeText(context, text, context.maxLength));
  const inputs = encoded.map((text) => text.inputs);
  const fields = { ...at(inputs, 0), others: inputs.slice(1) };
  return {
    fields: score === undefined ? fields : { ...fields, score },
    truncated: encoded.some(({ truncated }) => truncated),
    labelsCut: false,
    learnt: 1,
  };
}

/** Which of the batch's texts are a row's, [samples, texts]; -1 where a row has fewer than others. */
function placesOf(samples: readonly FeatureExtractionSample[]): Ids {
  const counts = samples.map((sample) => sequencesOf(sample).length);
  const texts = Math.max(...counts);
  const data = new Int32Array(samples.length * texts).fill(-1);
  let first = 0;
  for (const [row, count] of counts.entries()) {
    for (let i = 0; i < count; i++) data[row * texts + i] = first + i;
    first += count;
  }
  return { data, shape: [samples.length, texts] };
}
