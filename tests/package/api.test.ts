import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

// docs/api is made of the docstrings of what src/index.ts exports: a new public name, a changed one, and one
// without a docstring show here.
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "peft-api-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function pages(of: string): Record<string, string> {
  return Object.fromEntries(readdirSync(of).map((name) => [name, readFileSync(join(of, name), "utf8")]));
}

test("docs/api says what the docstrings say: `npm run api` writes it", () => {
  const { status, stderr } = spawnSync(process.execPath, ["tools/api/reference.mjs", folder], {
    cwd: root,
    encoding: "utf8",
  });
  expect(status, stderr).toBe(0);
  const [made, kept] = [pages(folder), pages(join(root, "docs/api"))];
  expect(Object.keys(kept)).toEqual(Object.keys(made));
  for (const name of Object.keys(made))
    expect(kept[name] === made[name], `docs/api/${name} is stale`).toBe(true);
});
