import { PeftError } from "../../errors.js";
import { languageToken } from "../../spoken_languages.js";
import { option, words } from "../../words.js";
import type { WhisperGeneration } from "./config.js";

/** What is said of the speech. */
export interface SpeechPrompt {
  /** "hindi", "hi" or "<|hi|>". @default the likeliest one; English-only models have no other */
  readonly language?: string | undefined;
  /** "transcribe", or "translate" to English. @default transcribe */
  readonly task?: string | undefined;
  /** Whether times are written between the words. */
  readonly timestamps: boolean;
}

/** Whether the language must be found first: nothing names it, and the model has several. */
export function mustDetect(
  g: WhisperGeneration,
  { language, task }: Omit<SpeechPrompt, "timestamps">,
): boolean {
  if (language !== undefined || g.languages.size === 0) return false;
  const forced = task === undefined ? g.forced : [];
  return forced.length === 0 || forced[0] === null;
}

/**
 * <|startoftranscript|>, the language, the task, <|notimestamps|> where no times are written. What old files
 * force counts only where the call names neither language nor task.
 * Reference: transformers/models/whisper/generation_whisper.py, _retrieve_init_tokens
 * @param detected the language that was found
 * @throws "generation" for a language or a task that the model does not have
 */
export function startTokens(g: WhisperGeneration, said: SpeechPrompt, detected?: number): number[] {
  const { language, task, timestamps } = said;
  refuseOfEnglish(g, said);
  const isOpen = language === undefined && task === undefined;
  const tokens: (number | null)[] = [g.start, ...(isOpen ? g.forced : [])];
  const spoken = language === undefined ? detected : languageToken(language, g.languages);
  if (spoken !== undefined) tokens[1] = spoken;
  const tasks = [...g.tasks.values()];
  if (task !== undefined) {
    const id = g.tasks.get(task);
    if (id === undefined) throw noTask(task, g);
    tokens.push(id);
  } else if (language !== undefined && !tokens.some((token) => token !== null && tasks.includes(token))) {
    const id = g.tasks.get("transcribe");
    if (id !== undefined) tokens.push(id);
  }
  const isMarked = tokens.at(-1) === g.noTimestamps;
  if (g.noTimestamps !== undefined && !timestamps && !isMarked) tokens.push(g.noTimestamps);
  if (timestamps && isMarked) tokens.pop();
  return tokens.filter((token) => token !== null);
}

function refuseOfEnglish(g: WhisperGeneration, { language, task }: SpeechPrompt): void {
  if (g.multilingual || (language === undefined && task === undefined)) return;
  const name = language === undefined ? option("task", task) : option("language", language);
  throw new PeftError("generation", {
    what: words`${name}.`,
    why: "this model knows English alone, and has no tokens of languages and tasks.",
    fix: words`leave ${option(language === undefined ? "task" : "language")} out, or use a multilingual model: openai/whisper-small.`,
  });
}

function noTask(task: string, { tasks }: WhisperGeneration): PeftError {
  return new PeftError("generation", {
    what: words`${option("task", task)}.`,
    why: `this model's tasks are ${[...tasks.keys()].join(", ") || "none"}.`,
    fix: words`use ${option("task", "transcribe")}.`,
  });
}
