import type { SpeechRow } from "../row.js";
import { asText, type Kind, readEntries } from "./kind.js";
import { soundOf, soundSlot } from "./sound.js";

/** A clip with the words that are spoken in it. */
export const speech: Kind<SpeechRow> = {
  kind: "speech",
  slots: {
    audio: soundSlot,
    text: { names: ["text", "sentence", "transcription", "transcript", "normalized_text", "target"] },
    language: { names: ["language", "lang", "locale"], optional: true },
  },
  convert: (entries, faults, { language, isTranslated = false }) =>
    readEntries(entries, faults, (entry): SpeechRow | undefined => {
      const text = asText(entry, "text", faults);
      const spoken =
        language ?? (entry.values["language"] === undefined ? undefined : asText(entry, "language", faults));
      if (text === undefined) return undefined;
      return {
        ...{ kind: "speech", at: entry.at, audio: soundOf(entry), text },
        ...(spoken === undefined ? {} : { language: spoken }),
        ...(isTranslated && { isTranslated }),
      };
    }).filter((row) => row !== undefined),
};
