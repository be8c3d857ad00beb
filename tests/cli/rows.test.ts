import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Settings } from "../../src/cli/options.js";
import { readTrainingRows } from "../../src/cli/rows.js";
import { nodeTerminal, quieted, type Terminal, warn } from "../../src/cli/terminal.js";
import { inCode } from "../../src/words.js";

const folder = mkdtempSync(join(tmpdir(), "peft-rows-"));
afterAll(() => rmSync(folder, { recursive: true }));
const data = join(folder, "rows.jsonl");
writeFileSync(data, Array.from({ length: 4 }, (_, i) => `{"text":"t${i}","label":"${i % 2}"}\n`).join(""));

/** A terminal that finds files of this size. */
function terminalOf(bytes: number): { terminal: Terminal; said: string[] } {
  const said: string[] = [];
  const terminal = {
    ...nodeTerminal(),
    size: async () => bytes,
    note: (line: string) => void said.push(line),
  };
  return { terminal, said };
}

test("large files are streamed, which is said, unless it is turned off or rows are needed at once", async () => {
  const read = async (bytes: number, more: Record<string, unknown> = {}): Promise<[boolean, string[]]> => {
    const { terminal, said } = terminalOf(bytes);
    const given = new Map<string, unknown>(Object.entries({ data, ...more }));
    const { stream, train } = await readTrainingRows(new Settings(given, new Map(), inCode), terminal);
    expect(train.length).toBeGreaterThan(0);
    return [stream !== undefined, said];
  };
  expect(await read(5e9)).toEqual([
    true,
    [expect.stringContaining("The data are 5.0 GB: rows are read while")],
  ]);
  expect(await read(5e9, { streaming: false })).toEqual([false, []]);
  expect(await read(5e9, { validationSplit: 0.5 })).toEqual([false, []]);
  expect(await read(5e8)).toEqual([false, []]);
  expect(await read(5e8, { streaming: true })).toEqual([true, []]);
});

test("--quiet leaves warnings", () => {
  const { terminal, said } = terminalOf(0);
  const quiet = quieted(terminal);
  quiet.note("Downloading 3 files.");
  warn(quiet, "the head is new.");
  expect(said).toEqual(["warning: the head is new."]);
});
