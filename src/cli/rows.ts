import {
  formatBytes,
  isChat,
  type LoadDatasetOptions,
  labelNames,
  listDataFiles,
  loadDataset,
  PeftError,
  PROBLEM_TYPES,
  type Row,
  type RowStream,
  split,
  type TaskType,
  type Tokenizer,
  taskOf,
} from "../index.js";
import { option, words } from "../words.js";
import { inFlags } from "./flags.js";
import { showHub } from "./model.js";
import type { Option, OptionGroup, Settings } from "./options.js";
import { NO_VALIDATION, readRunSettings } from "./run_record.js";
import { type Terminal, warn } from "./terminal.js";

/** Where rows come from and what in them is learnt. */
export function dataGroup(...more: readonly Option[]): OptionGroup {
  const data: Option = {
    key: "data",
    kind: "text",
    value: "FILE",
    many: true,
    help: "JSONL, JSON, CSV, TSV, Parquet, Arrow (also .gz, .zst); a folder; a pattern in quotes; - for standard input; may be given more than once",
  };
  return { title: "Data", options: [data, ...more, ...rowOptions] };
}

export const encodingOption: Option = {
  key: "encoding",
  kind: "text",
  help: "of text files: windows-1252, utf-16, shift_jis, ...",
  otherwise: "utf-8",
};

const rowOptions: readonly Option[] = [
  { key: "template", kind: "text", help: 'the prompt, with columns in braces: "Tweet : {text} Label : "' },
  { key: "target", kind: "text", help: 'what is learnt after it: "{label}"' },
  { key: "text", kind: "text", value: "COLUMN", help: "the column of the text that is classified" },
  { key: "pair", kind: "text", value: "COLUMN", help: "the column of a second text" },
  { key: "label", kind: "text", value: "COLUMN", help: "the column of the class" },
  {
    key: "columns",
    kind: "map",
    value: "NAME=COLUMN,...",
    help: "any other columns by their usual names: prompt=question,completion=answer",
  },
  { key: "messages", kind: "text", value: "COLUMN", help: "the column of a chat's messages" },
  {
    key: "lossColumns",
    kind: "names",
    value: "COLUMN,...",
    help: "columns whose numbers a loss, or the adapter's method, reads of each row: task_ids",
  },
  {
    key: "labels",
    kind: "names",
    help: "names of the classes in the order of their ids",
    otherwise: "sorted",
  },
  {
    key: "kind",
    kind: "text",
    help: "what a row is",
    choices: [
      "prompt",
      "chat",
      "text",
      "classify",
      "tokens",
      "question",
      "preference",
      "judged",
      "picture",
      "speech",
      "sound",
    ],
    otherwise: "read off the columns",
  },
  {
    key: "problemType",
    kind: "text",
    help: "what the labels are",
    choices: PROBLEM_TYPES,
    otherwise: "read off the labels",
  },
  {
    key: "raw",
    kind: "flag",
    help: "join prompt and completion plainly, where the model's chat template would write them",
  },
  {
    key: "language",
    kind: "text",
    value: "LANGUAGE",
    help: "the language spoken in clips: hi, hindi",
    otherwise: "a column language or locale",
  },
  {
    key: "speechTask",
    kind: "text",
    help: "what stands beside clips: what is said, or a translation of it to English",
    choices: ["transcribe", "translate"],
    otherwise: "transcribe",
  },
  { key: "skipBad", kind: "flag", help: "leave out pictures and clips that cannot be read, and count them" },
  encodingOption,
  {
    key: "format",
    kind: "text",
    help: "the form of the files",
    choices: ["jsonl", "json", "csv", "parquet", "arrow", "hocr"],
    otherwise: "by their extension",
  },
  {
    key: "split",
    kind: "text",
    value: "NAME",
    help: "which list of a JSON file that holds several",
    otherwise: "data or train",
  },
  { key: "limit", kind: "whole", help: "read no more than so many rows of a file", otherwise: "all" },
];

export const rowKeys: readonly string[] = rowOptions.map((option) => option.key);

/** What a column means: an adapter that learnt from rows of one form is asked in that form. */
const formKeys = [
  "template",
  "target",
  "text",
  "pair",
  "label",
  "columns",
  "messages",
  "lossColumns",
  "kind",
  "problemType",
  "raw",
  "language",
  "speechTask",
];

/** The settings, with the form of the rows that the adapter's run read, where none is given. */
export async function asTrained(settings: Settings, terminal: Terminal): Promise<Settings> {
  const adapter = settings.text("adapter");
  if (adapter === undefined || formKeys.some((key) => settings.isGiven(key))) return settings;
  const run = await readRunSettings(adapter, terminal);
  const form = formKeys.filter((key) => run[key] !== undefined);
  if (form.length === 0) return settings;
  const said = form.map((key) => option(key, run[key]).shown(inFlags(rowOptions)));
  terminal.note(`Rows are read as in training: ${said.join(" ")}.`);
  return settings.over(Object.fromEntries(form.map((key) => [key, run[key]])));
}

/** Which form of prompt and completion is learnt, where there are two; a chat has one. */
export function formLine(rows: readonly Row[], task: TaskType, tokenizer: Tokenizer): string | undefined {
  const [first] = rows;
  if (!taskOf(task).accepts.includes("chat") || first?.kind !== "prompt") return undefined;
  if (isChat(first, tokenizer))
    return "Prompts and completions are learnt as chats, written by the model's own chat template; --raw joins them plainly.";
  const why =
    tokenizer.chatTemplate === undefined
      ? "this model has no chat template"
      : "its chat template is not used";
  return `Prompts and completions are learnt joined plainly: ${why}.`;
}

/** Rows of a file as the settings describe them. */
export function readRows(
  settings: Settings,
  files: readonly string[],
  terminal: Terminal,
  labels?: readonly string[],
): Promise<Row[]> {
  return loadDataset(files, loadOptions(settings, terminal, labels));
}

function loadOptions(settings: Settings, terminal: Terminal, labels?: readonly string[]): LoadDatasetOptions {
  const named = settings.pick(["text", "pair", "label", "messages"]);
  const mapped = { ...Object(settings.get("columns")), ...named };
  const columns = Object.fromEntries(Object.entries(mapped).map(([name, column]) => [name, String(column)]));
  const task = settings.text("task");
  const options = settings.pick([
    "template",
    "target",
    "kind",
    "problemType",
    "format",
    "split",
    "limit",
    "labels",
    "lossColumns",
    "raw",
    "encoding",
    "language",
    "speechTask",
    "skipBad",
  ]);
  return {
    ...options,
    warn: (message) => warn(terminal, message),
    hub: { progress: showHub(terminal) },
    ...(Object.keys(columns).length === 0 ? {} : { columns }),
    ...(task === undefined ? {} : { taskType: task }),
    ...(labels === undefined || labels.length === 0 ? {} : { labels }),
  };
}

export interface TrainingRows {
  /** Of a stream the first ones, which tell what the others are. */
  readonly train: readonly Row[];
  readonly stream?: RowStream;
  readonly validation: readonly Row[] | undefined;
  readonly test: readonly Row[] | undefined;
}

/** Files that together are larger than this are streamed: rows in memory take several times their bytes. */
const LARGE = 1e9;

/** As it is said; else by the files' size, where nothing else needs all rows at once. */
async function isStreamed(
  settings: Settings,
  names: readonly string[],
  terminal: Terminal,
): Promise<boolean> {
  if (settings.isGiven("streaming")) return settings.flag("streaming");
  if (["validationSplit", "limit", "format"].some((key) => settings.isGiven(key))) return false;
  const files = await listDataFiles(names, { progress: showHub(terminal) });
  if (!files.every((file) => /\.(jsonl|ndjson|parquet|arrows?|feather|ipc)(\.gz|\.zst)?$/i.test(file)))
    return false;
  const sizes = await Promise.all(files.map((file) => terminal.size(file)));
  const bytes = sizes.reduce((a, b) => a + b, 0);
  if (bytes <= LARGE) return false;
  terminal.note(
    `The data are ${formatBytes(bytes)}: rows are read while training, and none is kept to evaluate on but --validation FILE. --no-streaming reads them first.`,
  );
  return true;
}

/** The rows of a run; all splits have the classes of the training rows. */
export async function readTrainingRows(settings: Settings, terminal: Terminal): Promise<TrainingRows> {
  const files = dataFiles(settings);
  const streamed = (await isStreamed(settings, files, terminal))
    ? await loadDataset(files, { ...loadOptions(settings, terminal), streaming: true })
    : undefined;
  const all =
    streamed === undefined ? await readRows(settings, files, terminal) : (await streamed.open()).first;
  const names = labelNames(all);
  const read = async (key: string): Promise<Row[] | undefined> => {
    const file = settings.text(key);
    return file === undefined || file === NO_VALIDATION
      ? undefined
      : readRows(settings, [file], terminal, names);
  };
  const [validation, test] = [await read("validation"), await read("test")];
  const part = settings.number("validationSplit");
  if (part === undefined)
    return { train: all, validation, test, ...(streamed === undefined ? {} : { stream: streamed }) };
  if (streamed !== undefined)
    throw new PeftError("option", {
      what: words`${option("validationSplit")} and ${option("streaming")} are both given.`,
      why: "rows that are streamed are not all known, so no part of them can be drawn.",
      fix: words`name a file of its own: ${option("validation", "valid.jsonl")}.`,
    });
  if (validation !== undefined)
    throw new PeftError("option", {
      what: words`${option("validation")} and ${option("validationSplit")} are both given.`,
      why: "the first names a file for validation, the second takes rows away from training.",
      fix: "leave one of them out.",
    });
  return { ...split(all, { validation: part, seed: settings.number("seed") ?? 0 }), test };
}

/** Throws "option" where no file is named. */
export function dataFiles(settings: Settings): readonly string[] {
  const files = settings.list("data");
  if (files.length > 0) return files;
  throw new PeftError("option", {
    what: "No data are given.",
    why: "there must be rows to work on.",
    fix: "add --data FILE (JSONL, JSON, CSV, Parquet or Arrow).",
  });
}
