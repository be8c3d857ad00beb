import { loadDataset, PeftError, type TaskType } from "../index.js";
import type { Settings } from "./options.js";
import { readRunSettings } from "./run_record.js";
import type { Terminal } from "./terminal.js";

type Columns = Pick<
  Parameters<typeof loadDataset>[1] & object,
  "kind" | "columns" | "template" | "problemType"
>;
type Values = Readonly<Record<string, unknown>>;

const textNames = ["text", "sentence", "sentence1", "premise", "question1", "review", "prompt", "body"];

/** Rows need no labels: what is asked is read off the columns of training, of the flag, or of usual names. */
export async function columnsFor(settings: Settings, task: TaskType, terminal: Terminal): Promise<Columns> {
  if (task === "QUESTION_ANS") {
    const none = { text: [], answer_start: [] };
    return {
      kind: "question",
      columns: ({ question, context }: Values) => ({ question, context, answers: none }),
    };
  }
  if (task === "TOKEN_CLS" && (await havePages(settings))) return pages;
  const adapter = settings.text("adapter");
  const run = adapter === undefined ? {} : await readRunSettings(adapter, terminal);
  const [template, text, pair] = ["template", "text", "pair"].map((name) => textIn(run, name));
  const column = settings.text("column") ?? text;
  if (column === undefined && template !== undefined) return { kind: "text", template };
  if (column !== undefined && (task !== "SEQ_CLS" || pair === undefined))
    return { kind: "text", columns: { text: column } };
  const read = (row: Values): Values => {
    const names = Object.keys(row);
    const found =
      column ?? textNames.find((name) => names.includes(name)) ?? (names.length === 1 ? names[0] : undefined);
    if (found === undefined || !names.includes(found)) throw noColumn(column, names);
    const second =
      pair ?? ["text_pair", "sentence2", "hypothesis", "question2"].find((name) => names.includes(name));
    if (task !== "SEQ_CLS" || second === undefined) return { text: row[found] };
    return { text: row[found], pair: row[second], label: 0 };
  };
  // A pair of texts is a row of kind "classify", whose label is not read.
  return task === "SEQ_CLS"
    ? { kind: "classify", problemType: "regression", columns: (row: Values) => ({ label: 0, ...read(row) }) }
    : { kind: "text", columns: read };
}

const boxNames = ["bboxes", "boxes", "bbox", "bounding_boxes"];

/** Whether the first row has boxes beside its words. */
async function havePages(settings: Settings): Promise<boolean> {
  const names = new Set<string>();
  const look = (row: Values): Values => {
    for (const name of Object.keys(row)) names.add(name);
    return { text: "" };
  };
  const files = settings.list("data");
  if (files.includes("-")) return false;
  await loadDataset(files, { ...settings.pick(["format"]), kind: "text", columns: look, limit: 1 });
  return boxNames.some((name) => names.has(name));
}

/** A page without what it was labelled with. */
const pages: Columns = {
  kind: "document",
  columns: (row) => ({
    words: row["words"] ?? row["tokens"],
    boxes: boxNames.map((name) => row[name]).find((value) => value !== undefined),
    ...{ width: row["width"], height: row["height"] },
  }),
};

function textIn(record: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const value = record[name];
  return typeof value === "string" ? value : undefined;
}

function noColumn(column: string | undefined, names: readonly string[]): PeftError {
  return new PeftError("data", {
    what:
      column === undefined ? "It cannot be told which column is the text." : `Missing column "${column}".`,
    why: `the columns are ${names.join(", ")}.`,
    fix: `name it: --column ${names[0] ?? "COLUMN"}.`,
  });
}
