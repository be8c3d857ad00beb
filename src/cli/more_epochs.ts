import { listCheckpoints, PeftError } from "../index.js";
import { option, words } from "../words.js";
import type { Settings } from "./options.js";
import { type RunRecord, readRecord } from "./run_record.js";
import type { Terminal } from "./terminal.js";

/** A run that goes on, by what its folder says of it. */
export interface LongerRun {
  /** The run's options, with as many epochs as it will have then. */
  readonly settings: Settings;
  /** Epochs that are added; undefined: the command adds none. */
  readonly added?: number;
  /** The command that trains as much from the start. */
  readonly command?: string;
}

/**
 * `--epochs +2`: the options of the run in the output folder with two epochs more, also where that command is
 * given again after an interruption. Throws "output" where no run is there that can go on.
 */
export async function longerRun(given: Settings, terminal: Terminal): Promise<LongerRun> {
  const said = given.get("epochs");
  if (typeof said !== "string") return { settings: given };
  const added = Number(said);
  const folder = given.text("output") ?? "";
  const record = await readRecord(folder, terminal);
  const epochs = record?.settings["epochs"];
  const isCounted = record?.settings["maxSteps"] === undefined && typeof epochs === "number";
  if (record === undefined || !isCounted || !(await canGoOn(record, { added, folder })))
    throw cannotGoOn(record, { folder, said, isCounted });
  const total = record.finished ? epochs + added : epochs;
  const differs = Object.entries(record.settings).filter(
    ([key, value]) => JSON.stringify(value) !== JSON.stringify(given.get(key)),
  );
  const settings = given.over(Object.fromEntries(differs)).with(new Map([["epochs", total]]));
  return { settings, added, command: `${record.command ?? "peft train"} --epochs ${total}` };
}

/** It is finished, and its last step is kept; or it was made longer by this very command. */
async function canGoOn(
  record: RunRecord,
  { added, folder }: { added: number; folder: string },
): Promise<boolean> {
  if (added < 1) return false;
  if (!record.finished) return record.added === added;
  return (await listCheckpoints(`${folder}/checkpoints`)).length > 0;
}

function cannotGoOn(
  record: RunRecord | undefined,
  { folder, said, isCounted }: { folder: string; said: string; isCounted: boolean },
): PeftError {
  const what = words`${option("epochs", said)} adds to a finished run, and "${folder}" holds none that can go on.`;
  const anew = words`start anew with its adapter: ${option("adapter", folder)} ${option("outputDir", `${folder}-2`)}.`;
  if (record === undefined)
    return new PeftError("output", {
      what,
      why: "no run of `peft train` was there.",
      fix: words`say the run's folder with ${option("outputDir")}, or a number without +.`,
    });
  if (!isCounted)
    return new PeftError("output", { what, why: "that run was counted in steps, not in epochs.", fix: anew });
  if (!record.finished)
    return new PeftError("output", {
      what,
      why: "that run has not come to its end.",
      fix: "let it finish first, by the command that began it.",
    });
  return new PeftError("output", { what, why: "that run kept no checkpoint to go on from.", fix: anew });
}
