import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// README.md, word for word: only the model's name is replaced by a small one's, and the package's by its
// source.
const root = fileURLToPath(new URL("../..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const small = join(root, "tests/kit/models/t5-text");
const folder = mkdtempSync(join(tmpdir(), "peft-readme-"));
const at = (name: string): string => join(folder, name);
/** BERT of the kit with a few words. */
const bert = at("bert");
cpSync(join(root, "tests/kit/models/bert"), bert, { recursive: true });
const words = "[PAD] [UNK] [CLS] [SEP] [MASK] my parcel never came i was charged twice where is";
writeFileSync(join(bert, "vocab.txt"), words.replaceAll(" ", "\n"));
writeFileSync(join(bert, "tokenizer_config.json"), '{ "tokenizer_class": "BertTokenizer" }');

/** The code blocks of one language, one after another. */
function blocksOf(language: string): string {
  const blocks = [...readme.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)];
  return blocks.flatMap(([, found, text]) => (found === language ? [text] : [])).join("\n");
}

beforeAll(() => {
  const rows = Array.from({ length: 6 }, (_, i) => `"message ${i}, world",${i % 2 ? "" : "no "}complaint`);
  for (const name of ["tweets.csv", "test.csv"])
    writeFileSync(at(name), ["Tweet text,Label", ...rows].join("\n"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
  expect(status, stdout + stderr).toBe(0);
  return stdout;
}

describe("the code", () => {
  const source = pathToFileURL(join(root, "src/index.ts")).href;
  const code = blocksOf("ts")
    .replaceAll('"bigscience/mt0-large"', JSON.stringify(small))
    .replaceAll('"sentence-transformers/all-MiniLM-L6-v2"', JSON.stringify(bert));

  test("type-checks as strictly as ours", () => {
    const options = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8")).compilerOptions;
    const typeRoots = [join(root, "node_modules/@types")];
    const paths = { "peft.js": [join(root, "src/index.ts")] };
    const tsconfig = { compilerOptions: { ...options, typeRoots, paths }, files: ["readme.ts"] };
    writeFileSync(at("package.json"), '{ "type": "module" }');
    writeFileSync(at("tsconfig.json"), JSON.stringify(tsconfig));
    writeFileSync(at("readme.ts"), code);
    run(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "."]);
  });

  test("runs, and leaves what it says", () => {
    writeFileSync(at("readme.mts"), code.replaceAll('"peft.js"', JSON.stringify(source)));
    const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    const out = run(process.execPath, ["--import", tsx, "readme.mts"]);
    expect(out).toMatch(
      /^trainable params: 7168 \|\| all params: 76032 \|\| trainable%: 9\.427609427609427\n/m,
    );
    expect(out).toMatch(/^\[ \{ label: '(delivery|billing)', score: 0\.\d+ \} \]$/m); // of the classifier
    expect(out).toMatch(/^\[ '.*' \]$/m); // what it generated
    expect(out).toMatch(/^3 \d+\.\d+$/m); // steps and losses
    for (const name of ["adapter_config.json", "adapter_model.safetensors"])
      expect([name, existsSync(join(folder, "out", name))]).toEqual([name, true]);
    for (const name of ["adapter_config.json", "metrics.jsonl", "report.html", "checkpoints"])
      expect([name, existsSync(join(folder, "run", name))]).toEqual([name, true]);
  });
});

describe("the commands", () => {
  const lines = blocksOf("sh").match(/^npx peft \w+ .*--model.*$/gm)!;

  test("are these", () => {
    expect(lines.map((line) => line.split(/ +/)[2])).toEqual([
      "info",
      "data",
      "train",
      "generate",
      "eval",
      "merge",
    ]);
  });

  test.each(lines)("%s", (line) => {
    rmSync(at("run"), { recursive: true, force: true });
    if (line.includes("peft train")) rmSync(at("out"), { recursive: true, force: true });
    const words = line
      .replace(/ +#.*$/, "")
      .match(/"[^"]*"|[^ ]+/g)!
      .slice(2);
    const args = words.map((word) => word.replaceAll('"', "").replace("google/flan-t5-large", small));
    expect(run(process.execPath, [join(root, "bin/peft.js"), ...args]).length).toBeGreaterThan(0);
  });
});
