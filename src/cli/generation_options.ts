import { fieldFaults, GENERATION_DEFAULTS, GENERATION_FIELDS, type GenerationConfig } from "../index.js";
import type { Option, OptionGroup, OptionKind, Settings } from "./options.js";

type Field = keyof GenerationConfig;

/** For evaluations, where maxLength is that of samples. */
export const answerFields: readonly Field[] = GENERATION_FIELDS.filter((field) => field !== "maxLength");

/** Every setting of generation as an option; what one takes, its check says when it is given NaN. */
export function generationGroup(title: string, fields: readonly Field[] = GENERATION_FIELDS): OptionGroup {
  return { title, options: fields.map(generationOption) };
}

function generationOption(key: Field): Option {
  const words = (fieldFaults[key](Number.NaN) ?? "").replace(/^must be /, "");
  const otherwise = (GENERATION_DEFAULTS as Readonly<Record<string, unknown>>)[key];
  const shown = otherwise === undefined ? {} : { otherwise: `the model's own, or ${otherwise}` };
  const option = { key, help: words, ...shown };
  if (words.startsWith("a text")) return { ...option, kind: "text", many: true };
  if (/TokenId$/.test(key)) return { ...option, kind: "numberOrNumbers" };
  return { ...option, kind: kindByWords(words) };
}

/** What was said about generation. */
export function generationSettings(
  settings: Settings,
  fields: readonly Field[] = GENERATION_FIELDS,
): GenerationConfig {
  return settings.pickGiven(fields) as GenerationConfig;
}

/** From the words of a check to how a flag's text is read; the first that fits. */
const kindsByWords: readonly (readonly [RegExp, OptionKind])[] = [
  [/^true or false$/, "flag"],
  [/list of token ids/, "numbers"],
  [/ by name/, "map"],
  [/a string or a list of names/, "targets"],
  [/a list of names/, "names"],
  [/number or a list/, "numberOrNumbers"],
  [/number/, "number"],
  [/^a list/, "numbers"],
  [/^an object/, "json"],
  [/^one of|^a string|^a text/, "text"],
];

function kindByWords(words: string): OptionKind {
  return kindsByWords.find(([form]) => form.test(words))?.[1] ?? "value";
}
