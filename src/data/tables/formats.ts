import { PeftError } from "../../errors.js";
import { nodeFiles } from "../../hub/files.js";
import { keysOf } from "../../narrow.js";
import { nearest } from "../../nearest.js";
import { option, words } from "../../words.js";
import type { RecordSource } from "../record_source.js";
import { readArrow } from "./arrow.js";
import { INPUT, withoutPacking } from "./bytes.js";
import { readCsv } from "./csv.js";
import { readHocr } from "./hocr.js";
import { readJson } from "./json.js";
import { readJsonl } from "./jsonl.js";
import { isMediaFolder, mediaOf, readMediaFolder } from "./media_folder.js";
import { readParquet } from "./parquet.js";
import type { TableOptions } from "./table.js";

/** Opens a file. Its records are read when they are walked. Throws "data" where it is no such file. */
export type TableReader = (file: string, options: TableOptions) => Promise<RecordSource>;

/** Forms of files that rows are read from. */
export type DataFormat = "jsonl" | "json" | "csv" | "parquet" | "arrow" | "hocr";

export const formats: { readonly [F in DataFormat]: { extensions: readonly string[]; read: TableReader } } = {
  jsonl: { extensions: [".jsonl", ".ndjson"], read: readJsonl },
  json: { extensions: [".json"], read: readJson },
  csv: { extensions: [".csv", ".tsv"], read: readCsv },
  arrow: { extensions: [".arrow", ".arrows", ".feather", ".ipc"], read: readArrow },
  parquet: { extensions: [".parquet"], read: readParquet },
  hocr: { extensions: [".hocr"], read: readHocr },
};

function extensionOf(file: string): string {
  return /\.[^./\\]*$/.exec(withoutPacking(file.toLowerCase()))?.[0] ?? "";
}

/** The form that a name has by its extension. */
export function formatOf(file: string): DataFormat | undefined {
  const extension = extensionOf(file);
  const names = keysOf(formats);
  return names.find((name) => formats[name].extensions.includes(extension));
}

/** The reader of a file, by `format` or by its extension. Throws `data` on an extension that is not known. */
export function readerOf(file: string, format?: DataFormat): TableReader {
  if (isMediaFolder(file) || (format === undefined && mediaOf(file) !== undefined))
    return (folder) => readMediaFolder(folder, nodeFiles);
  if (format !== undefined && format in formats) return formats[format].read;
  if (file === INPUT && format === undefined) return formats.jsonl.read;
  const known = Object.values(formats).flatMap(({ extensions }) => extensions);
  const extension = extensionOf(file);
  const found = formatOf(file);
  if (found !== undefined && format === undefined) return formats[found].read;
  const close = nearest(extension, known);
  throw new PeftError("data", {
    what: format === undefined ? `${file} is of no known form.` : `Unknown format "${format}".`,
    why: `${extension === "" ? "it has no extension" : `its extension is ${extension}`}; known are ${known.join(", ")}.`,
    fix: words`${close ? `rename it to ${close}, or ` : ""}say its form: ${option("format", "jsonl")}.`,
  });
}
