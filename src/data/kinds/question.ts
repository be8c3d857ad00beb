import type { QuestionRow } from "../row.js";
import { isObject, isScalar, show } from "../tables/values.js";
import { asText, type Entry, type Kind } from "./kind.js";

/**
 * A question about a context. The answer is a text in it: SQuAD's `answers: { text: [...], answer_start:
 * [...] }` (the first one counts, an empty list means that there is none), or `answer` with `answer_start`,
 * or `answer` where it occurs once.
 */
export const question: Kind<QuestionRow> = {
  kind: "question",
  slots: {
    question: { names: ["question"] },
    context: { names: ["context", "passage"] },
    answer: { names: ["answers", "answer"] },
    start: { names: ["answer_start"], optional: true },
  },
  convert: (entries, faults) =>
    entries.flatMap((entry) => {
      const asked = asText(entry, "question", faults);
      const context = asText(entry, "context", faults);
      if (asked === undefined || context === undefined) return [];
      const found = locate(entry, context);
      const row = { kind: "question" as const, at: entry.at, question: asked, context };
      if (found === undefined) return [row];
      if (typeof found !== "string") return [{ ...row, answer: found }];
      faults.push({ at: entry.at, says: found });
      return [];
    }),
};

/** The answer's range, undefined where there is none, or words that say what is wrong with it. */
function locate(entry: Entry, context: string): { start: number; end: number } | undefined | string {
  const { text, start } = readAnswer(entry);
  if (text === undefined) return undefined;
  if (typeof text !== "string") return `the answer is ${show(text)}, not text`;
  if (text === "") return undefined;
  if (start === undefined || start === null || start === "") return locateText(text, context);
  const offset = isScalar(start) ? Number(start) : Number.NaN;
  for (const from of [offset, utf16Offset(context, offset)]) {
    if (context.startsWith(text, from) && from >= 0) return { start: from, end: from + text.length };
  }
  const there = show(context.slice(Math.max(0, offset), offset + text.length));
  return `the answer ${show(text)} does not stand at character ${show(start)} of the context, but ${there}`;
}

function readAnswer({ values }: Entry): { text?: unknown; start?: unknown } {
  const answer = values["answer"];
  if (Array.isArray(answer)) {
    const first: unknown = answer[0];
    return isObject(first) ? { text: first["text"], start: first["answer_start"] } : { text: first };
  }
  if (!isObject(answer)) return { text: answer ?? undefined, start: values["start"] };
  const first = (value: unknown): unknown => (Array.isArray(value) ? value[0] : value);
  return { text: first(answer["text"]), start: first(answer["answer_start"]) };
}

function locateText(text: string, context: string): { start: number; end: number } | string {
  const start = context.indexOf(text);
  if (start < 0) return `the answer ${show(text)} does not occur in the context`;
  if (context.indexOf(text, start + 1) >= 0) {
    return `the answer ${show(text)} occurs more than once in the context, and no answer_start says which is meant`;
  }
  return { start, end: start + text.length };
}

/** Data sets count characters as Python does, in code points. */
function utf16Offset(text: string, codePoints: number): number {
  let units = 0;
  for (const character of text) {
    if (codePoints-- <= 0) break;
    units += character.length;
  }
  return units;
}
