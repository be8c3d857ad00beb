import { spokenLanguage } from "../../spoken_languages.js";
import { learnt, read, whole } from "../pieces.js";
import type { SpeechRow } from "../row.js";
import { type DataTask, type EncodeContext, padLabels } from "./task.js";

/** A text that says when its words are spoken begins so. */
const TIMES = /^\s*<\|\d+\.\d\d\|>/;

/**
 * A clip, and the tokens of what is spoken in it, which a decoder writes: language and task where the
 * language is known, <|notimestamps|> unless the text has times, the text, its end. The start that a decoder
 * is fed with is none of them: transformers' well-known example leaves it among the labels, where it stands
 * twice.
 */
export const speechSeq2Seq: DataTask<"SPEECH_SEQ_2_SEQ"> = {
  name: "SPEECH_SEQ_2_SEQ",
  accepts: ["speech"],
  tables: ["speech"],
  encode(row, context) {
    if (row.kind !== "speech") return `a row of kind "${row.kind}"`;
    const prefix = prefixOf(row, context);
    if (typeof prefix === "string") return prefix;
    const { tokenizer, maxTargetLength } = context;
    const text = tokenizer(row.text, { addSpecialTokens: false }).inputIds[0] ?? [];
    const end = tokenizer.eosTokenId === undefined ? [] : [tokenizer.eosTokenId];
    const room = Math.max(0, maxTargetLength - prefix.length - end.length);
    const isCut = text.length > room;
    const labels = Int32Array.from([...prefix, ...text.slice(0, room), ...end]);
    const { audio: media, language, isTranslated } = row;
    const spoken = { ...(language === undefined ? {} : { language }), ...(isTranslated && { isTranslated }) };
    return {
      fields: { inputIds: new Int32Array(0), media, labels, ...spoken },
      ...{ truncated: isCut, labelsCut: isCut, learnt: row.text === "" ? 0 : labels.length },
    };
  },
  collate: (samples, _inputs, options) => ({
    labels: padLabels(samples, { ...options, paddingSide: "right" }),
  }),
  preview: ({ at, labels }, { tokenizer }) => [read(`${at} -> `), learnt(whole(labels, tokenizer))],
  target: ({ labels }) => labels,
};

/** Tokens before the text; words where the model does not have them. */
function prefixOf(
  { language, isTranslated, text }: SpeechRow,
  { tokenizer }: EncodeContext,
): number[] | string {
  const code = language === undefined ? undefined : spokenLanguage(language);
  const names = [
    ...(code === undefined ? [] : [code, isTranslated === true ? "translate" : "transcribe"]),
    ...(TIMES.test(text) ? [] : ["notimestamps"]),
  ];
  const ids = names.map((name) => tokenizer(`<|${name}|>`, { addSpecialTokens: false }).inputIds[0] ?? []);
  const missing = ids.findIndex((own) => own.length !== 1);
  if (missing < 0) return ids.flat();
  return missing === 0 && language !== undefined
    ? `language ${JSON.stringify(language)}, for which the model's tokenizer has no token`
    : `the model's tokenizer has no token <|${names[missing]}|>`;
}
