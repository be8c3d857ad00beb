import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { keptLengths } from "./encode.js";
import { tokenizerFromFiles } from "./files.js";
import type { Tokenizer } from "./tokenizer.js";

/** A tokenizer of the kit, with some of its files replaced. */
function load(kind: string, files: Record<string, unknown> = {}): Promise<Tokenizer> {
  return tokenizerFromFiles(async (name) => {
    const file = files[name];
    if (file !== undefined) return typeof file === "string" ? file : JSON.stringify(file);
    return readFile(`tests/kit/tokenizers/${kind}/${name}`, "utf8").catch(() => undefined);
  });
}

const bpe = await load("byte-bpe");

describe("the callable", () => {
  it("gives rows for one text and for many, and offsets that slice", () => {
    const text = "Tweet 👍🏽 é";
    const { inputIds, attentionMask, offsets, truncated } = bpe(text, { returnOffsets: true });
    expect([inputIds.length, attentionMask.length, offsets!.length, truncated]).toEqual([1, 1, 1, 0]);
    expect(text.slice(...offsets![0]!.at(-1)!)).toBe("é");
    expect(bpe([text, "a"]).inputIds).toEqual([inputIds[0], bpe.encode("a")]);
    expect(bpe([]).inputIds).toEqual([]);
  });

  it("counts the rows that lost tokens", () => {
    expect(bpe(["a", "a b c d e", "a b c d"], { truncation: true, maxLength: 3 }).truncated).toBe(2);
  });

  it("reads sides and limits from the configuration, and lets them be set", async () => {
    const config = { padding_side: "left", truncation_side: "left", model_max_length: 3, pad_token: "<pad>" };
    const tokenizer = await load("byte-bpe", { "tokenizer_config.json": config });
    const [ids] = tokenizer("a b c d", { truncation: true }).inputIds;
    expect(ids).toEqual(bpe.encode("a b c d").slice(-3));
    expect(tokenizer(["a", "b b"], { padding: true }).attentionMask).toEqual([
      [0, 1],
      [1, 1],
    ]);
    tokenizer.paddingSide = "right";
    tokenizer.truncationSide = "right";
    tokenizer.modelMaxLength = 2;
    expect(tokenizer(["a", "b b"], { padding: true }).attentionMask).toEqual([
      [1, 0],
      [1, 1],
    ]);
    expect(tokenizer.encode("a b c d", { truncation: true })).toEqual(bpe.encode("a b c d").slice(0, 2));
    expect(tokenizer("a", { padding: "max_length" }).attentionMask).toEqual([[1, 0]]);
  });

  it("takes a missing padding token from another", async () => {
    const tokenizer = await load("byte-fallback");
    expect(() => tokenizer(["a", "b c"], { padding: true })).toThrow(
      /no padding token.*tokenizer.padToken =/,
    );
    expect(() => {
      tokenizer.padToken = "<nothing>";
    }).toThrow(/padToken cannot be "<nothing>"/);
    tokenizer.padToken = tokenizer.eosToken;
    expect(tokenizer.padTokenId).toBe(2);
    const padded = tokenizer(["a", "b c"], { padding: true });
    expect(padded.inputIds[0]!.at(-1)).toBe(2);
    expect(padded.attentionMask[0]!.at(-1)).toBe(0);
  });

  it.each([
    [{ truncation: true, maxLength: 2.5 }, /maxLength cannot be 2.5/],
    [{ truncation: true, maxLength: 0 }, /maxLength cannot be 0/],
    [{ truncation: "only_second", maxLength: 1 }, /"only_second" needs a pair/],
    [{ textPair: ["a", "b"] }, /textPair holds 2 texts for 1/],
  ] as const)("refuses %o", (options, message) => {
    expect(() => bpe("one two three", options)).toThrow(message);
  });

  it("refuses a limit below its own special tokens", async () => {
    const bert = await load("wordpiece");
    expect(() => bert("a", { truncation: true, maxLength: 1 })).toThrow(
      /leaves no room.*use maxLength: 3 or more/,
    );
  });
});

describe("truncation of pairs", () => {
  it.each([
    [[5, 3], 20, "longest_first", [5, 3]],
    [[9, 3], 8, "longest_first", [5, 3]],
    [[3, 9], 8, "longest_first", [3, 5]],
    [[9, 9], 7, "longest_first", [4, 3].reverse()],
    [[9, 3], 0, "longest_first", [0, 0]],
    [[9, 3], 8, "only_first", [5, 3]],
    [[3, 9], 8, "only_second", [3, 5]],
  ] as const)("%j in %i, %s: %j", (lengths, room, strategy, kept) => {
    expect(keptLengths(lengths, room, strategy)).toEqual(kept);
  });

  it("says so where one text alone cannot give way", () => {
    expect(() => keptLengths([2, 9], 8, "only_first")).toThrow(/3 tokens must go, and that text has 2/);
  });
});

describe("the vocabulary", () => {
  it("converts both ways, unknown tokens by unkTokenId", async () => {
    expect(bpe.convertIdsToTokens([0, 42, 9999])).toEqual(["<pad>", "H", undefined]);
    expect(bpe.convertTokensToIds(["<pad>", "H", "nowhere"])).toEqual([0, 42, 2]);
    expect([bpe.convertTokensToIds("H"), bpe.convertIdsToTokens(42)]).toEqual([42, "H"]);
    const bare = await load("byte-bpe", { "tokenizer_config.json": {} });
    expect(bare.convertTokensToIds("nowhere")).toBeUndefined();
  });

  it("adds tokens that only the configuration knows, behind the vocabulary", async () => {
    const config = {
      pad_token: "<pad>",
      image_token: "<image>",
      additional_special_tokens: ["<one>", { content: "<two>", lstrip: true }],
      added_tokens_decoder: { "600": { content: "<zero>", special: false, normalized: true } },
    };
    const tokenizer = await load("byte-bpe", { "tokenizer_config.json": config });
    expect(tokenizer.convertTokensToIds(["<zero>", "<one>", "<two>", "<image>"])).toEqual([
      600, 601, 602, 603,
    ]);
    expect([tokenizer.length, tokenizer.vocabSize]).toEqual([604, 600]);
    expect(tokenizer.encode("a<one>b")).toEqual([...tokenizer.encode("a"), 601, ...tokenizer.encode("b")]);
    expect(tokenizer.decode([600, 601], { skipSpecialTokens: true })).toBe("<zero>");
    expect(tokenizer.allSpecialTokens).toEqual(["<pad>", "<one>", "<two>", "<image>"]);
    expect(tokenizer.addedTokens.get(601)).toMatchObject({ content: "<one>", special: true });
  });

  it("reads special_tokens_map.json and added_tokens.json of older folders", async () => {
    const tokenizer = await load("byte-bpe", {
      "tokenizer_config.json": { model_max_length: 64 },
      "special_tokens_map.json": { eos_token: { content: "</s>", lstrip: false }, mask_token: "<mask>" },
      "added_tokens.json": { "<mask>": 600, "<plain>": 601 },
    });
    expect([tokenizer.eosTokenId, tokenizer.maskTokenId, tokenizer.padTokenId]).toEqual([1, 600, undefined]);
    expect(tokenizer.addedTokens.get(601)).toMatchObject({ content: "<plain>", special: false });
  });

  it("cleans up spaces only where Python does: when asked, and never for BPE", async () => {
    const unigram = await load("unigram");
    const ids = unigram.encode("Hello , you .", { addSpecialTokens: false });
    expect(unigram.decode(ids)).toBe("Hello , you .");
    expect(unigram.decode(ids, { cleanUpTokenizationSpaces: true })).toBe("Hello, you.");
    expect(bpe.decode(bpe.encode("a , b"), { cleanUpTokenizationSpaces: true })).toBe("a , b");
  });
});

describe("added tokens in a text", () => {
  const added = (more: object) => ({ id: 600, content: "tok", special: false, normalized: false, ...more });
  const withToken = async (more: object): Promise<(text: string) => [number, number][]> => {
    const json = JSON.parse(await readFile("tests/kit/tokenizers/wordpiece/tokenizer.json", "utf8"));
    json.added_tokens.push(added(more));
    const tokenizer = await load("wordpiece", { "tokenizer.json": json });
    return (text) => {
      const x = tokenizer(text, { returnOffsets: true });
      return x.offsets![0]!.filter((_, i) => x.inputIds[0]![i] === 600);
    };
  };

  it("single words stand alone, stripping takes the spaces in, normalized ones match lower case", async () => {
    const single = await withToken({ single_word: true });
    expect(single("tok atok tok2 (tok) étok")).toEqual([
      [0, 3],
      [15, 18],
    ]);
    const stripping = await withToken({ lstrip: true, rstrip: true });
    expect(stripping("a tok  b tok tok")).toEqual([
      [1, 7],
      [8, 13],
      [13, 16],
    ]);
    const normalized = await withToken({ normalized: true });
    expect(normalized("TÓK tok")).toEqual([
      [0, 3],
      [4, 7],
    ]);
    const plain = await withToken({});
    expect(plain("TOK tok")).toEqual([[4, 7]]);
  });
});
