import { checkOutputDir, listDataFiles, PeftError, type RunMode } from "../index.js";
import { option, words } from "../words.js";
import { showHub } from "./model.js";
import { waysToUse } from "./next.js";
import { flagOf, type Settings } from "./options.js";
import { NO_VALIDATION, type RunRecord, readRecord, recordFile } from "./run_record.js";
import type { Terminal } from "./terminal.js";

/** What a run writes before its record: where nothing else is, nothing was learnt. */
const beforeRecord = ["training_config.json", "metrics.jsonl"];

/**
 * Decides whether a run may write to its folder: it is new, goes on with a run that was interrupted, or with
 * one to which epochs are added. "finished": the folder holds this very run. Throws "output" where it holds
 * one with other options, or other files; and where it cannot be written.
 */
export async function openOutput(
  folder: string,
  record: RunRecord,
  overwrite: boolean,
  terminal: Terminal,
): Promise<RunMode | "finished"> {
  const names = (await terminal.list(folder)).filter((name) => !name.startsWith("."));
  const mode = await modeOf(folder, names, record, overwrite, terminal);
  if (mode === "finished") return mode;
  await terminal.checkWritable(folder);
  await checkOutputDir(folder, mode);
  return mode;
}

async function modeOf(
  folder: string,
  names: readonly string[],
  record: RunRecord,
  overwrite: boolean,
  terminal: Terminal,
): Promise<RunMode | "finished"> {
  if (overwrite) return "overwrite";
  if (names.length === 0) return "new";
  if (names.every((name) => beforeRecord.includes(name))) return "resume";
  const before = names.includes(recordFile) ? await readRecord(folder, terminal) : undefined;
  if (before === undefined) {
    const isRun = await checkOutputDir(folder, "overwrite").then(
      () => true,
      () => false,
    );
    throw foreign(folder, names, isRun);
  }
  const isLonger = record.added !== undefined && before.finished;
  const { epochs } = record.settings;
  const expected = isLonger ? { ...before, settings: { ...before.settings, epochs } } : before;
  const differences = compare(expected, record);
  if (differences.length > 0) throw otherRun(folder, differences, await freeFolder(folder, terminal));
  if (before.finished && !isLonger) return "finished";
  return "resume";
}

/** SHA-256 of the files that the settings name, and of these. */
export async function digests(
  settings: Settings,
  terminal: Terminal,
  files: readonly string[] = [],
): Promise<Record<string, string>> {
  const names = ["data", "validation", "test"]
    .flatMap((key) => settings.list(key))
    .filter((name) => name !== NO_VALIDATION);
  const paths = (await listDataFiles(names, { progress: showHub(terminal) })).filter((path) => path !== "-"); // which is read once
  const entries = [...paths, ...files].map(async (path) => [path, await terminal.digest(path)] as const);
  return Object.fromEntries(await Promise.all(entries));
}

function compare(before: RunRecord, now: RunRecord): string[] {
  const keys = new Set([...Object.keys(before.settings), ...Object.keys(now.settings)]);
  const show = (value: unknown): string => (value === undefined ? "not given" : JSON.stringify(value));
  const options = [...keys].flatMap((key) => {
    const [old, wanted] = [show(before.settings[key]), show(now.settings[key])];
    return old === wanted ? [] : [`${flagOf({ key, kind: "text" })} was ${old} and is ${wanted}`];
  });
  const files = Object.entries(now.files).flatMap(([path, digest]) =>
    before.files[path] === undefined || before.files[path] === digest ? [] : [`"${path}" has changed`],
  );
  return [...options, ...files];
}

function foreign(folder: string, names: readonly string[], isRun: boolean): PeftError {
  const some = names.slice(0, 5).join(", ") + (names.length > 5 ? ", ..." : "");
  return new PeftError("output", {
    what: `The output folder "${folder}" is not empty.`,
    why: `it holds ${some}, which no run of \`peft train\` put there (it has no ${recordFile} that can be read).`,
    fix: `choose another folder with --output${isRun ? ", or add --overwrite to start anew" : ""}.`,
  });
}

/** A folder beside this one that is free: out-2. */
async function freeFolder(folder: string, terminal: Terminal): Promise<string> {
  for (let i = 2; ; i++) {
    const name = `${folder.replace(/[/\\]+$/, "")}-${i}`;
    if ((await terminal.list(name)).length === 0) return name;
  }
}

function otherRun(folder: string, differences: readonly string[], free: string): PeftError {
  return new PeftError("output", {
    what: `The output folder "${folder}" holds a run with other options.`,
    why: `${differences.slice(0, 4).join("; ")}${differences.length > 4 ? `; and ${differences.length - 4} more` : ""}.`,
    fix: words`choose another folder (${option("outputDir", free)}), or add ${option("overwrite", true)} to start anew.`,
  });
}

/** What is said of a run that is there already. */
export async function isFinished(folder: string, terminal: Terminal): Promise<PeftError> {
  const path = terminal.join(folder, "adapter_config.json");
  const task = JSON.parse(await terminal.readFile(path).catch(() => "{}"))["task_type"];
  return new PeftError("output", {
    what: `The output folder "${folder}" holds this very run, finished.`,
    why: "the same options and data would give the same adapter.",
    fix: words`use it (${waysToUse({ adapter: folder }, task)[0]}), train it for longer (${option("epochs", "+1")}), or add ${option("overwrite", true)} to train it again.`,
  });
}
