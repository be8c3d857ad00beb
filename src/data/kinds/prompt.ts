import type { PromptRow } from "../row.js";
import { asText, type Kind } from "./kind.js";

/** A prompt and the text to be learnt after it. */
export const prompt: Kind<PromptRow> = {
  kind: "prompt",
  slots: {
    prompt: { names: ["prompt", "instruction", "input"] },
    target: { names: ["completion", "response", "output", "target"] },
  },
  convert: (entries, faults) =>
    entries.flatMap((entry) => {
      const text = asText(entry, "prompt", faults);
      const target = asText(entry, "target", faults);
      if (text === undefined || target === undefined) return [];
      return [{ kind: "prompt" as const, at: entry.at, prompt: text, target }];
    }),
};
