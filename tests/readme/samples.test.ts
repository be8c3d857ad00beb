import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

// The code in docs/*.md and in the @example of docstrings type-checks as strictly as ours. A page is one
// module, so that its later blocks know what its earlier ones declare; a block that begins with ```ts
// fragment is a part of something, and is left out. An example of a docstring is a module of its own. Names
// that all of them may use without making them stand in `common`.
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "peft-samples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const common = `import type { Batch, PeftModel, PreTrainedModel, Row, Tokenizer } from "peft.js";
declare global {
  const base: PreTrainedModel<"SEQ_2_SEQ_LM">;
  const model: PeftModel<"SEQ_2_SEQ_LM">;
  const tokenizer: Tokenizer;
  const rows: Row[];
  const batch: Batch<"SEQ_2_SEQ_LM">;
}
`;

const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** Every page of docs/ with code: all of its blocks, one after another. */
function pages(): [string, string][] {
  const names = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
  return names.flatMap((name): [string, string][] => {
    const blocks = [...read(`docs/${name}`).matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
    return blocks.length === 0 ? [] : [[name, blocks.join("\n")]];
  });
}

/** Every example of a docstring, by its file and place there. */
function examples(): [string, string][] {
  const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" });
  return files
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
    .flatMap((name) => {
      const comments = [...read(`src/${name}`).matchAll(/\/\*\*[\s\S]*?\*\//g)].map(([text]) => text);
      const found = comments.flatMap((text) =>
        [...text.replace(/^ *\* ?/gm, "").matchAll(/@example\n([\s\S]*?)(?=^@|\/$|(?![\s\S]))/gm)].map(
          ([, e]) => e!,
        ),
      );
      return found.map((text, i): [string, string] => [`${name.replaceAll("/", "-")}-${i}`, text]);
    });
}

test("samples and examples type-check", () => {
  const options = JSON.parse(read("tsconfig.json")).compilerOptions;
  const typeRoots = [join(root, "node_modules/@types")];
  const compilerOptions = {
    ...{ ...options, lib: ["es2023", "esnext.disposable"], typeRoots, noUnusedLocals: false },
    paths: { "peft.js": [join(root, "src/index.ts")] },
  };
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  writeFileSync(join(folder, "common.ts"), common);
  for (const [name, code] of pages()) writeFileSync(join(folder, `${name}.ts`), `${code}\nexport {};\n`);
  const found = examples();
  expect(found.length).toBeGreaterThan(20);
  for (const [name, text] of found) {
    const code = /^```ts\n([\s\S]*?)^```$/m.exec(text)?.[1];
    expect(code, `the example of ${name} stands in a block of \`\`\`ts`).toBeDefined();
    writeFileSync(join(folder, `${name}.ts`), `${code}\nexport {};\n`);
  }
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { stdout, status } = spawnSync(process.execPath, [tsc, "-p", "."], { cwd: folder, encoding: "utf8" });
  expect(stdout).toBe("");
  expect(status).toBe(0);
});
