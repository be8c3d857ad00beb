import { PeftError } from "../../errors.js";
import type { ProblemType } from "../batch.js";
import type { Fault } from "../faults.js";
import type { ClassifyRow } from "../row.js";
import { isScalar, print, show } from "../tables/values.js";
import { asText, type Entry, type Kind, type KindOptions } from "./kind.js";
import { asId, isMissing, nameIds, namesOf } from "./labels.js";

/**
 * A text, or a pair of texts, with a class (name or id), several classes, or a number. What the labels are is read off them:
 * lists are several classes, fractions are numbers to be met (regression), all else is one class.
 */
export const classify: Kind<ClassifyRow> = {
  kind: "classify",
  slots: {
    text: { names: ["text", "sentence", "sentence1", "premise", "question1", "review"] },
    pair: { names: ["text_pair", "sentence2", "hypothesis", "question2"], optional: true },
    label: { names: ["label", "labels", "category", "class", "score"] },
  },
  convert(entries, faults, options) {
    const problemType = options.problemType ?? problemOf(entries);
    const { names, read } = readers[problemType](entries, options);
    return entries.flatMap((entry) => {
      const text = asText(entry, "text", faults);
      const pair = "pair" in entry.values ? asText(entry, "pair", faults) : undefined;
      const labels = read(entry, faults);
      if (text === undefined || labels === undefined) return [];
      const row = { kind: "classify" as const, at: entry.at, text, problemType, labels, labelNames: names };
      return [pair === undefined ? row : { ...row, pair }];
    });
  },
};

interface LabelReader {
  names: readonly string[];
  read(entry: Entry, faults: Fault[]): number[] | undefined;
}

const readers: { [P in ProblemType]: (entries: readonly Entry[], options: KindOptions) => LabelReader } = {
  single_label_classification: (entries, { labels }) => {
    const names = namesOf(
      entries.map((entry) => entry.values["label"]),
      labels,
    );
    const read = nameIds(names);
    return {
      names,
      read: (entry, faults) => {
        const id = read(entry.values["label"], entry.at, faults);
        return id === undefined ? undefined : [id];
      },
    };
  },
  multi_label_classification: (entries, { labels }) => {
    const lists = entries.map((entry) => listOf(entry.values["label"]));
    const hot = areHot(lists);
    const names = labels ?? (hot ? lists[0]!.map((_, i) => String(i)) : namesOf(lists.flat(), undefined));
    if (entries.length * names.length > mostMarks) throw tooManyMarks(entries.length, names.length);
    const read = nameIds(names);
    return { names, read: (entry, faults) => (hot ? readHot : readSet)(entry, names.length, read, faults) };
  },
  regression: () => ({
    names: [],
    read: (entry, faults) => {
      const value = entry.values["label"];
      if (isNumber(value)) return [Number(value)];
      faults.push({ at: entry.at, says: `the label ${show(value)} is not a number` });
      return undefined;
    },
  }),
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

function problemOf(entries: readonly Entry[]): ProblemType {
  const values = entries.map((entry) => entry.values["label"]).filter((value) => !isMissing(value));
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

/** Whether all rows are as long as each other and hold nothing but 0 and 1: then they are a mark per class, not ids. */
function areHot(lists: readonly (readonly unknown[])[]): boolean {
  const width = lists[0]?.length ?? 0;
  const isMark = (v: unknown): boolean => asId(v) === 0 || asId(v) === 1;
  return width > 1 && lists.every((list) => list.length === width && list.every(isMark));
}

type ReadId = ReturnType<typeof nameIds>;

function readHot(entry: Entry, width: number, _read: ReadId, faults: Fault[]): number[] | undefined {
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
