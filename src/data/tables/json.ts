import { PeftError } from "../../errors.js";
import { messageOf } from "../../narrow.js";
import { option, words } from "../../words.js";
import { count, type Fault } from "../faults.js";
import type { RecordSource } from "../record_source.js";
import { funsdRecord, isFunsd } from "./funsd.js";
import type { DataRecord, TableOptions } from "./table.js";
import { readText } from "./text.js";
import { isObject, parseJson, show } from "./values.js";

/**
 * A list of objects, or an object that holds one under `split`, "data", "train", or as its only list; or a
 * form of FUNSD.
 */
export async function readJson(file: string, options: TableOptions): Promise<RecordSource> {
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    const text = await readText(file, options);
    if (text.trim() === "") return;
    const value = parse(text, file);
    if (isFunsd(value)) {
      const form = await funsdRecord(value, file, options);
      yield typeof form === "string" ? { at: file, says: form } : { at: file, values: form };
      return;
    }
    let row = 0;
    for (const item of findList(value, file, options.split))
      for (const values of flattenSquad(item)) {
        const at = `${file} row ${++row}`;
        yield isObject(values) ? { at, values } : { at, says: `${show(values)} is not an object` };
      }
  }
  const malformed = {
    what: (n: number): string => `${count(n, "malformed row")} in ${file}`,
    why: "each row of a JSON data set is an object with the columns as keys.",
    fix: "correct or remove these rows.",
  };
  return { from: file, isReplayable: true, malformed, records };
}

function parse(text: string, file: string): unknown {
  try {
    return parseJson(text, file);
  } catch (cause) {
    if (cause instanceof PeftError) throw cause;
    const message = messageOf(cause);
    const position = /position (\d+)/.exec(message)?.[1];
    const before = position === undefined ? text : text.slice(0, Number(position));
    throw new PeftError("data", {
      what: `${file} line ${before.split("\n").length}: not JSON (${message.replace(/\s+/g, " ")}).`,
      why: "a .json file is one JSON value.",
      fix: "correct the file, or name it .jsonl if it holds one JSON object per line.",
      cause,
    });
  }
}

function findList(value: unknown, file: string, split: string | undefined): unknown[] {
  if (Array.isArray(value)) return value;
  const lists = isObject(value) ? Object.entries(value).filter(([, v]) => Array.isArray(v)) : [];
  const names = lists.map(([name]) => name);
  const wanted = split ?? ["data", "train"].find((name) => names.includes(name)) ?? names[0];
  const found = lists.find(([name]) => name === wanted)?.[1];
  const isMeant = split !== undefined || names.length === 1 || wanted === "data" || wanted === "train";
  if (Array.isArray(found) && isMeant) return found;
  throw new PeftError("data", {
    what: `${file} holds no list of rows${split === undefined ? "" : ` named ${JSON.stringify(split)}`}.`,
    why:
      names.length === 0
        ? "it is neither a list nor an object with a list."
        : `its lists are ${names.join(", ")}.`,
    fix:
      names.length === 0
        ? 'write [{...}, ...] or {"data": [...]}.'
        : words`choose one: ${option("split", names[0])}.`,
  });
}

/** SQuAD's own nesting (articles, paragraphs, questions) as rows; anything else as it is. */
function flattenSquad(value: unknown): unknown[] {
  if (!isObject(value) || !Array.isArray(value["paragraphs"])) return [value];
  return value["paragraphs"].filter(isObject).flatMap((paragraph) => {
    const questions = Array.isArray(paragraph["qas"]) ? paragraph["qas"].filter(isObject) : [];
    return questions.map((question) => ({ ...question, context: paragraph["context"] }));
  });
}
