import { loadDataset, mediaFileKind, PeftError, type TaskType } from "../index.js";
import type { Settings } from "./options.js";
import type { ClipInput } from "./predictions.js";
import { readRunSettings } from "./run_record.js";
import { type Terminal, warn } from "./terminal.js";

/** Whether a model for this task is asked about clips. */
export function isOfSound(task: TaskType): boolean {
  return task === "SPEECH_SEQ_2_SEQ" || task === "AUDIO_CLS" || task === "CTC";
}

/** Clips: files of sound, folders of them, and paths in tables. Throws "option" where there are none. */
export async function clipsIn(settings: Settings, terminal: Terminal): Promise<AsyncIterable<ClipInput>> {
  const names = settings.list("data");
  if (names.length === 0)
    throw new PeftError("option", {
      what: "Nothing is asked.",
      why: "this model hears clips.",
      fix: "add --data call.mp3, a folder of clips, or a table with their paths.",
    });
  const files = names.filter((name) => mediaFileKind(name) === "audio");
  const tables = names.filter((name) => mediaFileKind(name) !== "audio");
  const rows =
    tables.length === 0
      ? []
      : await loadDataset(tables, {
          ...settings.pick(["limit", "format"]),
          kind: "sound",
          ...columnOf(settings),
          warn: (message) => warn(terminal, message),
        });
  async function* clips(): AsyncGenerator<ClipInput> {
    for (const file of files) yield { file };
    for (const row of rows)
      if (row.kind === "sound" && typeof row.audio === "string") yield { file: row.audio };
  }
  return clips();
}

function columnOf(settings: Settings): { columns?: Record<string, string> } {
  const column = settings.text("column");
  return column === undefined ? {} : { columns: { audio: column } };
}

/** The language of training, and what flags say. */
export async function speechOptions(settings: Settings, terminal: Terminal): Promise<object> {
  const adapter = settings.text("adapter");
  const run = adapter === undefined ? {} : await readRunSettings(adapter, terminal);
  const text = (name: string): string | undefined => {
    const learnt = run[name];
    return settings.text(name) ?? (typeof learnt === "string" ? learnt : undefined);
  };
  const [language, task] = [text("language"), text("speechTask")];
  return {
    ...(language === undefined ? {} : { language }),
    ...(task === "translate" || task === "transcribe" ? { task } : {}),
    ...(settings.flag("timestamps") ? { returnTimestamps: true } : {}),
    ...settings.pickGiven(["numBeams"]),
  };
}
