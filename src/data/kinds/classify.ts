import { PeftError } from "../../errors.js";
import type { ProblemType } from "../batch.js";
import type { Fault } from "../faults.js";
import type { ClassifyRow } from "../row.js";
import { isScalar, print, show } from "../tables/values.js";
import { asText, type Entry, type Kind, type KindOptions, type LabelSlot, readEntries } from "./kind.js";
import { asId, isMissing, nameIds, namesOf } from "./labels.js";

/**
 * A text, or a pair of texts, with a class (name or id), several classes, or a number. What the labels are is
 * read off them: lists are several classes, fractions are numbers to be met (regression), all else is one
 * class.
 */
export const classify: Kind<ClassifyRow> = {
  kind: "classify",
  slots: {
    text: { names: ["text", "sentence", "sentence1", "premise", "question1", "review"] },
    pair: { names: ["text_pair", "sentence2", "hypothesis", "question2"], optional: true },
    label: { names: ["label", "labels", "category", "class", "score"] },
  },
  labels: { slot: "label", parts: (value) => [value], settle: settleClasses },
  convert(entries, faults, options) {
    const settled = settleClasses(
      entries.map((entry) => entry.values["label"]),
      options,
    );
    const { problemType, labels: labelNames = [] } = settled;
    const read = labelReader(settled, entries.length);
    return entries.flatMap((entry) => {
      const text = asText(entry, "text", faults);
      const pair = "pair" in entry.values ? asText(entry, "pair", faults) : undefined;
      const ids = read(entry, faults);
      if (text === undefined || ids === undefined) return [];
      const row = { kind: "classify" as const, at: entry.at, text, problemType, labels: ids, labelNames };
      return [pair === undefined ? row : { ...row, pair }];
    });
  },
};

/** What labels are, and the names of their classes: what is given, else read off the values. */
export function settleClasses(
  values: Parameters<LabelSlot["settle"]>[0],
  options: KindOptions,
): KindOptions & { problemType: ProblemType } {
  const problemType = options.problemType ?? problemOf(values);
  if (problemType === "regression") return { ...options, problemType, labels: [] };
  if (problemType === "single_label_classification")
    return { ...options, problemType, labels: namesOf(values, options.labels) };
  const lists = values.map(listOf);
  const marks = options.marks ?? areMarks(lists);
  const ids = (list: readonly unknown[] = []): string[] => list.map((_, i) => String(i));
  const labels = options.labels ?? (marks ? ids(lists[0]) : namesOf(lists.flat(), undefined));
  return { ...options, problemType, marks, labels };
}

/**
 * Rows of files with labels as `classify` has them; without labels they are there to be asked about.
 * @param make - a row, or undefined where its labels are: what is wrong with them is among the faults then
 */
export function readLabelled<R>(
  entries: readonly Entry[],
  faults: Fault[],
  options: KindOptions,
  make: (
    entry: Entry,
    labels: () => number[] | undefined,
    of: { readonly problemType: ProblemType; readonly labelNames: readonly string[] },
  ) => R | undefined,
): R[] {
  const isLabelled = entries.some((entry) => entry.values["label"] !== undefined);
  const values = isLabelled ? entries.map((entry) => entry.values["label"]) : [];
  const settled = settleClasses(values, options);
  const { problemType, labels: labelNames = [] } = settled;
  const read = labelReader(settled, entries.length);
  return readEntries(entries, faults, (entry) =>
    make(entry, () => (isLabelled ? read(entry, faults) : [-100]), { problemType, labelNames }),
  ).filter((row) => row !== undefined);
}

/** Reads the label of one row; what is wrong with it goes to the faults. */
type LabelReader = (entry: Entry, faults: Fault[]) => number[] | undefined;

/** Reads labels that are settled. Throws "data" where marks of so many rows would not fit into memory. */
export function labelReader(
  settled: KindOptions & { readonly problemType: ProblemType },
  rows = 1,
): LabelReader {
  const { problemType, labels: names = [] } = settled;
  if (problemType === "multi_label_classification" && rows * names.length > mostMarks)
    throw tooManyMarks(rows, names.length);
  return readers[problemType](names, settled);
}

const readers: {
  [P in ProblemType]: (names: readonly string[], options: KindOptions) => LabelReader;
} = {
  single_label_classification: (names) => {
    const read = nameIds(names);
    return (entry, faults) => {
      const id = read(entry.values["label"], entry.at, faults);
      return id === undefined ? undefined : [id];
    };
  },
  multi_label_classification: (names, { marks }) => {
    const read = nameIds(names);
    return (entry, faults) => (marks ? readMarks : readSet)(entry, names.length, read, faults);
  },
  regression: () => (entry, faults) => {
    const value = entry.values["label"];
    if (isNumber(value)) return [Number(value)];
    faults.push({ at: entry.at, says: `the label ${show(value)} is not a number` });
    return undefined;
  },
};

/** Each row has a number for each class. */
const mostMarks = 1e8;

function tooManyMarks(rows: number, classes: number): PeftError {
  return new PeftError("data", {
    what: `${rows} rows with marks for ${classes} classes.`,
    why: `a mark is a number in memory, and there are more than ${mostMarks} of them.`,
    fix: "use fewer classes, or read fewer rows at a time: limit.",
  });
}

function problemOf(labels: readonly unknown[]): ProblemType {
  const values = labels.filter((value) => !isMissing(value));
  if (values.some(Array.isArray)) return "multi_label_classification";
  const numbers = values.length > 0 && values.every(isNumber);
  return numbers && values.some((v) => !Number.isInteger(Number(v)))
    ? "regression"
    : "single_label_classification";
}

function isNumber(value: unknown): boolean {
  return isScalar(value) && print(value).trim() !== "" && Number.isFinite(Number(value));
}

function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return print(value)
    .split(/[,;|]/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/**
 * Whether all rows are as long as each other and hold nothing but 0 and 1: then they are a mark per class,
 * not ids.
 */
function areMarks(lists: readonly (readonly unknown[])[]): boolean {
  const width = lists[0]?.length ?? 0;
  const isMark = (v: unknown): boolean => asId(v) === 0 || asId(v) === 1;
  return width > 1 && lists.every((list) => list.length === width && list.every(isMark));
}

type ReadId = ReturnType<typeof nameIds>;

function readMarks(entry: Entry, width: number, _read: ReadId, faults: Fault[]): number[] | undefined {
  const marks = listOf(entry.values["label"]).map(Number);
  if (marks.length === width) return marks;
  faults.push({ at: entry.at, says: `${marks.length} marks for ${width} classes` });
  return undefined;
}

function readSet(entry: Entry, width: number, read: ReadId, faults: Fault[]): number[] | undefined {
  const marks = new Array<number>(width).fill(0);
  for (const item of listOf(entry.values["label"])) {
    const id = read(item, entry.at, faults);
    if (id === undefined) return undefined;
    marks[id] = 1;
  }
  return marks;
}
