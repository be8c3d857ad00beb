import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nodeFiles } from "../hub/files.js";
import { filesOf, fits } from "./files.js";
import { loadDataset } from "./load.js";
import type { LoadDatasetOptions } from "./load_options.js";
import type { Row } from "./row.js";

const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
const quiet = { warn: () => {} };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "peft-files-"));
});
afterEach(() => rmSync(folder, { recursive: true }));
const write = (name: string, content: string | Uint8Array): string => {
  mkdirSync(join(folder, name, ".."), { recursive: true });
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const line = (text: string): string => `${JSON.stringify({ text, label: text[0] })}\n`;

/** Both ways of reading, which must agree. */
async function load(file: string | readonly string[], options: LoadDatasetOptions = {}): Promise<Row[]> {
  const rows = await loadDataset(file, { ...quiet, ...options });
  const stream = await loadDataset(file, { ...quiet, ...options, streaming: true });
  expect(await stream.toArray()).toEqual(rows);
  expect(await stream.count()).toBe(rows.length);
  return rows;
}
const failure = async (
  file: string | readonly string[],
  options: LoadDatasetOptions = {},
): Promise<string> => {
  const streamed = await loadDataset(file, { ...quiet, ...options, streaming: true }).then(
    (stream) => stream.toArray(),
    String,
  );
  expect(streamed).toMatch(/PeftError/);
  return loadDataset(file, { ...quiet, ...options }).then(JSON.stringify, String);
};

describe("Arrow", () => {
  it.each(["stream.arrow", "file.arrow"])("%s: the rows of the Parquet file", async (name) => {
    const at = { limit: 3, columns: { text: "text", label: "label" } };
    const plain = ({ at: _, ...row }: Row): object => row;
    const rows = await load(fixture(name), at);
    expect(rows.map(plain)).toEqual((await load(fixture("none.parquet"), at)).map(plain));
    expect(rows[1]).toMatchObject({
      at: `${fixture(name)} row 2`,
      labels: [0],
      labelNames: ["fine", "complaint"],
    });
    const tags = { columns: { words: "tokens", tags: "ner_tags" } };
    expect((await load(fixture(name), tags)).map(plain)).toEqual(
      (await load(fixture("none.parquet"), tags)).map(plain),
    );
  });

  it("dictionaries, numbers as Python prints them, structs, times", async () => {
    const words = { limit: 3 };
    expect(
      (await load(fixture("dictionary.arrow"), words)).map((row) => row.kind === "classify" && row.labels),
    ).toEqual([[0], [1], [0]]);
    const template = "{prompt} {completion} {scores} {turn} {when}";
    const rows = await load(fixture("numbers.arrow"), { template, target: "{prompt}" });
    expect(rows.map((row) => row.kind === "prompt" && row.prompt)).toEqual([
      '9223372036854775807 1.0 [1.0, 0.5] {"role": "user", "weight": 1.0} 1970-01-01 00:00:00',
      '7 2.5 [] {"role": "ai", "weight": 0.25} 1970-01-01 00:00:01',
    ]);
  });

  it("any number of it damaged: rows or our error, and never memory for what it claims", async () => {
    const sound = readFileSync(fixture("stream.arrow"));
    for (let at = 0; at + 4 <= sound.length; at += 12) {
      const bytes = Buffer.from(sound);
      bytes.writeInt32LE(0x3fff_ffff, at);
      const options = { format: "arrow", kind: "tokens", ...quiet } as const;
      const said = await loadDataset(write("damaged", bytes), options).then(() => "", String);
      expect(said, `byte ${at}`).toMatch(/^$|PeftError/);
    }
  });

  it("what is cut short, compressed inside, or no Arrow", async () => {
    const whole = readFileSync(fixture("stream.arrow"));
    expect(await failure(write("cut.arrow", whole.subarray(0, whole.length - 100)))).toMatch(
      /Arrow \(it is cut short\)/,
    );
    expect(await failure(write("text.arrow", '{"text": "a"}'))).toMatch(/cannot be read as Arrow/);
    expect(await failure(write("empty.arrow", ""))).toMatch(/holds no rows/);
    expect(await failure(fixture("compressed.arrow"))).toMatch(
      /cannot be read as Arrow.*compression="uncompressed"/s,
    );
    const huge = Buffer.from(whole);
    huge.writeInt32LE(2 ** 31 - 2, 4);
    expect(await failure(write("huge.arrow", huge))).toMatch(/cannot be read as Arrow/);
  });
});

describe("what is packed", () => {
  it.each(["lines.jsonl.gz", "lines.jsonl.zst"])("%s, made by pyarrow in two parts", async (name) => {
    const rows = await load(fixture(name));
    expect(rows).toHaveLength(2000);
    expect(rows[1999]).toMatchObject({ at: `${fixture(name)} line 2000`, text: "1999", labels: [1] });
    const cut = write(name, readFileSync(fixture(name)).subarray(0, -50));
    expect(await failure(cut)).toMatch(/cannot be unpacked.*(gzip|Zstandard).*cut short/s);
    const bad = readFileSync(fixture(name));
    for (let i = 200; i < 400; i++) bad[i] = 255 - bad[i]!;
    expect(await failure(write(`bad-${name}`, bad))).toMatch(/PeftError/);
  });

  it("CSV, TSV and JSON, and what is packed under a plain name", async () => {
    expect(await load(write("a.csv.gz", gzipSync("text,label\na,b\n")))).toHaveLength(1);
    expect(await load(write("a.tsv.gz", gzipSync("text\tlabel\na\tb\n")))).toHaveLength(1);
    expect(await load(write("a.json.gz", gzipSync('[{"text":"a","label":"b"}]')))).toHaveLength(1);
    expect(await load(write("a.jsonl", gzipSync(line("a"))))).toHaveLength(1);
  });

  it("a window of Zstandard larger than zstd's own limit", async () => {
    const frame = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0, 0xff, 1, 0, 0);
    expect(await failure(write("a.jsonl.zst", frame))).toMatch(
      /its window is \d+ bytes, more than 134217728/,
    );
  });
});

describe("folders and patterns", () => {
  beforeEach(() => {
    for (const [name, text] of [
      ["b", "1"],
      ["a", "2"],
      ["deep/c", "3"],
    ])
      write(`data/${name}.jsonl`, line(text!));
    write("data/state.json", "{}");
    write("data/.hidden.jsonl", "x");
    write("data/notes.txt", "x");
  });
  const texts = (rows: readonly Row[]): string[] =>
    rows.flatMap((row) => (row.kind === "classify" ? row.text : []));

  it("are read in the order of names", async () => {
    expect(texts(await load(join(folder, "data")))).toEqual(["2", "1"]);
    expect(texts(await load(join(folder, "data/*.jsonl")))).toEqual(["2", "1"]);
    expect(texts(await load(join(folder, "data/**/*.jsonl")))).toEqual(["2", "1", "3"]);
    expect(texts(await load(join(folder, "d*/?.jsonl")))).toEqual(["2", "1"]);
    expect(texts(await load([join(folder, "data/b.jsonl"), join(folder, "data/deep")]))).toEqual(["1", "3"]);
    expect(texts(await load(join(folder, "data"), { limit: 1 }))).toEqual(["2"]);
  });

  it("a name with a star in it is that file", async () => {
    const file = write("data/*.jsonl", line("4"));
    expect(await filesOf([file], nodeFiles)).toEqual([file]);
  });

  it("nothing there, several forms", async () => {
    expect(await failure(join(folder, "data/*.csv"))).toMatch(/No file matches .*lie .*a.jsonl/s);
    write("data/a.csv", "text,label\na,b\n");
    expect(await failure(join(folder, "data"))).toMatch(/data of several forms/);
    mkdirSync(join(folder, "none"));
    expect(await failure(join(folder, "none"))).toMatch(/holds no data/);
  });

  it("malformed lines of several files are said with their files", async () => {
    write("data/b.jsonl", `${line("1")}no\n`);
    expect(await failure(join(folder, "data"))).toMatch(/b.jsonl line 2: not JSON/);
  });
});

it("a pattern is matched in bounded time", () => {
  expect(fits("train-00001.jsonl", "train-*.json?")).toBe(true);
  expect(fits("train-00001.jsonl", "*0*1*.csv")).toBe(false);
  expect(fits("a".repeat(255), `${"*a".repeat(120)}*b`)).toBe(false);
});
