import { expect, test } from "vitest";
import { tokenizerFromFiles } from "./files.js";
import { heardLetters, heardWords } from "./letters.js";
import type { Tokenizer } from "./tokenizer.js";

const vocab = { "[PAD]": 0, "[UNK]": 1, "|": 2, A: 3, B: 4, "'": 5 };
const config = {
  ...{ tokenizer_class: "Wav2Vec2CTCTokenizer", pad_token: "[PAD]", unk_token: "[UNK]" },
  ...{ bos_token: null, eos_token: null, word_delimiter_token: "|" },
};

const read = (json: object, more: object = {}): Promise<Tokenizer> => {
  const files: Record<string, unknown> = {
    "vocab.json": json,
    "tokenizer_config.json": { ...config, ...more },
  };
  return tokenizerFromFiles(async (name) => (name in files ? JSON.stringify(files[name]) : undefined));
};

test("Every character is a token, a space the word delimiter, what nobody knows the unknown token", async () => {
  const tokenizer = await read(vocab);
  expect(tokenizer.encode("AB 'A")).toEqual([3, 4, 2, 5, 3]);
  expect(tokenizer.encode("A😀|\nb")).toEqual([3, 1, 2, 1, 1]);
  expect(tokenizer.encode("A [PAD] B")).toEqual([3, 0, 4]);
  expect([tokenizer.length, tokenizer.padTokenId, tokenizer.unkTokenId]).toEqual([6, 0, 1]);
});

test("Equal frames are one letter, blanks are none, and a blank tells two letters apart", async () => {
  const tokenizer = await read(vocab);
  const frames = [0, 3, 3, 0, 3, 2, 2, 4, 0];
  expect(tokenizer.decode(frames)).toBe("AA B");
  expect(tokenizer.decode([3, 3, 2, 1], { groupTokens: false })).toBe("AA [UNK]");
  expect(tokenizer.decode([3, 0, 3, 1], { skipSpecialTokens: true })).toBe("A");
  const tokens = frames.map((id) => tokenizer.convertIdsToTokens(id) ?? "");
  const rules = tokenizer.letters ?? expect.fail("no letters");
  const letters = heardLetters(tokens, rules);
  expect(heardWords(letters, rules)).toEqual([
    { text: "AA", start: 1, end: 5 },
    { text: "B", start: 7, end: 8 },
  ]);
});

test("Lower case outside is upper case inside", async () => {
  const tokenizer = await read(vocab, { do_lower_case: true });
  expect(tokenizer.encode("ab")).toEqual([3, 4]);
  expect(tokenizer.decode([3, 2, 4])).toBe("a b");
});

test("Of vocabularies for many languages the one that is named is read", async () => {
  const many = { eng: vocab, fra: { "[PAD]": 0, "[UNK]": 1, "|": 2, É: 3 } };
  expect((await read(many, { target_lang: "fra" })).encode("É")).toEqual([3]);
  await expect(read(many, { target_lang: "deu" })).rejects.toThrow(
    /target_lang "deu" is none of its languages/,
  );
});
