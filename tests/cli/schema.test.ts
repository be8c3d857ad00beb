import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { main } from "../../src/cli/main.js";
import { nodeTerminal } from "../../src/cli/terminal.js";
import { methods } from "../../src/methods/index.js";

// The schema of --config files, checked by ajv: it is one, and takes what the command line takes.
const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (path: string): string => readFileSync(`${root}/${path}`, "utf8");

async function schema(...args: readonly string[]): Promise<{ code: number; said: string }> {
  let said = "";
  const add = (text: unknown): void => void (said += `${text}\n`);
  const code = await main(["schema", ...args], { ...nodeTerminal(), print: add, write: add, note: add });
  return { code, said };
}

const compile = (text: string) =>
  new Ajv2020({ allErrors: true, allowUnionTypes: true }).compile(JSON.parse(text));
let accepts: ReturnType<typeof compile>;
beforeAll(async () => {
  accepts = compile((await schema()).said);
});

test.each(["train", "generate", "eval", "merge", "convert", "info", "data", "push"])(
  "of peft %s",
  async (name) => {
    const { code, said } = await schema(name);
    expect(code).toBe(0);
    expect(compile(said)({})).toBe(true);
  },
);

test("takes the sample, and the recipe that ships", () => {
  expect([accepts(parse(read("examples/train.yaml"))), accepts.errors]).toEqual([true, null]);
  expect([accepts(JSON.parse(read("assets/shipped.json"))), accepts.errors]).toEqual([true, null]);
});

test("takes Python's names, several files, and the key that names it", () => {
  const file = {
    $schema: "./peft.schema.json",
    lora_alpha: 16,
    data: ["a.csv", "b.csv"],
    learning_rate: 1e-4,
  };
  expect([accepts(file), accepts.errors]).toEqual([true, null]);
});

test.each([
  [{ loraAlfa: 16 }, "additionalProperties"],
  [{ r: "eight" }, "type"],
  [{ lr: -1 }, "minimum"],
  [{ method: "lorra" }, "enum"],
  [{ lora_alpha: true }, "type"],
])("refuses %j", (file, keyword) => {
  expect(accepts(file)).toBe(false);
  expect(accepts.errors?.map((error) => error.keyword)).toContain(keyword);
});

test("takes the defaults of every method's options", () => {
  for (const method of methods) {
    const options = Object.entries(method.config.options).filter(([, row]) => row.fileOnly !== true);
    const values = options.flatMap(([key, { byDefault }]) =>
      byDefault === undefined || byDefault === null ? [] : [[key, byDefault]],
    );
    const file = { method: method.name, ...Object.fromEntries(values) };
    expect([method.name, accepts(file), accepts.errors]).toEqual([method.name, true, null]);
  }
});

test("a command that there is not is named with those that there are", async () => {
  const { code, said } = await schema("trian");
  expect(code).toBe(1);
  expect(said).toMatch(/There is no command "trian"[\s\S]*train, [\s\S]*grpo, [\s\S]*predict, generate/);
});
