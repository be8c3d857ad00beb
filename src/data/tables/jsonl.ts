import { PeftError } from "../../errors.js";
import { messageOf } from "../../narrow.js";
import { count, type Fault } from "../faults.js";
import type { RecordSource } from "../record_source.js";
import type { DataRecord, TableOptions } from "./table.js";
import { readLines } from "./text.js";
import { isObject, parseJson, show } from "./values.js";

/** One JSON object per line; blank lines are passed over. */
export async function readJsonl(file: string, options: TableOptions): Promise<RecordSource> {
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    let line = 0;
    for await (const text of readLines(file, options)) {
      line++;
      if (text.trim() !== "") yield parseLine(text, `${file} line ${line}`);
    }
  }
  const malformed = {
    what: (n: number): string => `${count(n, "malformed line")} in ${file}`,
    why: "a JSONL file holds one JSON object per line.",
    fix: "correct or remove these lines.",
  };
  return { from: file, isReplayable: true, malformed, records };
}

function parseLine(text: string, at: string): DataRecord | Fault {
  try {
    const values = parseJson(text, "the line");
    return isObject(values) ? { at, values } : { at, says: `${show(values)} is not an object` };
  } catch (error) {
    return { at, says: `not JSON (${error instanceof PeftError ? error.why : messageOf(error)})` };
  }
}
