import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { AutoTokenizer } from "./auto.js";
import { tokenizerFromFiles } from "./files.js";

// SentencePiece files alone, as transformers' classes read them: tools/golden/piece_files.py.

interface Golden {
  readonly vocab: number;
  readonly texts: readonly (readonly [text: string, ids: readonly number[], decoded: string])[];
  readonly pairs: readonly (readonly [a: string, b: string, ids: readonly number[]])[];
}

const folder = fileURLToPath(new URL("../../tests/golden/sentencepiece/", import.meta.url));
const golden = JSON.parse(readFileSync(`${folder}golden.json`, "utf8")) as Record<string, Golden>;

describe.each(Object.entries(golden))("%s", (name, { texts, pairs }) => {
  it("gives the ids that Python gives, and its texts again", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(`${folder}${name}`);
    const found = texts.map(([text]) => {
      const ids = tokenizer(text).inputIds[0] ?? [];
      return [text, ids, tokenizer.decode(ids, { skipSpecialTokens: true })];
    });
    expect(found).toEqual(texts);
    expect(pairs.map(([a, b]) => [a, b, tokenizer(a, { textPair: b }).inputIds[0]])).toEqual(pairs);
  });
});

describe("a SentencePiece file", () => {
  const bytes = new Uint8Array(readFileSync(`${folder}t5/spiece.model`));
  const open = (data: Uint8Array) =>
    tokenizerFromFiles(
      async () => undefined,
      (name) => name,
      async (name) => (name === "spiece.model" ? data : undefined),
    );

  it("that is cut short, or none, is refused by name", async () => {
    for (const data of [bytes.subarray(0, bytes.length - 3), new Uint8Array(), new Uint8Array([1, 2, 3])])
      await expect(open(data)).rejects.toThrow(/spiece.model cannot be read/);
  });

  it("without a class gives what the file itself says", async () => {
    const tokenizer = await open(bytes);
    expect(tokenizer.decode(tokenizer("the sea shells").inputIds[0] ?? [])).toBe("the sea shells");
  });
});
