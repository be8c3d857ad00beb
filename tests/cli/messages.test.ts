import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.js";
import { Settings } from "../../src/cli/options.js";
import { withShipped } from "../../src/cli/shipped.js";
import { nodeTerminal } from "../../src/cli/terminal.js";
import { inCode } from "../../src/words.js";

const folder = mkdtempSync(join(tmpdir(), "peft-messages-"));
const rows = join(folder, "rows.csv");
beforeAll(() => writeFileSync(rows, "ask,answer\na,yes\nb,no\n"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ours = nodeTerminal();

/** What a command says beside its results. */
async function said(args: readonly string[]): Promise<string> {
  let text = "";
  await main(args, {
    ...ours,
    print: () => {},
    write: () => {},
    note: (line) => void (text += `${line}\n`),
  });
  return text;
}

const kit = (name: string): string[] => ["--model", `tests/kit/models/${name}`];
const info = (...flags: string[]): string[] => ["info", ...kit("t5-text"), ...flags];
const train = (...flags: string[]): string[] => [
  ...["train", ...kit("t5-text"), "--data", rows, "--template", "{ask}", "--target", "{answer}"],
  ...["--output", join(folder, "out"), "--overwrite", ...flags],
];

describe("the command line names flags, never options of the API", () => {
  test.each<[says: string, args: string[]]>([
    ['No layer matches --target-modules ["nope"]', info("--target-modules", "nope")],
    ["use --target-modules q", info("--target-modules", "qq")],
    ['["nope"] of --target-modules', info("--target-modules", "q,nope")],
    ["--exclude-modules, --layers-to-transform", info("--target-modules", "q", "--exclude-modules", "q")],
    ["leave them out of --target-modules", info("--method", "ia3", "--target-modules", "shared")],
    ["--trainable-token-indices names the ids 9999", info("--trainable-token-indices", "9999")],
    ["--token-dim is 7", info("--method", "prefix-tuning", "--token-dim", "7")],
    ["--num-layers is 1", info("--method", "prefix-tuning", "--num-layers", "1")],
    ['warning: --modules-to-save ["nope"] name', info("--modules-to-save", "nope")],
    ['warning: --rank-pattern ["nope"] match', info("--rank-pattern", "nope=3")],
    ["warning: --ensure-weight-tying has no effect", info("--ensure-weight-tying")],
    [
      "fix:   --target-modules input_layernorm",
      ["info", ...kit("llama"), "--method", "ln-tuning", "--target-modules", "nope"],
    ],
    ["No layer matches --target-modules", train("--target-modules", "nope")],
    ["warning: --rank-pattern", train("--rank-pattern", "nope=3", "--max-steps", "1")],
    [
      "--num-beams is 3",
      ["generate", ...kit("t5-text"), "--prompt", "a", "--num-return-sequences", "5", "--num-beams", "3"],
    ],
  ])("%s", async (says, args) => {
    const text = await said(args);
    expect(text).toContain(says);
    expect(text.match(/\b(?!peft)[a-z]+[A-Z]\w*/)?.[0]).toBe(undefined);
  });
});

describe("a file that is at fault is named, with the field", () => {
  const chat = JSON.stringify({
    messages: [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ],
  });
  const model = join(folder, "model");
  const adapter = join(folder, "adapter");
  const chats = join(folder, "chats.jsonl");
  const lists = join(folder, "lists.json");
  beforeAll(() => {
    writeFileSync(chats, `${chat}\n`);
    writeFileSync(lists, '{"dev": [{"text": "a"}], "eval": [{"text": "b"}]}');
    cpSync("tests/kit/cases/llama--lora", adapter, { recursive: true });
  });
  const config = { peft_type: "LORA", task_type: "SEQ_2_SEQ_LM", base_model_name_or_path: "google/t5" };
  const merge = ["merge", ...kit("llama"), "--adapter", adapter, "--output", join(folder, "merged")];
  const data = ["data", "--model", model, "--data", chats];
  const generate = ["generate", "--model", model, "--prompt", "hello", "--max-new-tokens", "1"];

  test.each<[file: string, text: string, args: string[], says: (string | RegExp)[]]>([
    [
      "adapter/adapter_config.json",
      JSON.stringify(config),
      merge,
      ["task_type is SEQ_2_SEQ_LM, and the base", "fix:   name its own base (google/t5): --model"],
    ],
    [
      "model/chat_template.jinja",
      "{% if x %}{% endfi %}",
      data,
      ["does not compile", "(line 1).", "why:   its Jinja is broken."],
    ],
    [
      "model/chat_template.jinja",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      data,
      ["does not come to an end"],
    ],
    [
      "model/tokenizer.json",
      '{"model":{"type":"BPE","vocab":{"a":1.5},"merges":[]}}',
      generate,
      ['id of "a" cannot be 1.5'],
    ],
    [
      "model/generation_config.json",
      '{"num_beams": 1000000}',
      generate,
      ['has "num_beams": 1000000.', "set --num-beams here"],
    ],
    [
      "model/generation_config.json",
      '{"decoder_start_token_id": 5000}',
      generate,
      ["would start with token 5000", '"decoder_start_token_id"', "--decoder-start-token-id"],
    ],
    [
      "lists.json",
      '{"dev": [{"text": "a"}], "eval": []}',
      ["data", ...kit("t5-text"), "--data", lists],
      ["holds no list of rows", "choose one: --split dev."],
    ],
  ])("%s: %s", async (file, text, args, says) => {
    rmSync(model, { recursive: true, force: true });
    cpSync("tests/kit/models/t5-text", model, { recursive: true });
    if (args === data) cpSync("tests/kit/models/llama/config.json", join(model, "config.json"));
    const path = join(folder, file);
    writeFileSync(path, text);
    const answer = await said(args);
    expect(answer.split("\n")[0]).toContain(path);
    for (const words of says) expect(answer).toContain(words);
    expect(answer).not.toMatch(/\.\.\n/);
  });
});

test("the shipped rows are parted as the user says, not as their recipe does", async () => {
  const terminal = { ...ours, note: () => {} };
  const shipped = (given: Record<string, unknown>): Promise<Settings> =>
    withShipped(new Settings(new Map(Object.entries(given)), new Map(), inCode), terminal);
  expect((await shipped({})).text("validation")).toMatch(/validation\.csv$/);
  const parted = await shipped({ validationSplit: 0.2 });
  expect([parted.get("validation"), parted.get("validationSplit")]).toEqual([undefined, 0.2]);
  expect((await shipped({ validation: "mine.csv" })).text("validation")).toBe("mine.csv");
});

test("prompts of a file are read as data are: UTF-8, or the encoding that is named", async () => {
  const file = join(folder, "prompts.txt");
  writeFileSync(file, Buffer.from("caf\xe9\n", "latin1"));
  const generate = ["generate", ...kit("t5-text"), "--prompts", file, "--max-new-tokens", "1"];
  const text = await said(generate);
  expect(text).toContain(`${file} line 1: byte 0xE9 after "caf"`);
  expect(text).toContain("--encoding latin1");
  expect(await said([...generate, "--encoding", "latin1"])).toBe("");
});

test("eval reads rows as what they were in training, where only their columns told it", async () => {
  const adapter = join(folder, "learnt");
  cpSync("tests/kit/cases/llama--lora", adapter, { recursive: true });
  const record = { settings: {}, files: {}, finished: true, kind: "prompt" };
  const evaluate = ["eval", ...kit("llama"), "--adapter", adapter, "--data", rows];
  writeFileSync(join(adapter, "run.json"), JSON.stringify(record));
  expect(await said(evaluate)).toContain("Rows are read as in training: --kind prompt.");
  writeFileSync(join(adapter, "run.json"), JSON.stringify({ ...record, settings: { kind: "text" } }));
  expect(await said(evaluate)).toContain("Rows are read as in training: --kind text.");
});
