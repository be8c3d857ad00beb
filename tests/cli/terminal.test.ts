import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { commandLine, inFlags, shellQuote } from "../../src/cli/flags.js";
import { optionsOf } from "../../src/cli/options.js";
import { lineText, showsColours } from "../../src/cli/terminal.js";
import { train } from "../../src/cli/train.js";
import { option } from "../../src/index.js";

test.each([
  "plain/path-1.csv",
  "two words",
  'it\'s $HOME `x` "q" \\ !',
  "",
  "*",
  "tab\tand\nline",
  "ä 漢\u0085",
])("a shell reads %j back as one word", (text) => {
  const read = execFileSync("bash", ["--norc", "-c", `printf %s ${shellQuote(text)}`], {
    env: { LC_ALL: "C.UTF-8" },
  });
  expect(read.toString()).toBe(text);
});

test("a command to copy", () => {
  const flags = { adapter: "my out", prompt: undefined, maxNewTokens: "8" };
  expect(commandLine("generate", flags)).toBe("peft generate --adapter 'my out' --max-new-tokens 8");
});

test("options that errors name are flags", () => {
  const show = inFlags(optionsOf(train));
  const shown = (name: string, value?: unknown): string => option(name, value).shown(show);
  expect(shown("maxLength")).toBe("--max-length");
  expect(shown("emptyLabels", "drop")).toBe("--empty-labels drop");
  expect(shown("taskType", "SEQ_CLS")).toBe("--task SEQ_CLS");
  expect(shown("load", "int8")).toBe("--load-in int8");
  expect(shown("outputDir", "a b")).toBe("--output 'a b'");
  expect(shown("columns", { text: "my text", label: "team" })).toBe("--text 'my text' --label team");
  expect(shown("shuffle", false)).toBe("--no-shuffle");
  expect(shown("overwrite", true)).toBe("--overwrite");
  expect(shown("targetModules", ["q", "v"])).toBe("--target-modules q,v");
  expect(shown("betas", [0.9, 0.99])).toBe("--betas 0.9,0.99");
  expect(shown("noFlagOfThisName", 1)).toBe("noFlagOfThisName: 1");
});

test("what data hold does not act on the terminal, marks of our own do", () => {
  const green = (text: string): string => `\u001b[32m${text}\u001b[0m`;
  expect(lineText("a\u001b[31mb", green)).toBe("a\\x1b[31mb");
  expect(lineText(["a\u001b", { marked: "b\u001b" }], green)).toBe("a\\x1b\u001b[32mb\\x1b\u001b[0m");
});

test.each<[Record<string, string>, boolean, boolean]>([
  [{}, true, true],
  [{}, false, false],
  [{ NO_COLOR: "1" }, true, false],
  [{ NO_COLOR: "" }, true, true],
  [{ TERM: "dumb" }, true, false],
  [{ FORCE_COLOR: "1" }, false, true],
  [{ FORCE_COLOR: "0" }, true, false],
  [{ FORCE_COLOR: "1", NO_COLOR: "1" }, false, true],
])("colours with %j on a terminal (%s): %s", (env, isTerminal, shown) => {
  expect(showsColours(env, isTerminal)).toBe(shown);
});
