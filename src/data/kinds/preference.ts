import type { PreferenceRow, TextOrTurns } from "../row.js";
import { isScalar, print, show } from "../tables/values.js";
import { type Entry, type Kind, readEntries, refuseEntry } from "./kind.js";
import { fromJson, readTools, readTurns } from "./messages.js";

/**
 * Two answers of which one is preferred, as TRL's data sets have them: texts or lists of messages; the prompt
 * beside them, or as what both begin with.
 */
export const preference: Kind<PreferenceRow> = {
  kind: "preference",
  slots: {
    prompt: { names: ["prompt", "question", "instruction"], optional: true },
    chosen: { names: ["chosen"] },
    rejected: { names: ["rejected"] },
    tools: { names: ["tools"], optional: true },
    margin: { names: ["margin"], optional: true },
  },
  convert: (entries, faults) =>
    readEntries(entries, faults, ({ at, values }): PreferenceRow => {
      const answers = { chosen: saidIn(values, "chosen"), rejected: saidIn(values, "rejected") };
      if (typeof answers.chosen !== typeof answers.rejected)
        refuseEntry("one of chosen and rejected is a text, the other a list of messages");
      const row =
        values["prompt"] === undefined || values["prompt"] === null
          ? withoutPrompt(answers)
          : { prompt: saidIn(values, "prompt"), ...answers };
      if (isSame(row.chosen, row.rejected)) refuseEntry("chosen and rejected are the same");
      const { margin } = values;
      if (margin !== undefined && margin !== null && !Number.isFinite(Number(margin)))
        refuseEntry(`the margin ${show(margin)} is not a number`);
      return {
        ...{ kind: "preference", at, ...row, ...toolsIn(values) },
        ...(margin !== undefined && margin !== null && { margin: Number(margin) }),
      };
    }),
};

/** A slot's text, or its messages. */
export function saidIn(values: Entry["values"], slot: string): TextOrTurns {
  const value = fromJson(values[slot]);
  if (Array.isArray(value)) return readTurns(value, slot).map(({ message }) => message);
  return isScalar(values[slot]) ? print(values[slot]) : refuseEntry(`${slot} is ${show(value)}, not text`);
}

export function toolsIn(values: Entry["values"]): { readonly tools?: readonly unknown[] } {
  const tools = readTools(values["tools"]);
  return tools === undefined ? {} : { tools };
}

function isSame(a: TextOrTurns, b: TextOrTurns): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * The prompt is what both begin with, in characters or turns; a space at its end is the answers'. Where one
 * answer is the whole beginning of the other, the prompt ends before the last of it: neither is empty.
 */
function withoutPrompt({ chosen, rejected }: Pick<PreferenceRow, "chosen" | "rejected">): {
  prompt: TextOrTurns;
  chosen: TextOrTurns;
  rejected: TextOrTurns;
} {
  const shorter = Math.min(chosen.length, rejected.length);
  let shared = 0;
  while (shared < shorter && isSame(chosen.slice(shared, shared + 1), rejected.slice(shared, shared + 1)))
    shared++;
  const isWhole = shared === shorter;
  const isSpace = !isWhole && typeof chosen === "string" && chosen[shared - 1] === " ";
  const end = isWhole ? Math.max(0, shorter - 1) : isSpace ? shared - 1 : shared;
  return { prompt: chosen.slice(0, end), chosen: chosen.slice(end), rejected: rejected.slice(end) };
}
