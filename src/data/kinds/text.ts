import type { TextRow } from "../row.js";
import { asText, type Kind } from "./kind.js";

/** Plain text, all of it learnt (causal models), or none (feature extraction). */
export const text: Kind<TextRow> = {
  kind: "text",
  slots: { text: { names: ["text", "content", "sentence"] } },
  convert: (entries, faults) =>
    entries.flatMap((entry) => {
      const found = asText(entry, "text", faults);
      return found === undefined ? [] : [{ kind: "text" as const, at: entry.at, text: found }];
    }),
};
