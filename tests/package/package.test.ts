import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Packed, packed, run } from "../support/packed.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const model = join(root, "tests/kit/models/t5-text");

let made: Packed;
let folder: string;
let app: string;

beforeAll(() => {
  made = packed("package");
  ({ folder, app } = made);
});
afterAll(() => made.remove());

test("npx peft runs the compiled command line", () => {
  expect(run("npx", ["--offline", "peft", "--version"], app).trim()).toBe(manifest.version);
});

test("npx peft runs from source in a checkout", () => {
  expect(run("npx", ["--offline", "peft", "--version"], root).trim()).toBe(manifest.version);
});

test("the package holds what is needed and no tests", () => {
  const files = run("tar", ["-tzf", `peft.js-${manifest.version}.tgz`], folder).split("\n");
  const wanted = ["LICENSE", "bin/peft.js", "dist/index.js", "dist/index.d.ts", "dist/engine/worker.js"];
  expect(files).toEqual(expect.arrayContaining(wanted.map((file) => `package/${file}`)));
  expect(files.filter((file) => /\.test\.|\/(src|tests|tools|fixtures)\//.test(file))).toEqual([]);
});

test("an import gives the public names and prints nothing", () => {
  const code = 'import * as peft from "peft.js";\nconsole.log(JSON.stringify(Object.keys(peft)));\n';
  writeFileSync(join(app, "names.mjs"), code);
  const names = JSON.parse(run("node", ["names.mjs"], app));
  const wanted = ["AdamW", "AutoModelForSeq2SeqLM", "AutoTokenizer", "LoraConfig", "PeftError", "PeftModel"];
  expect(names).toEqual(expect.arrayContaining([...wanted, "batches", "getPeftModel", "loadDataset"]));
});

const generates = `
  import { readFileSync } from "node:fs";
  import { AutoModelForSeq2SeqLM, AutoTokenizer } from "peft.js";
  const folder = ${JSON.stringify(model)};
  const tokenizer = await AutoTokenizer.fromPretrained(folder);
  const model = await AutoModelForSeq2SeqLM.fromPretrained(folder);
  const { texts } = JSON.parse(readFileSync(folder + "/expect.json", "utf8"));
  const ids = await model.generate(tokenizer(texts, { padding: true }), { maxNewTokens: 8 });
  const decoded = tokenizer.batchDecode(ids, { skipSpecialTokens: true });
  console.log(JSON.stringify({ generated: ids, decoded }));
  await model.close();`;

test("text goes through the compiled engine's worker and comes out as Python has it", () => {
  writeFileSync(join(app, "app.js"), generates);
  const { generated, decoded } = JSON.parse(readFileSync(join(model, "expect.json"), "utf8"));
  expect(JSON.parse(run("node", ["app.js"], app))).toEqual({ generated, decoded });
});

/** Runs esbuild on app.js as docs/bundling.md says, and takes what it writes away from the app's packages. */
function bundle(to: string, ...more: string[]): string {
  const docs = readFileSync(join(root, "docs/bundling.md"), "utf8");
  const [, line = ""] = /^npx esbuild (.*)$/m.exec(docs) ?? [];
  const given = line.split(" ").filter((word) => !more.some((m) => m.split("=")[0] === word.split("=")[0]));
  const away = join(folder, to);
  if (!existsSync(join(away, "node_modules/onnxruntime-node"))) made.link("onnxruntime-node", away);
  run(join(root, "node_modules/.bin/esbuild"), [...given, "--log-level=error", ...more], app);
  return away;
}

test("a bundle runs without the package, by the line of docs/bundling.md", () => {
  writeFileSync(join(app, "app.js"), generates);
  const away = bundle("bundle", `--outdir=${join(folder, "bundle/out")}`);
  writeFileSync(join(away, "package.json"), '{ "type": "module" }');
  const { generated, decoded } = JSON.parse(readFileSync(join(model, "expect.json"), "utf8"));
  expect(JSON.parse(run("node", ["out/app.js"], away))).toEqual({ generated, decoded });
  rmSync(join(away, "out/worker.js"));
  expect(() => run("node", ["out/app.js"], away)).toThrow(
    /PeftError \[engine\].* worker is not at file:.*worker\.js.* fix: bundle peft\.js\/worker beside it/,
  );
});

test("a bundle of CommonJS runs too, once it knows where it is", () => {
  const main = generates.replace(
    /^\s*(?!import)\S[\s\S]*/m,
    (body) => `async function main() {${body}}\nmain();`,
  );
  writeFileSync(join(app, "app.js"), main);
  const out = `--outdir=${join(folder, "commonjs/out")}`;
  expect(() => run("node", ["out/app.js"], bundle("commonjs", out, "--format=cjs"))).toThrow(
    /PeftError \[engine\].* The engine has no worker/,
  );
  const docs = readFileSync(join(root, "docs/bundling.md"), "utf8");
  const [, define = "", banner = ""] = /--format=cjs (--define:\S+) "(--banner:[^"]+)"/.exec(docs) ?? [];
  const away = bundle("commonjs", out, "--format=cjs", define, banner);
  const { generated, decoded } = JSON.parse(readFileSync(join(model, "expect.json"), "utf8"));
  expect(JSON.parse(run("node", ["out/app.js"], away))).toEqual({ generated, decoded });
});

test("the packed types accept what is right and refuse what is wrong", () => {
  const code = `
    import type { Batch } from "peft.js";
    import { AdamW, AutoModelForSeq2SeqLM, getPeftModel, LoraConfig } from "peft.js";
    const base = await AutoModelForSeq2SeqLM.fromPretrained("some/model");
    const model = getPeftModel(base, new LoraConfig({ taskType: "SEQ_2_SEQ_LM", r: 8, loraAlpha: 32 }));
    // @ts-expect-error: an option that there is not
    new LoraConfig({ rr: 8 });
    // @ts-expect-error: a value of the wrong type
    new LoraConfig({ r: "8" });
    // @ts-expect-error: a task that there is not
    new LoraConfig({ taskType: "SEQ2SEQ" });
    declare const right: Batch<"SEQ_2_SEQ_LM">;
    declare const wrong: Batch<"SEQ_CLS">;
    const { loss }: { loss: number } = await model.forwardBackward(right);
    // @ts-expect-error: a batch of another task
    await model.forwardBackward(wrong);
    await new AdamW(model.trainableParameters(), { lr: 1e-3 }).step();
    console.log(loss);`;
  writeFileSync(join(app, "user.ts"), code);
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "es2023",
    module: "nodenext",
    types: ["node"],
  };
  writeFileSync(join(app, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["user.ts"] }));
  expect(run("node", [join(root, "node_modules/typescript/bin/tsc"), "-p", "."], app)).toBe("");
});
