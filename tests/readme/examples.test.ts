import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, describe, expect, test } from "vitest";

// examples/, word for word, on small models; only the package's name is replaced by its source.
// http_service.mts runs in tests/package/first_hour.test.ts, as npm installs the package;
// streaming_service.mts below.
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "peft-examples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const names = readdirSync(join(root, "examples")).filter((name) => name.endsWith(".mts"));
/** BERT of the kit with a word for each of the example's. */
const bert = join(folder, "bert");
cpSync(join(root, "tests/kit/models/bert-token_cls"), bert, { recursive: true });
const vocabulary = "[PAD] [UNK] [CLS] [SEP] [MASK] ann lee lives in rome write to bob oslo";
writeFileSync(join(bert, "vocab.txt"), vocabulary.replaceAll(" ", "\n"));
writeFileSync(join(bert, "tokenizer_config.json"), '{ "tokenizer_class": "BertTokenizer" }');
const kit = (model: string): string => join(root, "tests/kit/models", model);
/** An embedder: the same words, mean of tokens. */
const embedder = join(folder, "embedder");
cpSync(kit("bert-feature_extraction"), embedder, { recursive: true });
for (const name of ["vocab.txt", "tokenizer_config.json"]) cpSync(join(bert, name), join(embedder, name));
/** Llama of the kit with bytes as tokens and a chat template. */
const chat = join(folder, "chat");
cpSync(kit("llama"), chat, { recursive: true });
cpSync(join(root, "tests/kit/tokenizers/byte-bpe"), chat, { recursive: true });
const turns = "{% for m in messages %}[{{ m.role[0] }}]{{ m.content[0] }};{% endfor %}[a]";
writeFileSync(join(chat, "chat_template.jinja"), turns);
writeFileSync(join(folder, "notes.md"), "ann lives in rome\n\nbob lives in oslo\n");

function run(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: "utf8" });
  expect(status, stdout + stderr).toBe(0);
  return stdout;
}

const read = (name: string): string => readFileSync(join(root, "examples", name), "utf8");

test("all of them type-check as strictly as ours, and run here or are named", () => {
  const { compilerOptions } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  const options = {
    ...{ ...compilerOptions, lib: ["es2023", "esnext.disposable"] },
    typeRoots: [join(root, "node_modules/@types")],
    paths: { "peft.js": [join(root, "src/index.ts")] },
  };
  for (const name of names) writeFileSync(join(folder, name), read(name));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: options, files: names }));
  run([join(root, "node_modules/typescript/bin/tsc"), "-p", "."]);
  expect(names).toEqual([...Object.keys(says), "http_service.mts", "streaming_service.mts"].sort());
});

/** What each says at its end. */
const says: Readonly<Record<string, readonly [args: readonly string[], said: RegExp]>> = {
  "entities.mts": [[bert, "2"], /^trained 2 steps\nloss \d/m],
  "many_customers.mts": [[kit("t5-text")], /^acme \[.*\]\nbolt \[.*\]\nmixed loss \d/m],
  "own_documents.mts": [[chat, embedder, "notes.md"], /^.*\n$/s],
  "search_embeddings.mts": [[embedder, "2"], /^Finished after 2 steps .*\n(-?\d\.\d{3} .*\n){4}$/],
  "structured_extraction.mts": [[kit("t5-text"), "2"], /^trained 2 steps\n(order|no JSON yet:)/m],
};

/** What runs an example. */
function words(name: string, args: readonly string[]): string[] {
  const source = JSON.stringify(pathToFileURL(join(root, "src/index.ts")).href);
  writeFileSync(join(folder, `run_${name}`), read(name).replaceAll('"peft.js"', source));
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  return ["--import", tsx, `run_${name}`, ...args];
}

test.each(Object.entries(says))("%s", (name, [args, said]) => {
  expect(run(words(name, args))).toMatch(said);
});

test("streaming_service.mts sends an answer in pieces, and says what is wrong with a request", async () => {
  const env = { ...process.env, PORT: "0" };
  const service = spawn(process.execPath, words("streaming_service.mts", [chat]), { cwd: folder, env });
  try {
    let said = "";
    const port = await new Promise<string>((resolve, reject) => {
      service.stdout.on("data", (chunk) => {
        said += chunk;
        const [, found] = /port: (\d+)/.exec(said) ?? [];
        if (found !== undefined) resolve(found);
      });
      service.stderr.on("data", (chunk) => (said += chunk));
      service.once("exit", () => reject(new Error(said)));
    });
    const ask = (body: string): Promise<Response> =>
      fetch(`http://localhost:${port}`, { method: "POST", body });
    const answer = await ask(JSON.stringify({ messages: [{ role: "user", content: "Hi" }] }));
    expect(answer.headers.get("content-type")).toBe("text/event-stream");
    const events = (await answer.text()).trimEnd().split("\n\n");
    expect(events.length).toBeGreaterThan(2);
    expect(events.at(-1)).toBe("data: [DONE]");
    expect(events[0]).toMatch(/^data: \{"text":".*"\}$/);
    expect((await ask("no JSON")).status).toBe(400);
  } finally {
    service.kill();
    await once(service, "exit");
  }
});

describe("docs/guide.md", () => {
  const page = readFileSync(join(root, "docs/guide.md"), "utf8");
  const lines = [...page.matchAll(/^npx (peft \w+.*)$/gm)].map(([, line = ""]) => line.replace(/ +#.*/, ""));

  test("its commands are these", () => {
    expect(lines.map((line) => line.split(/ +/)[1])).toEqual(["doctor", "data", "train", "eval"]);
    const row = (_: unknown, i: number): string =>
      i % 2 ? "write to ann,sales" : "bob lives in oslo,support";
    for (const name of ["tickets.csv", "test.csv"])
      writeFileSync(join(folder, name), `body,team\n${Array.from({ length: 20 }, row).join("\n")}\n`);
  });

  test.each(lines)("%s", (line) => {
    const small = line.includes("--adapter")
      ? line
      : line.replace(/--model \S+|(?<=peft data)/, ` --model ${bert}`);
    const words = (line.startsWith("peft doctor") ? line : small).split(/ +/).slice(1);
    expect(run([join(root, "bin/peft.js"), ...words]).length).toBeGreaterThan(0);
  });
});
