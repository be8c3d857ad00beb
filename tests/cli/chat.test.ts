import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.js";
import { nodeTerminal } from "../../src/cli/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "peft-chat-"));
const at = (name: string): string => join(folder, name);
/** Its letters are the model's first 97 tokens. */
const template =
  "{% for m in messages %}[{{ m.role[0] }}]{{ m.content }};{% endfor %}{% if add_generation_prompt %}[a]{% endif %}";

interface Result {
  code: number;
  out: string;
  err: string;
}

async function peft(...args: readonly string[]): Promise<Result> {
  const said = { out: "", err: "" };
  const code = await main(args, {
    ...nodeTerminal(),
    print: (line) =>
      void (said.out += `${Array.isArray(line) ? line.map((p) => (typeof p === "string" ? p : `<<${p.marked}>>`)).join("") : line}\n`),
    write: (text) => void (said.out += text),
    note: (line) => void (said.err += `${line}\n`),
  });
  return { code, ...said };
}

beforeAll(() => {
  mkdirSync(at("model"));
  for (const name of ["config.json", "generation_config.json", "model.safetensors"])
    copyFileSync(`tests/kit/models/llama/${name}`, at(`model/${name}`));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    copyFileSync(`tests/kit/tokenizers/byte-bpe/${name}`, at(`model/${name}`));
  writeFileSync(at("model/chat_template.jinja"), template);
  const chat = {
    messages: [
      { role: "user", content: "Q" },
      { role: "assistant", content: "Z" },
    ],
  };
  writeFileSync(at("chats.jsonl"), `${JSON.stringify(chat)}\n`.repeat(2));
  writeFileSync(at("alpaca.jsonl"), '{"instruction":"Q","input":"","output":"Z","id":1}\n');
  writeFileSync(at("scores.csv"), "sentence1,sentence2,score\nA,B,3.8\nC,D,0.25\n");
  writeFileSync(at("marks.jsonl"), '{"text":"A","labels":[0,1,1]}\n{"text":"B","labels":[1,0,0]}\n');
  writeFileSync(at("latin.csv"), Buffer.from("text,label\nA,caf\xe9\nB,x\n", "latin1"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("prompts and completions on a model with a chat template", () => {
  const data = (...more: string[]): Promise<Result> =>
    peft("data", "--model", at("model"), "--data", at("alpaca.jsonl"), ...more);

  test("are learnt as chats, and the first lines say so", async () => {
    const { out, err } = await data();
    expect(err).toContain(`Not used: column "id" of ${at("alpaca.jsonl")}.`);
    expect(err).toContain(
      "learnt as chats, written by the model's own chat template; --raw joins them plainly",
    );
    expect(out).toContain("[u]Q;[a]<<Z;>>");
  });

  test("--raw joins them, and a template is taken to the letter", async () => {
    const raw = await data("--raw");
    expect(raw.err).toContain("learnt joined plainly: its chat template is not used");
    expect(raw.out).toContain("Q<<Z</s>>>");
    expect((await data("--template", "{instruction}:", "--target", "{output}")).out).toContain("Q:<<Z</s>>>");
  });
});

describe("an adapter is asked as it was taught", () => {
  const train = (file: string, output: string, ...more: string[]): Promise<Result> =>
    peft(
      "train",
      "--model",
      at("model"),
      "--data",
      at(file),
      "--output",
      at(output),
      "--max-steps",
      "1",
      "--samples",
      "0",
      "--r",
      "1",
      ...more,
    );
  const ask = (adapter: string, ...more: string[]): Promise<Result> =>
    peft("generate", "--adapter", at(adapter), "--prompt", "Q", "--jsonl", "--max-new-tokens", "2", ...more);
  const through = "Prompts go through the chat template; --raw takes them as they are.";

  test("through the template after chats, and without it where --raw says so", async () => {
    expect((await train("chats.jsonl", "chats")).code).toBe(0);
    const { kind, isChat } = JSON.parse(readFileSync(at("chats/run.json"), "utf8"));
    expect([kind, isChat]).toEqual(["chat", true]);
    const chat = await ask("chats");
    expect(chat.code).toBe(0);
    expect(chat.err).toContain(through);
    const raw = await ask("chats", "--raw");
    expect(raw.err).not.toContain(through);
    expect(raw.out).not.toBe(chat.out);
    expect((await ask("chats", "--chat")).out).toBe(chat.out);
  });

  test("as they are after plain prompts", async () => {
    expect((await train("alpaca.jsonl", "plain", "--raw", "--max-length", "50")).code).toBe(0);
    const { kind, isChat } = JSON.parse(readFileSync(at("plain/run.json"), "utf8"));
    expect([kind, isChat]).toEqual(["prompt", false]);
    expect((await ask("plain")).err).not.toContain(through);
  });
});

describe("peft data takes what peft train takes", () => {
  const show = (file: string, ...more: string[]): Promise<Result> =>
    peft("data", "--model", at("model"), "--task", "SEQ_CLS", "--data", at(file), ...more);

  test("numbers and several labels", async () => {
    expect((await show("scores.csv")).out).toMatch(/-> <<3.8>>[\s\S]*-> <<0.25>>/);
    expect((await show("marks.jsonl")).out).toMatch(/A.* -> <<1, 2>>/);
  });

  test("files in another encoding, where it is named", async () => {
    const refused = await show("latin.csv");
    expect(refused.code).toBe(1);
    expect(refused.err).toContain(`${at("latin.csv")} line 2: byte 0xE9`);
    expect(refused.err).toContain("--encoding latin1");
    expect((await show("latin.csv", "--encoding", "latin1")).out).toContain("<<café>>");
  });
});
