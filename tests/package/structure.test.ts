import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const script = fileURLToPath(new URL("../../tools/check-structure.mjs", import.meta.url));

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "peft-structure-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Lays a small package out and returns what the check says of it. */
function check(files: Record<string, string>, dependencies: readonly string[] = []) {
  const manifest = { dependencies: Object.fromEntries(dependencies.map((name) => [name, "*"])) };
  const all = { "package.json": JSON.stringify(manifest), ...files };
  for (const [path, text] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, root], { encoding: "utf8" });
  return { status, stdout, faults: stderr.split("\n").filter((line) => line !== "") };
}

test("a good tree passes, and what comments and tests import does not count", () => {
  const { status, faults } = check(
    {
      "src/errors.ts": "export class PeftError extends Error {}\n",
      "src/graph/graph.ts": 'import { PeftError } from "../errors.js";\n// import x from "../peft/a.js";\n',
      "src/models/model.ts":
        'import type { Graph } from "../graph/graph.js";\nimport { a } from "./layers.js";\n',
      "src/models/layers.ts": '/* import { b } from "./model.js"; */\nexport const a = "// not a comment";\n',
      "src/models/model.test.ts": 'import * as fs from "node:fs";\nimport { x } from "../peft/peft.js";\n',
      "src/data/batch.ts": "export interface Batch {}\n",
      "src/peft/peft.ts":
        'import type { Batch } from "../data/batch.js";\nimport { a } from "../models/model.js";\n',
      "src/engine/sessions.ts": 'import * as ort from "onnxruntime-node";\n',
      "src/engine/weights/files.ts": 'import * as fs from "node:fs";\n',
      "src/index.ts": 'export { a } from "./peft/peft.js";\n',
      "src/cli/main.ts": 'import { a } from "../index.js";\nimport * as fs from "node:fs";\n',
    },
    ["onnxruntime-node"],
  );
  expect(faults).toEqual([]);
  expect(status).toBe(0);
});

test("imports point down only: statements over lines, re-exports, dynamic imports and types alike", () => {
  const { status, faults } = check({
    "src/graph/graph.ts": 'import {\n  a,\n  type B,\n} from "../models/model.js";\n',
    "src/models/model.ts": 'export const a = 1;\nexport type { C } from "../methods/method.js";\n',
    "src/methods/method.ts": 'import "../hub/files.js";\n',
    "src/hub/files.ts": 'const late = await import("../peft/peft.js");\n',
    "src/peft/peft.ts":
      'import { batches } from "../data/batch.js";\nimport { x } from "../models/layers.js";\n',
    "src/data/batch.ts": "export const batches = 1;\n",
    "src/models/layers.ts": "export const x = 1;\n",
    "src/index.ts": 'export { main } from "./cli/main.js";\n',
    "src/cli/main.ts": 'import { x } from "../hub/files.js";\n',
    "src/extra/new.ts": "export const x = 1;\n",
  });
  expect(status).toBe(1);
  expect(faults.filter((f) => !f.startsWith("import cycle"))).toEqual([
    "src/cli/main.ts: may not import hub/files.ts",
    'src/extra/new.ts: "extra" has no row in the table of imports (tools/check-structure.mjs)',
    "src/graph/graph.ts: may not import models/model.ts",
    "src/hub/files.ts: may not import peft/peft.ts",
    "src/index.ts: may not import cli/main.ts",
    "src/methods/method.ts: may not import hub/files.ts",
    "src/models/model.ts: may not import types of methods/method.ts",
    "src/peft/peft.ts: may not import data/batch.ts",
    "src/peft/peft.ts: may not import models/layers.ts",
  ]);
});

test("a folder has six floors at most: files that import one another, types aside", () => {
  const tower = (height: number): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: height }, (_, i) => [
        `src/graph/f${i}.ts`,
        i === 0 ? 'import type { X } from "./f1.js";\n' : `export * from "./f${i - 1}.js";\n`,
      ]),
    );
  const faultsOf = (height: number): string[] =>
    check(tower(height)).faults.filter((f) => !f.startsWith("import cycle"));
  expect(faultsOf(6)).toEqual([]);
  expect(faultsOf(7)).toEqual(["src/graph/: 7 floors, over 6; move what belongs elsewhere"]);
});

test("a definition is named by its folder and the generated index alone", () => {
  const llama =
    'import type { Architecture } from "./model.js";\nexport const llama: Architecture<C> = {};\n';
  const { faults } = check({
    "src/models/model.ts": "export interface Architecture<C> {}\n",
    "src/models/llama.ts": llama,
    "src/models/mistral.ts": 'import { llama } from "./llama.js";\n',
    "src/models/index.ts": 'import { llama } from "./llama.js";\n',
    "src/index.ts": 'export { llama } from "./models/llama.js";\n',
    "tools/count.ts": 'import { llama } from "../src/models/llama.js";\n',
    "tests/llama.test.ts": 'import { llama } from "../src/models/llama.js";\n',
  });
  expect(faults).toEqual([
    "src/index.ts: names models/llama.ts, which only the generated index of models/ may",
    "tools/count.ts: names models/llama.ts, which only the generated index of models/ may",
  ]);
});

test("node: modules and dependencies have one importer each", () => {
  const { faults } = check(
    {
      "src/graph/graph.ts": 'import * as path from "node:path";\nimport { parse } from "yaml/util";\n',
      "src/cli/main.ts":
        'import * as fs from "node:fs";\nimport { parse } from "yaml";\nimport leftPad from "left-pad";\n',
      "src/cli/files.ts":
        'import type { Stats } from "node:fs";\nconst chart = read("uplot/dist/uPlot.min.css");\n',
    },
    ["yaml", "uplot", "commander"],
  );
  expect(faults).toEqual([
    expect.stringMatching(/^src\/graph\/graph\.ts: may not import node: modules/),
    "cli/: one file may import node: modules, not cli/files.ts, cli/main.ts",
    'src/cli/main.ts: imports "left-pad", which is no dependency in package.json',
    "yaml: imported by cli/main.ts, graph/graph.ts; exactly one file should",
    "commander: imported by no file; exactly one file should",
  ]);
});

test("what Node alone gives stands in platform files", () => {
  const { faults } = check({
    "src/graph/graph.ts":
      '// process.env\nexport const text = "process.env";\nexport const at = x.process.id;\n',
    "src/graph/dims.ts": `export const id = \`\${process.pid}\`;\nexport const bytes = Buffer.alloc(1);\n`,
    "src/run/turns.ts": "setImmediate(() => require('fs'));\nexport const here = __dirname;\n",
    "src/platform.ts": "export const turn = () => setImmediate(f);\n",
    "src/cli/terminal.ts": 'import * as fs from "node:fs";\nexport const out = process.stdout;\n',
    "src/cli/main.ts": "export const args = process.argv;\n",
  });
  const gives = "platform.ts gives what Node gives";
  expect(faults).toEqual([
    `src/cli/main.ts: uses Node's process; ${gives}`,
    `src/graph/dims.ts: uses Node's process, Buffer; ${gives}`,
    `src/run/turns.ts: uses Node's setImmediate, require, __dirname; ${gives}`,
  ]);
});

test("no default export, no enum, no vague name, no endless file, no cycle", () => {
  const { faults } = check({
    "src/hub/utils.ts": 'export * from "./b.js";\n',
    "src/hub/b.ts": 'import type { C } from "./c.js";\nexport default 1;\n',
    "src/hub/c.ts": 'import { a } from "./utils.js";\nexport enum Colour {}\nconst text = "enum x";\n',
    "tools/golden/array_helpers.py": "x = 1\n",
    "bench/long.ts": "const x = 1;\n".repeat(801),
    "tests/longish.ts": "const x = 1;\n".repeat(401),
    "tests/fine.ts": "const x = 1;\n".repeat(400),
  });
  expect(faults).toEqual([
    "src/hub/b.ts: has a default export",
    "src/hub/c.ts: has an enum",
    "src/hub/utils.ts: a name that says nothing; name what it holds",
    "tools/golden/array_helpers.py: a name that says nothing; name what it holds",
    "tests/longish.ts: 401 lines, over 400, and its first lines give no reason",
    "bench/long.ts: 801 lines, over 800",
    "bench/long.ts: 801 lines, over 400, and its first lines give no reason",
    "import cycle: hub/b.ts -> hub/c.ts -> hub/utils.ts -> hub/b.ts",
  ]);
});

test("without a folder, this package is checked", () => {
  const { stdout } = spawnSync(process.execPath, [script], { encoding: "utf8" });
  expect(stdout).toMatch(/structure: \d{3,} files/);
});
