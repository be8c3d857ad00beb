import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { ErrorCode } from "../../src/index.js";

/** Total: a new code does not compile without a row here, and fails without its section. */
const codes: { readonly [K in ErrorCode]: true } = {
  "adapter-targets": true,
  "adapter-config": true,
  "adapter-mismatch": true,
  "adapter-name": true,
  "unknown-model": true,
  "unknown-method": true,
  "unknown-task": true,
  option: true,
  registered: true,
  batch: true,
  checkpoint: true,
  "file-format": true,
  hub: true,
  tokenizer: true,
  data: true,
  generation: true,
  training: true,
  engine: true,
  output: true,
  aborted: true,
  internal: true,
};

test("docs/troubleshooting.md has a section for every error code, and for nothing else but results", () => {
  const page = readFileSync(fileURLToPath(new URL("../../docs/troubleshooting.md", import.meta.url)), "utf8");
  const sections = [...page.matchAll(/^## (.*)\n+([^#]*)/gm)].map(([, name, text = ""]) => ({ name, text }));
  expect(sections.map(({ name }) => name).slice(1)).toEqual(Object.keys(codes));
  for (const { name, text } of sections) expect([name, text.length > 60]).toEqual([name, true]);
});
