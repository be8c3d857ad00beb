import { type Box, type PageSize, readBox } from "../boxes.js";
import type { Fault } from "../faults.js";
import type { DocumentRow } from "../row.js";
import { isObject, isScalar, print, show } from "../tables/values.js";
import { type Entry, type Kind, type LabelSlot, readEntries, refuseEntry } from "./kind.js";
import { nameIds, namesOf } from "./labels.js";
import { fromJson } from "./messages.js";
import { imageOf } from "./picture.js";

const labels: LabelSlot = {
  slot: "label",
  parts: (value) => [fromJson(value)].flat().filter((part) => part !== undefined && part !== null),
  settle: (values, options) => ({ ...options, labels: namesOf(values, options.labels) }),
};

/**
 * A page: its words, a box for each, and what is learnt of it: a label for each word (a list), a label for
 * the page, or a question with its answer, which stands among the words. Boxes are in thousandths of the
 * page, or in any unit where width and height say the page's size.
 */
export const document: Kind<DocumentRow> = {
  kind: "document",
  slots: {
    words: { names: ["words", "tokens"] },
    boxes: { names: ["bboxes", "boxes", "bbox", "bounding_boxes"] },
    label: {
      names: ["ner_tags", "tags", "word_labels", "labels", "label", "category", "class"],
      optional: true,
    },
    question: { names: ["question", "query"], optional: true },
    answer: { names: ["answers", "answer"], optional: true },
    width: { names: ["width", "page_width", "image_width"], optional: true },
    height: { names: ["height", "page_height", "image_height"], optional: true },
    image: { names: ["image", "image_path", "picture"], optional: true },
  },
  labels,
  convert(entries, faults, options) {
    const values = entries.flatMap((entry) => labels.parts(entry.values["label"]));
    const names = namesOf(values, options.labels);
    const read = nameIds(names);
    return readEntries(entries, faults, (entry) => {
      const page = readPage(entry);
      const { label, question } = entry.values;
      const row = { kind: "document" as const, at: entry.at, ...page, labelNames: names };
      const told = { ...row, ...readLabels(entry, label, page.words.length, read, faults) };
      if (question === undefined || question === null) return told;
      return { ...told, question: questionText(question), ...readAnswer(entry.values["answer"], page.words) };
    });
  },
};

type Page = Pick<DocumentRow, "words" | "boxes" | "image" | "page">;

/** The words of a page with their boxes. Words of nothing but white space are left out. */
function readPage(entry: Entry): Page {
  const { values } = entry;
  const [words, boxes] = [fromJson(values["words"]), fromJson(values["boxes"])];
  if (!Array.isArray(words)) return refuseEntry(`words is ${show(words)}, not a list`);
  if (!Array.isArray(boxes)) return refuseEntry(`the boxes are ${show(boxes)}, not a list`);
  if (words.length !== boxes.length) return refuseEntry(`${words.length} words, but ${boxes.length} boxes`);
  if (words.length === 0) return refuseEntry("the page has no words");
  const size = readSize(values);
  const texts = words.map((word) =>
    isScalar(word) ? print(word) : refuseEntry(`the word ${show(word)} is not text`),
  );
  const own = boxes.map((value, i): Box => {
    const box = readBox(value, size);
    return typeof box === "string" ? refuseEntry(`${box} (word ${i + 1}, ${show(texts[i])})`) : box;
  });
  const image = values["image"];
  return {
    ...{ words: texts, boxes: own },
    ...(size === undefined ? {} : { page: size }),
    ...(image === undefined || image === null || image === "" ? {} : { image: imageOf(entry) }),
  };
}

function readSize({ width, height }: Entry["values"]): PageSize | undefined {
  const isAbsent = (value: unknown): boolean => value === undefined || value === null || value === "";
  if (isAbsent(width) && isAbsent(height)) return undefined;
  const size = (value: unknown, name: string): number => {
    const number = isScalar(value) ? Number(value) : Number.NaN;
    return number > 0 && Number.isFinite(number)
      ? number
      : refuseEntry(`${name} is ${show(value)}, not the size of a page`);
  };
  return { width: size(width, "width"), height: size(height, "height") };
}

type ReadId = ReturnType<typeof nameIds>;

/** A list is a label for each word, anything else one for the page. */
function readLabels(
  { at }: Entry,
  given: unknown,
  words: number,
  read: ReadId,
  faults: Fault[],
): Pick<DocumentRow, "tags" | "label"> {
  const value = fromJson(given);
  if (value === undefined || value === null) return {};
  const found: Fault[] = [];
  const list = Array.isArray(value) ? value : [value];
  const ids = list.flatMap((one) => read(one, at, found) ?? []);
  if (found.length > 0) {
    faults.push(...found.slice(1));
    return refuseEntry(found[0]?.says ?? "");
  }
  if (!Array.isArray(value)) return ids[0] === undefined ? {} : { label: ids[0] };
  if (list.length !== words) return refuseEntry(`${words} words, but ${list.length} labels`);
  return { tags: ids };
}

/** A text, or in the form of DocVQA on the Hub texts by language. */
function questionText(value: unknown): string {
  const text = isObject(value) ? (value["en"] ?? Object.values(value)[0]) : value;
  return isScalar(text) ? print(text) : refuseEntry(`the question is ${show(value)}, not text`);
}

/** The words that are the first of the answers which occurs; there may be none where no answer is given. */
function readAnswer(value: unknown, words: readonly string[]): Pick<DocumentRow, "answer"> {
  const given = fromJson(value);
  const inside = isObject(given) ? (given["text"] ?? given["matched_text"]) : given;
  const texts = [inside].flat().filter((text) => text !== undefined && text !== null && text !== "");
  if (texts.length === 0) return {};
  for (const text of texts) {
    if (!isScalar(text)) return refuseEntry(`the answer is ${show(value)}, not text`);
    const answer = findAnswer(words, print(text));
    if (answer !== undefined) return { answer };
  }
  return refuseEntry(`the answer ${texts.map(show).join(" or ")} does not stand among the words`);
}

/** Whole words that make a text, white space and case apart. */
export function findAnswer(words: readonly string[], text: string): DocumentRow["answer"] {
  const plain = (part: string): string => part.toLowerCase().replace(/\s+/g, "");
  const [wanted, parts] = [plain(text), words.map(plain)];
  if (wanted === "") return undefined;
  for (const first of parts.keys()) {
    let whole = "";
    for (let last = first; last < parts.length && wanted.startsWith(whole); last++) {
      whole += parts[last];
      if (whole === wanted) return { first, last };
    }
  }
  return undefined;
}
