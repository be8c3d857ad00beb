import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { AutoTokenizer } from "./auto.js";

const kit = "tests/kit/tokenizers";

type Expect = {
  strings: { text: string; ids: number[]; decoded: string }[];
  pair: { input_ids: number[]; attention_mask: number[] };
  truncated_to_6: number[];
  texts: string[];
  input_ids: number[][];
  generated: number[][];
  decoded: string[];
};

async function expected(kind: string): Promise<Expect> {
  return JSON.parse(await readFile(`${kit}/${kind}/expect.json`, "utf8"));
}

async function folderWith(files: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tokenizer-"));
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

describe("the kit", () => {
  it.each(["byte-bpe", "unigram", "wordpiece", "byte-fallback"])("%s", async (kind) => {
    const tokenizer = await AutoTokenizer.fromPretrained(`${kit}/${kind}`);
    const want = await expected(kind);
    const strings = want.strings;
    expect(strings).toHaveLength(20);
    for (const { text, ids, decoded } of strings) {
      expect(tokenizer(text).inputIds).toEqual([ids]);
      expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe(decoded);
    }
    const pair = tokenizer("first part", { textPair: "second part" });
    const { input_ids, attention_mask } = want.pair;
    expect([pair.inputIds, pair.attentionMask]).toEqual([[input_ids], [attention_mask]]);
    const cut = tokenizer(strings[4]!.text, { truncation: true, maxLength: 6 });
    expect([cut.inputIds[0], cut.truncated]).toEqual([want.truncated_to_6, 1]);
  });

  it("t5-text: a padded batch, and generated ids back to text", async () => {
    const tokenizer = await AutoTokenizer.fromPretrained(`${kit}/t5-text`);
    const want = await expected("t5-text");
    expect(tokenizer(want.texts, { padding: true }).inputIds).toEqual(want.input_ids);
    expect(tokenizer.batchDecode(want.generated, { skipSpecialTokens: true })).toEqual(want.decoded);
  });
});

describe("beside an adapter", () => {
  const base = `${kit}/byte-bpe`;
  const say = (tokenizer: Awaited<ReturnType<typeof AutoTokenizer.fromPretrained>>): string =>
    tokenizer.applyChatTemplate([{ role: "user", content: "a" }], { tokenize: false });

  it("a chat template alone is used with the base's tokenizer", async () => {
    const adapter = await folderWith({
      "adapter_config.json": "{}",
      "chat_template.jinja": "LF:{{ messages[0].content }}",
    });
    const tokenizer = await AutoTokenizer.fromPretrained(base, { adapter });
    expect(say(tokenizer)).toBe("LF:a");
    expect(tokenizer.encode("a b")).toEqual((await AutoTokenizer.fromPretrained(base)).encode("a b"));
  });

  it("a whole tokenizer is taken, and none of the base's", async () => {
    const files = ["tokenizer.json", "tokenizer_config.json"].map(async (name) => [
      name,
      await readFile(`${kit}/wordpiece/${name}`, "utf8"),
    ]);
    const adapter = await folderWith(Object.fromEntries(await Promise.all(files)));
    const tokenizer = await AutoTokenizer.fromPretrained(base, { adapter });
    expect(tokenizer.clsToken).toBe("[CLS]");
  });

  it("nothing is used where nothing lies", async () => {
    const adapter = await folderWith({ "adapter_config.json": "{}" });
    const tokenizer = await AutoTokenizer.fromPretrained(base, { adapter });
    expect(tokenizer.eosToken).toBe("</s>");
  });
});

describe("folders that will not do", () => {
  it("says that there is nothing", async () => {
    const folder = await folderWith({ "config.json": "{}" });
    await expect(AutoTokenizer.fromPretrained(folder)).rejects.toMatchObject({
      code: "tokenizer",
      what: `"${folder}/tokenizer.json" is not there.`,
    });
  });

  it("does not guess what an unknown class makes of vocab.json", async () => {
    const config = '{"tokenizer_class":"CLIPTokenizer"}';
    const folder = await folderWith({
      "tokenizer_config.json": config,
      "vocab.json": "{}",
      "merges.txt": "",
    });
    await expect(AutoTokenizer.fromPretrained(folder)).rejects.toMatchObject({
      code: "tokenizer",
      why: "how CLIPTokenizer uses these files is not known here.",
    });
  });

  it.each([
    ["broken JSON", "{", /tokenizer.json" is not valid JSON/],
    ["an unknown model", '{"model":{"type":"Magic"}}', /model "Magic" is unknown \(known: BPE/],
    [
      "an unknown normalizer",
      '{"model":{"type":"WordLevel","vocab":{"a":0}},"normalizer":{"type":"Odd"}}',
      /normalizer "Odd" is unknown/,
    ],
    [
      "an id that is no number",
      '{"model":{"type":"BPE","vocab":{"a":"0"},"merges":[]}}',
      /id of "a" must be/,
    ],
  ])("names the fault: %s", async (_name, text, what) => {
    const folder = await folderWith({ "tokenizer.json": text });
    await expect(AutoTokenizer.fromPretrained(folder)).rejects.toMatchObject({
      code: "tokenizer",
      what: expect.stringMatching(what),
    });
    await expect(AutoTokenizer.fromPretrained(folder)).rejects.toThrow(`"${folder}/tokenizer.json"`);
  });
});
