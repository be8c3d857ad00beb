import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { PeftError } from "../errors.js";
import { loadDataset } from "./load.js";
import type { LoadDatasetOptions } from "./load_options.js";

const folder = mkdtempSync(join(tmpdir(), "peft-hints-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function fixOf(text: string, options: LoadDatasetOptions = {}): Promise<string> {
  const path = join(folder, "rows.csv");
  writeFileSync(path, text);
  const error = await loadDataset(path, options).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(PeftError);
  return (error as PeftError).fix;
}

const tickets = "id,ticket,team\n1,My parcel is lost,post\n2,I was billed twice,money\n3,Where is it,post\n";

it("names the text and the class that the columns seem to hold", async () => {
  expect(await fixOf(tickets)).toContain('columns: { text: "ticket", label: "team" }');
});

it("keeps the column that was named", async () => {
  const fix = await fixOf(tickets, { columns: { label: "team" } });
  expect(fix).toBe('name all of them: columns: { label: "team", text: "ticket" }.');
});

it("shows a prompt and its answer too", async () => {
  expect(await fixOf("frage,antwort\nWo?,Hier\nWann?,Jetzt\n")).toContain(
    'template: "{frage}" target: "{antwort}"',
  );
});
