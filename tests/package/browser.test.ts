import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createContext, runInContext } from "node:vm";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as node from "../../src/platform.js";
import * as browser from "../../src/platform_browser.js";
import { type Fetched, useAll } from "./browser_entry.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(join(root, "tests", path), "utf8");
const fetched: Fetched = {
  "config.json": read("kit/models/llama/config.json"),
  "tokenizer.json": read("kit/tokenizers/byte-bpe/tokenizer.json"),
  "tokenizer_config.json": read("kit/tokenizers/byte-bpe/tokenizer_config.json"),
  "chat_template.jinja":
    "{% for m in messages %}<{{ m.role | upper }}>{{ m.content }}</{{ m.role }}>{% endfor %}",
  "rows.csv": 'text,label\n"late, again",complaint\nthank you,praise\n',
};

/** What browsers and Node both have; all else a script gets from the language. */
const WEB = { TextDecoder, TextEncoder, URL, crypto, structuredClone, setTimeout, console };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "peft-browser-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The package as it is compiled, with its field "browser", and an entry that finds it where src/ is. */
async function bundle(entry: string): Promise<string> {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const built = join(folder, "dist");
  execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", built]);
  for (const file of ["package.json", entry, "tests/golden/hashed_model.ts"]) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    cpSync(join(root, file), join(folder, file));
  }
  symlinkSync(built, join(folder, "src"), "junction");
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"), "junction");
  const { outputFiles } = await build({
    entryPoints: [join(folder, entry)],
    bundle: true,
    platform: "browser",
    format: "iife",
    globalName: "peft",
    // loaded when the Hub is asked, or a picture or a clip is decoded
    external: ["@huggingface/hub", "sharp", "audio-decode"],
    logLevel: "silent",
    write: false,
  });
  return outputFiles[0]!.text;
}

test("what stands below the engine runs without Node, and comes to the same", async () => {
  const code = await bundle("tests/package/browser_entry.ts");
  expect(code).not.toMatch(/"node:|onnxruntime/);
  const context = createContext({ ...WEB, fetched: JSON.stringify(fetched) });
  runInContext(code, context);
  const text = await runInContext("peft.useAll(JSON.parse(fetched)).then((x) => JSON.stringify(x))", context);
  const { noFiles, ...inBrowser } = JSON.parse(text);
  const { noFiles: _, ...inNode } = JSON.parse(JSON.stringify(await useAll(fetched)));
  expect(inBrowser).toEqual(inNode);
  expect(inBrowser).toMatchObject({
    all: 24_736,
    trained: 896,
    chat: "<USER>late again</user>",
  });
  expect(noFiles).toMatch(/\[file-format\] .* there is no file system in a browser/);
});

test("a browser's platform gives what Node's does", () => {
  const same: typeof node = browser;
  expect(same.runFor(1, () => 7)).toEqual({ value: 7 });
});
