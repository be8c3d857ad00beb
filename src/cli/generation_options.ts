import { GENERATION_FIELDS, type GenerationConfig, generationTable } from "../index.js";
import { type Option, type OptionGroup, rowOption, type Settings } from "./options.js";

type Field = keyof GenerationConfig;

/** For evaluations, where maxLength is that of samples. */
export const answerFields: readonly Field[] = GENERATION_FIELDS.filter((field) => field !== "maxLength");

/** Every setting of generation as an option; the model's own files decide where nothing is said, before the defaults that help shows. */
export function generationGroup(title: string, fields: readonly Field[] = GENERATION_FIELDS): OptionGroup {
  return { title: `${title}; defaults are the model's own, or these`, options: fields.map(generationOption) };
}

function generationOption(key: Field): Option {
  const { byDefault: _, ...option } = rowOption(key, generationTable[key]);
  return key === "stopStrings" ? { ...option, many: true } : option;
}

/** What was said about generation. */
export function generationSettings(
  settings: Settings,
  fields: readonly Field[] = GENERATION_FIELDS,
): GenerationConfig {
  return settings.pickGiven(fields) as GenerationConfig;
}
