import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { PeftError } from "./errors.js";
import { joined, option, words } from "./words.js";

describe("words that name options", () => {
  const fix = words`raise ${option("maxLength")}, or ${option("emptyLabels", "drop")}.`;

  it("name them as code does, unless shown otherwise", () => {
    expect(`${fix}`).toBe('raise maxLength, or emptyLabels: "drop".');
    expect(fix.shown(({ name }) => `<${name}>`)).toBe("raise <maxLength>, or <emptyLabels>.");
    expect(`${option("columns", { text: "a", label: "b" })}`).toBe('columns: { text: "a", label: "b" }');
    expect(`${option("betas", [0.9, 0.99])}, ${option("shuffle", false)}`).toBe(
      "betas: [0.9, 0.99], shuffle: false",
    );
  });

  it("keep them apart when they become parts of others", () => {
    const both = words`${joined([fix, words`Or ${option("r", 8)}.`], " ")}`;
    expect(both.shown(({ name }) => `<${name}>`)).toBe("raise <maxLength>, or <emptyLabels>. Or <r>.");
  });
});

describe("an error", () => {
  const error = new PeftError("option", {
    what: words`${option("lr")} is -1.`,
    why: "it is a number.",
    fix: words`${option("lr", 0.001)}`,
  });

  it("is plain text for code, and names options as it is asked to", () => {
    expect(error).toMatchObject({ name: "PeftError", what: "lr is -1.", fix: "lr: 0.001" });
    expect(error.told(({ name }) => `--${name}`)).toEqual({
      what: "--lr is -1.",
      why: "it is a number.",
      fix: "--lr",
    });
  });

  it("says its name once where nobody catches it", () => {
    expect(inspect(error).split("\n")[0]).toBe(
      "PeftError [option]: lr is -1. why: it is a number. fix: lr: 0.001",
    );
  });
});
