import { describe, expect, it } from "vitest";
import { PeftError } from "../errors.js";
import { tokenizerFromFiles } from "./files.js";
import type { Tokenizer } from "./tokenizer.js";

const letters = [..."abcdefghijklmnopqrstuvwxyz \uf8f0\uf8f1▁"];
const vocab = Object.fromEntries(["<unk>", ...letters].map((token, id) => [token, id]));
const bpe = { type: "BPE", vocab, merges: [], unk_token: "<unk>" };

function load(json: object, config: object = {}): Promise<Tokenizer> {
  const files: { [name: string]: object } = {
    "tokenizer.json": { model: bpe, added_tokens: [], ...json },
    "tokenizer_config.json": config,
  };
  return tokenizerFromFiles(async (name) => {
    const file = Object.hasOwn(files, name) ? files[name] : undefined;
    return file && JSON.stringify(file);
  });
}

/** What a tokenizer's files are said to be wrong in; the files have a text of 60 letters to work on. */
async function faultOf(json: object, config: object = {}, text = `${"a".repeat(60)} b`): Promise<string> {
  try {
    const tokenizer = await load(json, config);
    const { inputIds } = tokenizer(text, { textPair: "b" });
    tokenizer.decode(inputIds[0] ?? []);
    return "none";
  } catch (error) {
    if (error instanceof PeftError) return error.what;
    throw error;
  }
}

const split = (pattern: unknown): object => ({ type: "Split", pattern, behavior: "Isolated" });
const replace = (content: string, pattern: unknown = { String: "a" }): object => ({
  type: "Replace",
  pattern,
  content,
});
const many = (part: object, count: number): object[] => Array.from({ length: count }, () => part);
const nested = (key: string, levels: number): object =>
  levels === 0 ? { type: "Fuse" } : { type: "Sequence", [key]: [nested(key, levels - 1)] };

describe("regular expressions of tokenizer.json", () => {
  it.each(["(a+)+$", `${"a?".repeat(40)}c`, "(?=(a+)+c)"])("%s ends", async (Regex) => {
    const where = "tokenizer.json: pre_tokenizer.pattern does not come to an end on a text of 62 characters";
    expect(await faultOf({ pre_tokenizer: split({ Regex }) })).toContain(where);
    expect(
      await faultOf({ normalizer: { type: "Sequence", normalizers: [replace("b", { Regex })] } }),
    ).toContain("tokenizer.json: normalizer.normalizers[0].pattern does not come to an end");
  });

  it.each([
    ["(", /pattern "\(" is no valid expression/],
    [{}, /pattern\.Regex must be a string/],
    [`${"(".repeat(9000)}a${")".repeat(9000)}`, /pattern .* is no valid expression|none/],
    ["a".repeat(30_000), /pattern\.Regex has 30000 characters/],
  ])("%# are refused where they are none", async (Regex, what) => {
    expect(await faultOf({ pre_tokenizer: split({ Regex }) })).toMatch(what);
  });
});

describe("texts do not grow without an end", () => {
  it.each([
    ["one replacement", { normalizer: replace("b".repeat(10_000)) }],
    ["a chain", { normalizer: { type: "Sequence", normalizers: many(replace("aa"), 60) } }],
    ["a prefix", { normalizer: { type: "Prepend", prepend: "b".repeat(100_000) } }],
    ["bytes of bytes", { normalizer: { type: "Sequence", normalizers: many({ type: "ByteLevel" }, 60) } }],
    ["a decoder's chain", { decoder: { type: "Sequence", decoders: many(replace("aa"), 60) } }],
    ["a decoder that fills gaps", { decoder: replace("b".repeat(10_000)) }],
    [
      "a suffix of nothing",
      { decoder: { type: "Sequence", decoders: many({ type: "BPEDecoder", suffix: "" }, 60) } },
    ],
  ])("%s", async (_name, json) => {
    expect(await faultOf(json, {}, "aé b")).toBe(
      "tokenizer.json: its replacements make a text more than 64 times longer.",
    );
  });

  it("by templates in a chain", async () => {
    const twice = [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }];
    const template = { type: "TemplateProcessing", single: twice, pair: twice, special_tokens: {} };
    const post_processor = { type: "Sequence", processors: many(template, 60) };
    expect(await faultOf({ post_processor })).toBe(
      "tokenizer.json: post_processor adds more than 10000 tokens.",
    );
    const ids = many({}, 20_000).map(() => 0);
    const single = [{ SpecialToken: { id: "x", type_id: 0 } }];
    const special_tokens = { x: { id: "x", ids, tokens: ids.map(String) } };
    expect(await faultOf({ post_processor: { ...template, single, special_tokens } })).toMatch(
      /more than 10000 tokens/,
    );
  });

  it("by model_max_length", async () => {
    const tokenizer = await load({}, { model_max_length: 1e9, pad_token: "<unk>" });
    expect(() => tokenizer("a", { padding: "max_length" })).toThrow(
      /1000000000 tokens.*tokenizer_config\.json/,
    );
    expect(tokenizer("a", { padding: "max_length", maxLength: 3 }).inputIds[0]).toHaveLength(3);
  });

  it("takes real ones", async () => {
    const tokenizer = await load({
      normalizer: { type: "Sequence", normalizers: [{ type: "NFKC" }, replace("aa")] },
    });
    expect(tokenizer("\ufdfa".repeat(50)).inputIds[0]?.length).toBe(50 * 18);
  });
});

describe("names of JavaScript's own are no types", () => {
  const names = ["toString", "constructor", "__proto__", "hasOwnProperty", "entry"];
  it.each(["normalizer", "pre_tokenizer", "post_processor", "decoder", "model"])("%s", async (part) => {
    for (const type of names) {
      expect(await faultOf({ [part]: { type } })).toMatch(`tokenizer.json: ${part} "${type}" is unknown`);
    }
  });

  it("nor classes, templates, tokens", async () => {
    for (const name of names) {
      expect(await faultOf({}, { tokenizer_class: name })).toBe("none");
      const tokenizer = await load({});
      const options = { chatTemplate: name, tokenize: false } as const;
      expect(tokenizer.applyChatTemplate([{ role: "user", content: "x" }], options)).toBe(name);
      const single = [{ SpecialToken: { id: name, type_id: 0 } }];
      const post_processor = { type: "TemplateProcessing", single, pair: single, special_tokens: {} };
      expect(await faultOf({ post_processor })).toBe(
        `tokenizer.json: post_processor.special_tokens["${name}"] must be an object.`,
      );
    }
    const model = JSON.parse(
      '{"type":"WordLevel","unk_token":"<unk>","vocab":{"<unk>":0,"__proto__":1,"constructor":2}}',
    );
    const tokenizer = await load({ model, pre_tokenizer: { type: "WhitespaceSplit" } });
    expect(tokenizer("__proto__ constructor toString").inputIds).toEqual([[1, 2, 0]]);
  });
});

describe("faults name file and field", () => {
  it.each([
    [{ normalizer: nested("normalizers", 500) }, /tokenizer\.json: normalizer\..* is nested too deeply/],
    [{ decoder: nested("decoders", 500) }, /tokenizer\.json: decoder\..* is nested too deeply/],
    [{ model: { ...bpe, merges: [["a", 1]] } }, "tokenizer.json: model.merges[0] must be a string."],
    [{ model: { ...bpe, merges: [false] } }, "tokenizer.json: model.merges[0] must be a list."],
    [{ model: { ...bpe, vocab: { a: 1e300 } } }, 'tokenizer.json: model.vocab: id of "a" cannot be 1e+300.'],
    [{ model: { ...bpe, vocab: { a: -1 } } }, 'tokenizer.json: model.vocab: id of "a" cannot be -1.'],
    [
      { model: { type: "WordPiece", vocab, unk_token: "<unk>", max_input_chars_per_word: 1e9 } },
      "tokenizer.json: model.max_input_chars_per_word cannot be 1000000000: 1000 is the most.",
    ],
    [{ added_tokens: [{ id: "1", content: "x" }] }, "tokenizer.json: added_tokens' id must be a number."],
    [{ pre_tokenizer: { type: "FixedLength", length: 0 } }, /tokenizer\.json: pre_tokenizer\.length must be/],
    [
      { pre_tokenizer: { type: "Metaspace", replacement: "ab" } },
      /pre_tokenizer\.replacement must be one character/,
    ],
    [{ pre_tokenizer: split({ String: "" }) }, "none"],
    [
      { normalizer: { type: "Precompiled", precompiled_charsmap: "é" } },
      /normalizer\.precompiled_charsmap is not base64/,
    ],
    [{ truncation: 1e-300, padding: {}, version: [] }, "none"],
  ])("%#", async (json, what) => {
    const said = await faultOf(json);
    if (typeof what === "string") expect(said).toBe(what);
    else expect(said).toMatch(what);
  });
});

it("JSON of any depth is read or refused", async () => {
  const levels = 100_000;
  const part = `${'{"type":"Sequence","normalizers":['.repeat(levels)}${"]}".repeat(levels)}`;
  const json = JSON.stringify({ model: bpe, normalizer: "@" }).replace('"@"', part);
  const loading = tokenizerFromFiles(async (name) => (name === "tokenizer.json" ? json : undefined));
  await expect(loading).rejects.toThrow(/tokenizer\.json: normalizer.* is nested too deeply/);
});

describe("long texts", () => {
  it("of white space, marks and one letter take no quadratic time", async () => {
    const tokenizer = await load({
      normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Strip" }] },
      post_processor: { type: "ByteLevel" },
      added_tokens: [{ id: 0, content: "<unk>", lstrip: true, rstrip: true, special: true }],
    });
    for (const text of [`x${" ".repeat(200_000)}x`, "\u0301".repeat(50_000), `${" <unk>".repeat(20_000)}`]) {
      expect(tokenizer(text).inputIds[0]?.length).toBeGreaterThan(10_000);
    }
  });

  it("meet a vocabulary with a token of a million characters", async () => {
    const model = {
      type: "Unigram",
      unk_id: 0,
      vocab: [
        ["<unk>", 0],
        ["a", -1],
        ["b", -1],
        ["a".repeat(1_000_000), -1],
      ],
    };
    const tokenizer = await load({ model });
    expect(tokenizer("ab".repeat(10_000)).inputIds[0]).toHaveLength(20_000);
    const long = { ...model, vocab: [...model.vocab, ["ab".repeat(40), -1]] };
    expect((await load({ model: long }))(`${"ab".repeat(40)}a`).inputIds).toEqual([[4, 1]]);
  });
});

describe("characters of private use in a user's text", () => {
  it("are its own, in templates and out of them", async () => {
    const text = "a\uf8f1b\uf8f0c";
    const tokenizer = await load({}, { eos_token: "<unk>" });
    expect(tokenizer.decode(tokenizer(text).inputIds[0] ?? []).replaceAll(" ", "")).toBe(text);
    const chatTemplate =
      "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}.{% endfor %}";
    const messages = [{ role: "assistant", content: text }];
    expect(tokenizer.applyChatTemplate(messages, { chatTemplate, tokenize: false })).toBe(`${text}.`);
    const { inputIds, assistantMask } = tokenizer.applyChatTemplate(messages, {
      chatTemplate,
      returnAssistantMask: true,
    });
    expect(inputIds[0]?.map((id) => tokenizer.convertIdsToTokens(id))).toEqual([
      "a",
      "\uf8f1",
      "b",
      "\uf8f0",
      "c",
      "<unk>",
    ]);
    expect(assistantMask).toEqual([[1, 1, 1, 1, 1, 0]]);
  });
});
