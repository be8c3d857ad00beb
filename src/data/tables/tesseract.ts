import { count, type Fault } from "../faults.js";
import type { RecordSource } from "../record_source.js";
import type { DataRecord, TableOptions } from "./table.js";
import { readLines } from "./text.js";

/** The columns of Tesseract's TSV that are read. */
const NEEDED = ["level", "page_num", "left", "top", "width", "height", "text"] as const;

/** Whether the first lines of a file are those of Tesseract's TSV. */
export function isTesseract([header = ""]: readonly string[]): boolean {
  const columns = header.replace(/\r$/, "").split("\t");
  return NEEDED.every((name) => columns.includes(name));
}

const [PAGE, WORD] = ["1", "5"];

interface OpenPage {
  readonly number: string;
  readonly width: number;
  readonly height: number;
  readonly words: string[];
  readonly boxes: number[][];
}

/**
 * Pages of the TSV that Tesseract writes, whose fields know no quotes: a record a page with its words,
 * their boxes and the page's size.
 */
export async function readTesseract(file: string, options: TableOptions): Promise<RecordSource> {
  async function* records(): AsyncGenerator<DataRecord | Fault> {
    let [line, columns, page]: [number, readonly string[], OpenPage | undefined] = [0, [], undefined];
    const record = ({ number, ...values }: OpenPage): DataRecord => ({
      at: `${file} page ${number}`,
      values,
    });
    for await (const text of readLines(file, options)) {
      const fields = text.replace(/\r$/, "").split("\t");
      if (++line === 1) columns = fields;
      if (line === 1 || text.trim() === "") continue;
      const [level, number = "", left, top, width, height, word = ""] = NEEDED.map(
        (name) => fields[columns.indexOf(name)],
      );
      const [x, y, across, down] = [left, top, width, height].map(Number);
      if (x === undefined || y === undefined || across === undefined || down === undefined) continue;
      if (![x, y, across, down].every(Number.isFinite))
        yield { at: `${file} line ${line}`, says: `${[left, top, width, height].join(", ")} is no place` };
      else if (level === PAGE) {
        if (page !== undefined) yield record(page);
        page = { number, width: across, height: down, words: [], boxes: [] };
      } else if (level === WORD && word.trim() !== "") {
        page?.words.push(word.trim());
        page?.boxes.push([x, y, x + across, y + down]);
      }
    }
    if (page !== undefined) yield record(page);
  }
  const malformed = {
    what: (n: number): string => `${count(n, "malformed line")} in ${file}`,
    why: "each line of Tesseract's TSV says where something stands: left, top, width, height.",
    fix: "write the file again: tesseract page.png page tsv.",
  };
  const columns = ["words", "boxes", "width", "height"];
  return { from: file, isReplayable: true, columns, malformed, records };
}
