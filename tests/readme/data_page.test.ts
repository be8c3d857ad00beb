import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { rowsFrom } from "../../src/index.js";

// Each sample of docs/data.md is read as the kind of rows that its section is about.
const page = readFileSync(new URL("../../docs/data.md", import.meta.url), "utf8");
const sections = page.split(/^### /m).flatMap((section): [string, string, string][] => {
  const kind = /^.*\(`(\w+)`\)/.exec(section)?.[1];
  const blocks = [...section.matchAll(/^```json\n([\s\S]*?)^```$/gm)].map(([, text = ""]) => text);
  const lines = blocks.flatMap((text) => text.trim().split("\n"));
  return kind === undefined ? [] : lines.map((line) => [kind, line.slice(0, 60), line]);
});

test.each(sections)("%s: %s", (kind, _, line) => {
  const given: Readonly<Record<string, unknown>> = JSON.parse(line);
  const [row] = rowsFrom([given], { warn: () => {} });
  expect(row?.kind).toBe(Array.isArray(given["prompt"]) ? "chat" : kind); // as the page says of lists of messages
});

test("every kind of rows has a sample", () => {
  const kinds = new Set(sections.map(([kind]) => kind));
  expect([...kinds]).toEqual(
    expect.arrayContaining(["chat", "question", "tokens", "prompt", "classify", "text"]),
  );
});
