import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main } from "../../src/cli/main.js";
import { printClasses, printSamples } from "../../src/cli/samples.js";
import { type Line, lineText, nodeTerminal } from "../../src/cli/terminal.js";

const folder = mkdtempSync(join(tmpdir(), "peft-says-"));
const data = join(folder, "rows.csv");
beforeAll(() => {
  const rows = Array.from({ length: 200 }, (_, i) => `message ${i},${i % 2 === 0 ? "yes" : "no"}`);
  writeFileSync(data, ["message,label", ...rows].join("\n"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function peft(...args: readonly string[]): Promise<{ code: number; out: string; err: string }> {
  const said = { out: "", err: "" };
  const code = await main(args, {
    ...nodeTerminal(),
    print: (line) => void (said.out += `${lineText(line, (text) => text)}\n`),
    note: (line) => void (said.err += `${line}\n`),
  });
  return { code, ...said };
}

const output = join(folder, "out");
const train = ["train", "--model", "tests/kit/models/t5-text", "--data", data, "--output", output];
const prompts = ["--template", "{message} Label :", "--target", "{label}"];

test("train --dry-run says all up to the first step and writes nothing; --validation none learns all", async () => {
  const dry = await peft(...train, ...prompts, "--dry-run");
  expect(dry.code).toBe(0);
  expect(dry.out).toMatch(/rows +180 to learn, 20 to evaluate on, taken .* \(--validation none learns all\)/);
  expect(dry.out).toMatch(/method +LORA, rank 8 on q, v/);
  const json = await peft(...train, ...prompts, "--dry-run", "--json", "--validation", "none");
  expect(JSON.parse(json.out)).toMatchObject({ rows: 200, validationRows: 0, task: "SEQ_2_SEQ_LM" });
  expect(existsSync(output)).toBe(false);
});

test("train --adapter takes no options of a method, and needs data", async () => {
  const both = await peft(...train, "--adapter", "somewhere", "--r", "4");
  expect([both.code, both.err]).toEqual([1, expect.stringMatching(/--r and --adapter are both given/)]);
});

test("info --json is one line of JSON", async () => {
  const { out } = await peft("info", "--model", "tests/fixtures/configs/mt0-large", "--json");
  expect(JSON.parse(out)).toMatchObject({ taskType: "SEQ_2_SEQ_LM", adapter: { trainable: 2359296 } });
});

test("completion is made of the commands' tables; bash reads it", async () => {
  const { out } = await peft("completion", "bash");
  const ask = (words: string): string =>
    spawnSync(
      "bash",
      [
        "-c",
        `${out}\nCOMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]}-1))
      _peft peft "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"; echo "\${COMPREPLY[@]}"`,
      ],
      {
        encoding: "utf8",
      },
    ).stdout.trim();
  expect(ask("peft tra")).toBe("train");
  expect(ask("peft train --valid").split(" ")).toEqual(["--validation", "--validation-split"]);
  expect(ask('peft train --schedule ""').split(" ")).toContain("cosine");
  expect((await peft("completion", "fish")).out).toContain(
    "-n '__fish_seen_subcommand_from train' -l lora-alpha",
  );
  expect((await peft("completion", "cmd")).err).toMatch(/"cmd" is no shell/);
});

const lines = (print: (to: { print(line: Line): void }) => void): string[] => {
  const said: string[] = [];
  print({
    print: (line) => said.push(lineText(line, String, (text, look) => (look ? `<${look}>${text}` : text))),
  });
  return said;
};

test("samples: chats under their roles, cut answers marked, right ones good", () => {
  const turns = [
    { role: "system", content: "Be kind.\nBe brief." },
    { role: "user", content: "Hi" },
  ];
  const sample = { type: "sample", prompt: "Hi", turns, expected: "Hello" } as const;
  const answers = [
    { ...sample, step: 0, output: "Hm\nno", isCut: true },
    { ...sample, step: 9, output: " Hello" },
  ];
  expect(lines((to) => printSamples(new Map([["Hi", answers]]), to))).toEqual([
    "",
    "<strong>system      Be kind.",
    "            Be brief.",
    "<strong>user        Hi",
    "<quiet>  expected  Hello",
    "<quiet>  before    <bad>Hm",
    "<quiet>            <bad>no<quiet> ... (cut)",
    "<quiet>  after     <good> Hello",
  ]);
});

test("classes: a table of figures and one of what was told as what", () => {
  const figures = { precision: 1, recall: 0.5, f1: 2 / 3, support: 2 };
  const report = { f1: "macro", classes: [{ label: "a", ...figures }], confusion: [[2]] } as const;
  expect(lines((to) => printClasses(report, to))).toEqual([
    "",
    "<quiet>class            precision  recall      f1  support",
    "a                   1.0000  0.5000  0.6667        2",
    "mean (macro)        1.0000  0.5000  0.6667        2",
    "mean (weighted)     1.0000  0.5000  0.6667        2",
    "",
    "<quiet>is \\ told as  a",
    "a             2",
  ]);
});
