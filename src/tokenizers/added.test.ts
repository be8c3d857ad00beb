import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { AutoTokenizer } from "./auto.js";

interface Kind {
  readonly counts: readonly number[];
  readonly length: number;
  readonly rows: readonly { readonly ids: number[]; readonly text: string; readonly plain: string }[];
}
const path = (name: string): string => fileURLToPath(new URL(`../../tests/${name}`, import.meta.url));
const golden: { readonly texts: string[]; readonly kinds: Readonly<Record<string, Kind>> } = JSON.parse(
  readFileSync(path("golden/added_tokens.json"), "utf8"),
);

describe("tokens added to a tokenizer, as Python has them", () => {
  it.each(Object.entries(golden.kinds))("%s", async (kind, { counts, length, rows }) => {
    const tokenizer = await AutoTokenizer.fromPretrained(path(`kit/tokenizers/${kind}`));
    const first = tokenizer.addTokens(["<query>", "</query>", "<query>"]);
    expect([first, tokenizer.addTokens("<|x|>", { special: true })]).toEqual(counts);
    const folder = mkdtempSync(join(tmpdir(), "peft-added-"));
    await tokenizer.savePretrained(folder);
    const saved = await AutoTokenizer.fromPretrained(folder);
    rmSync(folder, { recursive: true });
    for (const one of [tokenizer, saved]) {
      expect(one.length).toBe(length);
      const { inputIds } = one(golden.texts);
      expect(inputIds).toEqual(rows.map(({ ids }) => ids));
      expect(one.batchDecode(inputIds)).toEqual(rows.map(({ text }) => text));
      expect(one.batchDecode(inputIds, { skipSpecialTokens: true })).toEqual(rows.map(({ plain }) => plain));
    }
  });

  it("what is no text is refused", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(path("kit/tokenizers/byte-bpe"));
    expect(() => tokenizer.addTokens([""])).toThrow("a text or a list of texts");
    expect(() => tokenizer.addTokens([7 as unknown as string])).toThrow("a text or a list of texts");
  });
});
