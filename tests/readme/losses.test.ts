import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, expect, test } from "vitest";

// docs/losses.md, word for word: only the model's name is replaced by a small one's, and the package's by its
// source.
const root = fileURLToPath(new URL("../..", import.meta.url));
const page = readFileSync(join(root, "docs/losses.md"), "utf8");
const folder = mkdtempSync(join(tmpdir(), "peft-losses-"));
const at = (name: string): string => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  expect(status, stdout + stderr).toBe(0);
  return stdout;
}

const code = [...page.matchAll(/^```ts\n([\s\S]*?)^```$/gm)]
  .map(([, text]) => text)
  .join("\n")
  .replaceAll('"google/flan-t5-base"', JSON.stringify(join(root, "tests/kit/models/t5-text")));

test("the page's code type-checks as strictly as ours", () => {
  const options = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8")).compilerOptions;
  const typeRoots = [join(root, "node_modules/@types")];
  const paths = { "peft.js": [join(root, "src/index.ts")] };
  writeFileSync(at("package.json"), '{ "type": "module" }');
  writeFileSync(
    at("tsconfig.json"),
    JSON.stringify({ compilerOptions: { ...options, typeRoots, paths }, files: ["page.ts"] }),
  );
  writeFileSync(at("page.ts"), code);
  run([join(root, "node_modules/typescript/bin/tsc"), "-p", "."]);
});

test("and runs", () => {
  writeFileSync(at("tweets.csv"), "Tweet text,Label\nmessage one,complaint\nmessage two,no complaint\n");
  writeFileSync(
    at("page.mts"),
    code.replaceAll('"peft.js"', JSON.stringify(pathToFileURL(join(root, "src/index.ts")).href)),
  );
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  expect(run(["--import", tsx, "page.mts"])).toMatch(/^\d+\.\d+$/m);
});
