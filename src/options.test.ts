import { describe, expect, it } from "vitest";
import type { OptionRow, OptionTable } from "./options.js";
import {
  defaultText,
  faultOf,
  flagName,
  formOf,
  helpOf,
  hintsFor,
  optionKey,
  pythonName,
  readText,
  typeOf,
  wordsOf,
} from "./options.js";

const row = (kind: OptionRow["kind"], more: Partial<OptionRow> = {}): OptionRow => ({
  kind,
  means: "",
  ...more,
});
const start = row("flag", { choices: ["gaussian", "pissa_niter_N"], byDefault: true });

describe("the text of a flag", () => {
  it.each<[OptionRow, string, unknown]>([
    [row("text"), "a,b", "a,b"],
    [row("number"), "1e-3", 0.001],
    [row("whole"), "8", 8],
    [row("whole"), "eight", "eight"],
    [row("flag"), "false", false],
    [row("names"), "q_proj, v_proj", ["q_proj", "v_proj"]],
    [row("names"), '["q,1"]', ["q,1"]],
    [row("targets"), "q_proj,v_proj", ["q_proj", "v_proj"]],
    [row("targets"), "q_proj", ["q_proj"]],
    [row("targets"), "all-linear", "all-linear"],
    [row("targets"), ".*\\.(q|v){1,2}", ".*\\.(q|v){1,2}"],
    [row("numbers"), "0.9,0.99", [0.9, 0.99]],
    [row("ids"), "3,5", [3, 5]],
    [row("oneOrMoreIds"), "3", 3],
    [row("oneOrMoreIds"), "3,5", [3, 5]],
    [row("numbersByName"), "q=4,layers\\.(?=0)=0.5", { q: 4, "layers\\.(?=0)": 0.5 }],
    [row("wholesByName"), '{"a=b": 4}', { "a=b": 4 }],
    [row("idsByName"), '{"embed_tokens":[3]}', { embed_tokens: [3] }],
    [row("idsByName"), "3,5", [3, 5]],
    [row("json"), '{"a":{"b":1}}', { a: { b: 1 } }],
    [start, "pissa_niter_16", "pissa_niter_16"],
    [start, "true", true],
  ])("%j %s", (option, text, value) => {
    expect(readText(option, text)).toEqual(value);
  });
});

describe("a value's fault", () => {
  it.each<[OptionRow, unknown, string | undefined]>([
    [row("whole", { min: 1 }), 1, undefined],
    [row("whole", { min: 1 }), 0, "a whole number, at least 1"],
    [row("whole", { min: 1, max: 2 }), 3, "a whole number, from 1 to 2"],
    [row("number", { min: 0, below: 1 }), 1, "a number, at least 0 and below 1"],
    [row("number"), Number.NaN, "a number"],
    [row("text", { choices: ["a", "b"] }), "c", 'one of "a", "b"'],
    [row("whole", { choices: ["epoch"] }), "epoch", undefined],
    [start, "pissa_niter_", 'true or false, or one of "gaussian", "pissa_niter_N"'],
    [row("wholesByName"), { q: 0 }, "whole numbers by name, all above 0"],
    [row("names"), "q", "a list of names"],
  ])("%j %j", (option, value, words) => {
    expect(faultOf(option, value)).toBe(words);
    if (words !== undefined) expect(wordsOf(option)).toBe(words);
  });
});

describe("names", () => {
  const table: OptionTable = {
    loraAlpha: row("number", { also: ["alpha"] }),
    applyGS: row("flag", { python: "apply_GS" }),
    initIa3Weights: row("flag"),
  };

  it("are one word in each place", () => {
    expect(Object.keys(table).map(flagName)).toEqual(["--lora-alpha", "--apply-gs", "--init-ia3-weights"]);
    expect(Object.keys(table).map((key) => pythonName(key, table[key]))).toEqual([
      ...["lora_alpha", "apply_GS", "init_ia3_weights"],
    ]);
    expect(["lora_alpha", "apply_GS", "loraAlpha", "alpha"].map((name) => optionKey(name, table))).toEqual([
      ...["loraAlpha", "applyGS", "loraAlpha", undefined],
    ]);
  });

  it("that are none are told what is meant", () => {
    expect(hintsFor(["alpha", "lora-alhpa"], table)).toBe(
      'use loraAlpha for "alpha", use loraAlpha for "lora-alhpa".',
    );
    expect(hintsFor(["xyzw"], table)).toBe("use one of: applyGS, initIa3Weights, loraAlpha.");
  });
});

it("forms, types and defaults", () => {
  expect([row("whole"), start, row("text", { choices: ["a", "b"] }), row("flag")].map(formOf)).toEqual([
    ...["N", "true|false|NAME", "NAME", ""],
  ]);
  expect(typeOf(start)).toMatch(/^boolean \| "gaussian" \| `pissa_niter_\$\{number\}`$/);
  expect(typeOf(row("text", { choices: ["a", "b"] }))).toBe('"a" | "b"');
  expect(defaultText(start)).toBe("on");
  expect(helpOf({ ...start, means: "how it starts" })).toBe(
    "how it starts (gaussian, pissa_niter_N) [default: on]",
  );
  expect(helpOf(row("whole", { means: "where it stops", unit: "tokens", byDefault: 8 }))).toBe(
    "where it stops [default: 8 tokens]",
  );
  expect(defaultText(row("number", { byDefault: 0.5 }))).toBe("0.5");
  expect(defaultText(row("whole", { byDefault: 1, otherwise: "the model's" }))).toBe("the model's");
});
