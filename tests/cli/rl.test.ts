import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.js";
import { nodeTerminal } from "../../src/cli/terminal.js";

// A tiny Llama answers prompts of a file, and files, names and a ranker judge what it says.
const folder = mkdtempSync(join(tmpdir(), "peft-rl-"));
const at = (name: string): string => join(folder, name);

interface Said {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function peft(...argv: readonly string[]): Promise<Said> {
  let [out, err] = ["", ""];
  const code = await main(argv, {
    ...nodeTerminal(),
    print: (line) => void (out += `${line}\n`),
    write: (text) => void (out += text),
    note: (line) => void (err += `${line}\n`),
  });
  return { code, out, err };
}

const small = ["--threads", "1", "--max-steps", "2", "--batch-size", "4", "--json"];
const few = [...small, "--generations", "4", "--prompts-per-step", "2", "--max-new-tokens", "4"];
const learn = (verb: string, ...more: readonly string[]): Promise<Said> =>
  peft(verb, "--model", at("model"), "--data", at("prompts.jsonl"), ...more);

/** Figures of each step, as the events have them. */
function figures({ out }: Said): Readonly<Record<string, number>>[] {
  const events = out.split("\n").flatMap((line) => (line.startsWith("{") ? [JSON.parse(line)] : []));
  return events.filter(({ type }) => type === "step").map(({ metrics }) => metrics);
}

beforeAll(async () => {
  mkdirSync(at("model"));
  for (const name of ["config.json", "generation_config.json", "model.safetensors"])
    copyFileSync(`tests/kit/models/llama/${name}`, at(`model/${name}`));
  for (const name of ["tokenizer.json", "tokenizer_config.json"])
    copyFileSync(`tests/kit/tokenizers/byte-bpe/${name}`, at(`model/${name}`));
  const prompts = [1, 2, 3, 4].map((n) => JSON.stringify({ prompt: `${n}+1=`, answer: n + 1 }));
  writeFileSync(at("prompts.jsonl"), prompts.join("\n"));
  writeFileSync(
    at("rewards.ts"),
    "export const even = (_: unknown, answers: readonly string[]): number[] => answers.map((text) => 1 - (text.length % 2));\nexport const scale = 2;\n",
  );
  writeFileSync(
    at("short.mjs"),
    "const short = (prompts, answers, { columns }) => answers.map((text, i) => columns.answer[i] - text.length / 10);\nexport default [short];\n",
  );
  writeFileSync(at("none.mjs"), "export const weight = 1;\n");
  writeFileSync(at("schema.json"), '{"type":"number"}');
  const pairs = ["A", "B"].map((prompt) => JSON.stringify({ prompt, chosen: "Y", rejected: "N" }));
  writeFileSync(at("pairs.jsonl"), pairs.join("\n"));
  const ranker = ["--validation", "none", "--threads", "1", "--epochs", "1", "--output", at("ranker")];
  const { code, err } = await peft("reward", "--model", at("model"), "--data", at("pairs.jsonl"), ...ranker);
  expect(code, err).toBe(0);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("peft grpo", () => {
  test("judges by files, by rewards that come along and by a ranker, and names them in its figures", async () => {
    const judges = ["rewards.ts", "short.mjs"].flatMap((name) => ["--reward", at(name)]);
    const named = ["length:3", `json:${at("schema.json")}`, "numeric", "format:^\\d"];
    const said = await learn(
      "grpo",
      ...[...few, ...judges, ...named.flatMap((name) => ["--reward", name]), "--output", at("grpo")],
      ...["--reward-adapter", at("ranker"), "--reward-weights", "1,1,1,1,1,1,0.5"],
    );
    expect(said.code, said.err).toBe(0);
    const steps = figures(said);
    expect(steps).toHaveLength(2);
    const names = ["even", "short", "length", "json", "numeric", "format", "ranker"];
    const means = names.map((name) => steps[0]?.[`rewards/${name}/mean`] ?? Number.NaN);
    expect(means.every(Number.isFinite), `${means}`).toBe(true);
    const total = means.reduce((sum, mean, i) => sum + mean * (i === 6 ? 0.5 : 1), 0);
    expect(steps[0]?.["reward"]).toBeCloseTo(total, 4);
    expect(existsSync(at("grpo/adapter_model.safetensors"))).toBe(true);
    expect(existsSync(at("grpo/ranker"))).toBe(false);
    const { command, files, isChat } = JSON.parse(readFileSync(at("grpo/run.json"), "utf8"));
    expect(command).toMatch(/^peft grpo --model /);
    expect(Object.keys(files)).toEqual(expect.arrayContaining([at("rewards.ts"), at("schema.json")]));
    expect(isChat).toBe(false);
  }, 60_000);

  test("the same command again finds its run, and another reward is another run", async () => {
    const once = [...few, "--reward", "length:3", "--output", at("again")];
    expect((await learn("grpo", ...once)).code).toBe(0);
    expect((await learn("grpo", ...once)).err).toContain("holds this very run, finished");
    const other = await learn("grpo", ...few, "--reward", "length:4", "--output", at("again"));
    expect(other.err).toContain('--reward was ["length:3"] and is ["length:4"]');
    expect((await learn("grpo", ...once, "--overwrite")).code).toBe(0);
  }, 60_000);

  test("prompts are of a template, of a column, or chats", async () => {
    const plain = [...few, "--max-steps", "1", "--reward", "length:3"];
    const template = await learn("grpo", ...plain, "--template", "{answer}=", "--output", at("template"));
    expect(template.out).toMatch(/"prompt":"\d="/);
    const column = await learn("grpo", ...plain, "--column", "nobody", "--output", at("column"));
    expect(column.err).toContain('has no prompt in the column "nobody"');
    expect(column.err).toContain("--column prompt");
  }, 60_000);

  test.each([
    [[], "No reward is given", "--reward rewards.ts"],
    [["--reward", "nice"], '--reward is "nice"', "length:40"],
    [["--reward", "length:many"], "a length is a whole number of tokens", "length:40"],
    [["--reward", "format:("], "Unterminated group", "format:REGEX"],
    [["--reward", at("none.mjs")], "it exports weight, and no function", "export default"],
    [["--reward", at("missing.mjs")], "there is no such file", "name another file"],
    [["--reward", `json:${at("none.mjs")}`], "is no JSON object", "json:SCHEMA.json"],
  ])("refuses %j", async (args, what, fix) => {
    const { code, err } = await learn("grpo", ...args, "--output", at("refused"));
    expect(code).toBe(1);
    expect(err).toContain(what);
    expect(err).toContain(fix);
    expect(existsSync(at("refused"))).toBe(false);
  });

  test("asks for a model that writes", async () => {
    const { err } = await peft("grpo", "--data", at("prompts.jsonl"), "--reward", "length:3");
    expect(err).toContain("No model is given");
  });
});

test("peft rloo learns beside the others of a group", async () => {
  const said = await learn("rloo", ...few, "--reward", at("rewards.ts"), "--output", at("rloo"));
  expect(said.code, said.err).toBe(0);
  expect(figures(said)[0]).toMatchObject({
    kl: expect.closeTo(0, 4),
    "rewards/even/mean": expect.any(Number),
  });
}, 60_000);

test("peft ppo learns a critic beside the policy, by a ranker or one reward", async () => {
  const tiny = [...small, "--rollout-size", "4", "--ppo-epochs", "2", "--response-length", "4"];
  const said = await learn("ppo", ...tiny, "--reward-adapter", at("ranker"), "--output", at("ppo"));
  expect(said.code, said.err).toBe(0);
  expect(Number.isFinite(figures(said)[0]?.["objective/scores"])).toBe(true);
  for (const name of ["adapter_config.json", "critic/adapter_config.json"])
    expect(existsSync(at(`ppo/${name}`)), name).toBe(true);
  const two = await learn(
    "ppo",
    ...tiny,
    "--reward",
    "length:3",
    "--reward",
    "json",
    "--output",
    at("ppo-2"),
  );
  expect(two.err).toContain("2 rewards are given");
  const anew = ["--reward", "length:3", "--overwrite", "--output", at("ppo")];
  expect((await learn("ppo", ...tiny, ...anew)).err).toBe("");
}, 60_000);
