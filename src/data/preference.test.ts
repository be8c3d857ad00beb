import { describe, expect, it } from "vitest";
import type { PreferenceRow } from "./row.js";
import { rowsFrom } from "./rows_from.js";

const read = (record: Record<string, unknown>): PreferenceRow => {
  const [row] = rowsFrom([record]);
  if (row?.kind !== "preference") throw new Error(`a row of kind ${row?.kind}`);
  return row;
};
const parts = ({ prompt, chosen, rejected }: PreferenceRow) => [prompt, chosen, rejected];
const says = (role: string, content: string) => ({ role, content });

describe("rows of a better and a worse answer", () => {
  it("go on from a prompt to the letter", () => {
    const row = read({ prompt: "a ", chosen: "b", rejected: "c", margin: "0.5" });
    expect(parts(row)).toEqual(["a ", "b", "c"]);
    expect(row.margin).toBe(0.5);
  });

  it("have their common beginning for a prompt; a space before the difference is the answers'", () => {
    expect(parts(read({ chosen: "one red door", rejected: "one old door" }))).toEqual([
      "one",
      " red door",
      " old door",
    ]);
    expect(parts(read({ chosen: "cold", rejected: "colder" }))).toEqual(["col", "d", "der"]);
    expect(parts(read({ chosen: "blue", rejected: "green" }))).toEqual(["", "blue", "green"]);
  });

  it("may be messages, of which the common ones are the prompt", () => {
    const [asked, yes, no] = [says("user", "cold?"), says("assistant", "yes"), says("assistant", "no")];
    expect(parts(read({ chosen: [asked, yes], rejected: [asked, no] }))).toEqual([[asked], [yes], [no]]);
  });

  it("are refused without an answer, or with a margin that is none", () => {
    expect(() => rowsFrom([{ prompt: "a", chosen: null, rejected: "b" }])).toThrow('no value for "chosen"');
    expect(() => rowsFrom([{ chosen: "a", rejected: "b", margin: "much" }])).toThrow("is not a number");
  });
});
