import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { main } from "../../src/cli/main.js";
import { nodeTerminal } from "../../src/cli/terminal.js";
import { AutoPeftModelForSequenceClassification, pipeline } from "../../src/index.js";

// A classifier is trained by `peft train`, then asked by `peft predict` and by pipeline().
const folder = mkdtempSync(join(tmpdir(), "peft-predict-"));
const at = (name: string): string => join(folder, name);
const golden = JSON.parse(readFileSync(join(import.meta.dirname, "../golden/pipelines.json"), "utf8"));

async function peft(...argv: string[]): Promise<{ code: number; out: string; err: string }> {
  let [out, err] = ["", ""];
  const code = await main(argv, {
    ...nodeTerminal(),
    print: (line) => void (out += `${line}\n`),
    write: (text) => void (out += text),
    note: (line) => void (err += `${line}\n`),
  });
  return { code, out, err };
}

beforeAll(async () => {
  cpSync(join(import.meta.dirname, "../kit/models/bert"), at("bert"), { recursive: true });
  for (const [name, content] of Object.entries(golden.tokenizers.wordpiece))
    writeFileSync(join(at("bert"), name), JSON.stringify(content));
  const rows = Array.from({ length: 6 }, () => "ann lives in rome,a\nlee was born,b");
  writeFileSync(at("rows.csv"), ["body,team", ...rows].join("\n"));
  const data = ["--data", at("rows.csv"), "--text", "body", "--label", "team"];
  const { code, err } = await peft(
    "train",
    "--model",
    at("bert"),
    ...data,
    "--epochs",
    "1",
    "--threads",
    "1",
    "--output",
    at("out"),
  );
  expect(code, err).toBe(0);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("peft predict and pipeline() say the same, with the classes' names", async () => {
  const classify = await pipeline("text-classification", at("out"), { threads: 1 });
  const labels = await classify("ann lives in rome", { topK: 2 });
  expect(labels.map(({ label }) => label).sort()).toEqual(["a", "b"]);
  async function* forever(): AsyncGenerator<string> {
    for (;;) yield "lee";
  }
  let count = 0;
  for await (const _ of classify(forever())) if (++count === 20) break;
  await classify.close();
  const model = await AutoPeftModelForSequenceClassification.fromPretrained(at("out"), { threads: 1 });
  expect(model.classNames).toEqual(["a", "b"]);
  await model.close();
  const args = ["--adapter", at("out"), "--threads", "1"];
  const one = await peft("predict", ...args, "--text", "ann lives in rome", "--jsonl", "--top-k", "2");
  const [a, b] = labels.map((one) => ({ ...one, score: expect.closeTo(one.score, 4) }));
  expect(JSON.parse(one.out)).toEqual({ text: "ann lives in rome", labels: [a, b] });
  const rows = await peft("predict", ...args, "--data", at("rows.csv"), "--limit", "3", "--csv");
  expect(rows.out).toMatch(
    /^row,label,score,start,end,text\n1,[ab],0\.\d+,,,\n2,[ab],0\.\d+,,,\n3,[ab],0\.\d+,,,\n$/,
  );
}, 60_000);

test("answers go to a file, whose ending says their form; texts are cut where that is asked for", async () => {
  const args = [
    "predict",
    "--adapter",
    at("out"),
    "--threads",
    "1",
    "--data",
    at("rows.csv"),
    "--limit",
    "2",
  ];
  const said = await peft(...args, "--output", at("answers.JSONL"), "--max-length", "3");
  expect(said).toMatchObject({ code: 0, out: "" });
  expect(said.err).toContain("Texts of more than 3 tokens are cut to these (--max-length).");
  const lines = readFileSync(at("answers.JSONL"), "utf8").trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line).text)).toEqual(["ann lives in rome", "lee was born"]);
  await peft(...args, "--output", at("answers.json"));
  expect(JSON.parse(readFileSync(at("answers.json"), "utf8"))).toHaveLength(2);
  const same = await peft(...args, "--output", at("rows.csv"));
  expect(same.err).toContain(`"${at("rows.csv")}" is read and written.`);
  const nowhere = await peft(...args, "--output", at("no/where.csv"));
  expect(nowhere.err).toContain("there is no such file or folder.");
}, 60_000);

test.each(["--jsonl", "--json"])(
  "Ctrl-C leaves whole answers: %s",
  async (form) => {
    const rows = Array.from({ length: 40_000 }, (_, i) => `ann lives in rome ${i},a`);
    writeFileSync(at("many.csv"), ["body,team", ...rows].join("\n"));
    const root = join(import.meta.dirname, "../..");
    const args = ["predict", "--adapter", at("out"), "--threads", "1", "--data", at("many.csv"), form];
    const child = spawn(process.execPath, ["bin/peft.js", ...args], { cwd: root });
    let out = "";
    child.stdout.on("data", (chunk) => {
      if (out === "") child.kill("SIGINT");
      out += chunk;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).toBe(130);
    const answers =
      form === "--json"
        ? JSON.parse(out)
        : out
            .trimEnd()
            .split("\n")
            .map((line) => JSON.parse(line));
    expect(out.endsWith("\n")).toBe(true);
    expect(answers.length).toBeGreaterThan(0);
    expect(answers.length).toBeLessThan(40_000);
    expect(answers.at(-1).labels).toHaveLength(1);
  },
  90_000,
);

test("what cannot be asked is said", async () => {
  const nothing = await peft("predict", "--adapter", at("out"));
  expect([nothing.code, nothing.err]).toEqual([
    1,
    expect.stringContaining('add --text "...", or --data FILE'),
  ]);
  const column = await peft("predict", "--adapter", at("out"), "--data", at("rows.csv"), "--column", "nope");
  expect([column.code, column.err]).toEqual([1, expect.stringContaining('Missing column "nope"')]);
  await expect(pipeline("text-clasification" as "ner", at("out"))).rejects.toThrow(
    /There is no pipeline "text-clasification".*pipeline\("text-classification"/s,
  );
  await expect(pipeline("ner", at("out"))).rejects.toThrow(/trained for SEQ_CLS, not for TOKEN_CLS/);
});
