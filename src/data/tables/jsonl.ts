import { PeftError } from "../../errors.js";
import { count, type Fault, refuse } from "../faults.js";
import { columnsOf, type DataRecord, type Table, type TableOptions } from "./table.js";
import { readLines } from "./text.js";
import { isRecord, parseJson, show } from "./values.js";

/** One JSON object per line; blank lines are passed over. Throws `data` with every malformed line. */
export async function readJsonl(file: string, options: TableOptions): Promise<Table> {
  const { limit = Infinity } = options;
  const records: DataRecord[] = [];
  const faults: Fault[] = [];
  let line = 0;
  for await (const text of readLines(file, options)) {
    line++;
    if (text.trim() === "") continue;
    if (records.length >= limit) break;
    const at = `${file} line ${line}`;
    const parsed = parseLine(text);
    if ("values" in parsed) records.push({ at, values: parsed.values });
    else faults.push({ at, says: parsed.says });
  }
  refuse(faults, {
    what: (n) => `${count(n, "malformed line")} in ${file}`,
    why: "a JSONL file holds one JSON object per line.",
    fix: "correct or remove these lines.",
  });
  return { columns: columnsOf(records), records };
}

function parseLine(text: string): { values: Record<string, unknown> } | { says: string } {
  try {
    const values = parseJson(text, "the line");
    return isRecord(values) ? { values } : { says: `${show(values)} is not an object` };
  } catch (error) {
    return { says: `not JSON (${error instanceof PeftError ? error.why : (error as Error).message})` };
  }
}
