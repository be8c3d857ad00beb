import { type GenerationConfig, generationTable } from "../index.js";
import { keysOf } from "../narrow.js";
import { type Option, type OptionGroup, rowOption, type Settings } from "./options.js";

type Field = keyof GenerationConfig;

const allFields: readonly Field[] = keysOf(generationTable);

/** For evaluations, where maxLength is that of samples. */
export const answerFields: readonly Field[] = allFields.filter((field) => field !== "maxLength");

/**
 * Every setting of generation as an option; the model's own files decide where nothing is said, before the
 * defaults that help shows.
 */
export function generationGroup(title: string, fields: readonly Field[] = allFields): OptionGroup {
  return { title: `${title}; defaults are the model's own, or these`, options: fields.map(generationOption) };
}

function generationOption(key: Field): Option {
  const { byDefault: _, ...option } = rowOption(key, generationTable[key]);
  return key === "stopStrings" ? { ...option, many: true } : option;
}

/** What was said about generation. */
export function generationSettings(
  settings: Settings,
  fields: readonly Field[] = allFields,
): GenerationConfig {
  return settings.pickGiven(fields) as GenerationConfig;
}
