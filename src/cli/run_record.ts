import type { Row } from "../index.js";
import type { Terminal } from "./terminal.js";

/**
 * What a run was asked to do. It lies in the run's folder, so that the next one knows whether it may go on.
 */
export interface RunRecord {
  readonly settings: Readonly<Record<string, unknown>>;
  /** SHA-256 of the data files. */
  readonly files: Readonly<Record<string, string>>;
  /** What its rows were, as the columns told it, and whether the chat template wrote them. */
  readonly kind?: Row["kind"];
  readonly isChat?: boolean;
  /** The command that trains as much from the start. */
  readonly command?: string;
  /** Epochs that were added to a run that had finished, by the last command. */
  readonly added?: number;
  readonly finished: boolean;
}

/** What `--validation` takes in place of a file. */
export const NO_VALIDATION = "none";

export const recordFile = "run.json";
/** Writes what a run was asked to do into its folder. */
export async function writeRecord(folder: string, record: RunRecord, terminal: Terminal): Promise<void> {
  await terminal.writeFile(terminal.join(folder, recordFile), `${JSON.stringify(record, undefined, 2)}\n`);
}

/** The record of the run that wrote to a folder; undefined where there is none that can be read. */
export async function readRecord(folder: string, terminal: Terminal): Promise<RunRecord | undefined> {
  try {
    const record = JSON.parse(await terminal.readFile(terminal.join(folder, recordFile)));
    return typeof record?.settings === "object" && typeof record?.files === "object" ? record : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The settings of the run of ours that made an adapter, with what its rows were where only their columns told
 * it.
 */
export async function readRunSettings(adapter: string, terminal: Terminal): Promise<RunRecord["settings"]> {
  const { settings = {}, kind } = (await readRecord(adapter, terminal)) ?? {};
  const isSaid = kind === undefined || settings["kind"] !== undefined || settings["template"] !== undefined;
  return isSaid ? settings : { ...settings, kind };
}

/** Whether an adapter learnt from chats; undefined where no run of ours tells it. */
export async function wasChat(adapter: string, terminal: Terminal): Promise<boolean | undefined> {
  return (await readRecord(adapter, terminal))?.isChat;
}
