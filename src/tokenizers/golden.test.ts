import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ChatMessage } from "./chat.js";
import type { EncodeOptions } from "./encode.js";
import { tokenizerFromFiles } from "./files.js";
import { align } from "./pipeline/aligned.js";
import { readDecoder } from "./pipeline/decoders.js";
import type { Json } from "./pipeline/json.js";
import { readNormalizer } from "./pipeline/normalizers.js";
import { readPreTokenizer } from "./pipeline/pre_tokenizers.js";
import type { Tokenizer } from "./tokenizer.js";

/**
 * What Python gave: tools/golden/tokenizer.py. GOLDEN names another file of the same form, with more
 * strings.
 */
const path = process.env["GOLDEN"] ?? "tests/golden/tokenizers.json";
const golden = JSON.parse(readFileSync(path, "utf8"));
const { parts, options: optionRows } = JSON.parse(readFileSync(path.replace(".json", "_parts.json"), "utf8"));
const strings: string[] = golden.strings;
const kinds = ["byte-bpe", "unigram", "wordpiece", "byte-fallback"];

function load(kind: string): Promise<Tokenizer> {
  const folder = `tests/kit/tokenizers/${kind}`;
  return tokenizerFromFiles(async (name) =>
    existsSync(`${folder}/${name}`) ? readFileSync(`${folder}/${name}`, "utf8") : undefined,
  );
}

/** Collects what differs, so that one failure shows them all. */
function differences<T>(
  rows: readonly T[],
  compare: (row: T) => { of: unknown; got: unknown; want: unknown },
): unknown[] {
  return rows.map(compare).filter(({ got, want }) => JSON.stringify(got) !== JSON.stringify(want));
}

describe("each kind of tokenizer on awkward strings", () => {
  it.each(kinds)("%s gives Python's ids, offsets and decoded text", async (kind) => {
    const tokenizer = await load(kind);
    const rows: [number[], number[], string, string][] = golden.whole[kind];
    expect(rows.length).toBeGreaterThanOrEqual(100);
    const wrong = differences(
      rows.map((row, i) => ({ row, text: strings[i]! })),
      ({ row: [ids, offsets, skipped, decoded], text }) => {
        const got = tokenizer(text, { returnOffsets: true });
        return {
          of: text,
          got: [
            got.inputIds[0],
            got.offsets![0]!.flat(),
            tokenizer.decode(ids, { skipSpecialTokens: true }),
            tokenizer.decode(ids),
          ],
          want: [ids, offsets, skipped, decoded],
        };
      },
    );
    expect(wrong).toEqual([]);
  });
});

type Part = { name: string; config: Json; rows: [unknown, unknown][] };

describe("parts on their own", () => {
  it.each(parts.normalizers as Part[])("normalizer $name", ({ config, rows }) => {
    const normalize = readNormalizer(config, "normalizer");
    const wrong = differences(
      rows.map(([text, offsets], i) => ({ text, offsets, string: strings[i]! })),
      ({ text, offsets, string }) => {
        const a = normalize(align(string));
        const spans: number[] = [];
        let unit = 0;
        for (const char of a.text) {
          spans.push(a.starts[unit]!, a.ends[unit]!);
          unit += char.length;
        }
        return { of: string, got: [a.text, spans], want: [text, offsets] };
      },
    );
    expect(wrong).toEqual([]);
  });

  it.each(parts.preTokenizers as Part[])("pre-tokenizer $name", ({ config, rows }) => {
    const preTokenize = readPreTokenizer(config, "pre_tokenizer");
    const wrong = differences(
      rows.map(([pieces, offsets], i) => ({ pieces, offsets, string: strings[i]! })),
      ({ pieces, offsets, string }) => {
        const got = preTokenize([align(string)]);
        return {
          of: string,
          got: [got.map((a) => a.text), got.flatMap((a) => [a.starts[0]!, a.ends.at(-1)!])],
          want: [pieces, offsets],
        };
      },
    );
    expect(wrong).toEqual([]);
  });

  it.each(parts.decoders as Part[])("decoder $name", ({ config, rows }) => {
    const decode = readDecoder(config, "decoder");
    const wrong = differences(rows, ([tokens, want]) => ({
      of: tokens,
      got: decode(tokens as string[]).join(""),
      want,
    }));
    expect(wrong).toEqual([]);
  });
});

describe("options", () => {
  type Row = [string, Json, string | string[], string | string[] | null, Json | null];
  it.each(["wordpiece", "byte-fallback"])("%s pads, truncates and pairs as Python does", async (kind) => {
    const tokenizer = await load(kind);
    if (tokenizer.padToken === undefined) tokenizer.padToken = tokenizer.eosToken;
    const rows = (optionRows as Row[]).filter(([of]) => of === kind);
    const wrong = differences(rows, ([, option, texts, pairs, want]) => {
      const camel = Object.fromEntries(
        Object.entries(option).map(([key, value]) => [
          key.replace(/_(.)/g, (_, c) => c.toUpperCase()),
          value,
        ]),
      );
      const options: EncodeOptions = { ...camel, returnOffsets: true, returnTokenTypeIds: true };
      let got: unknown = null;
      try {
        const x = tokenizer(texts, pairs === null ? options : { ...options, textPair: pairs });
        const offsets =
          want?.["offsets"] === undefined ? {} : { offsets: x.offsets!.map((row) => row.flat()) };
        const types = x.tokenTypeIds!.map((row) => row.join(""));
        got = { ids: x.inputIds, mask: x.attentionMask.map((row) => row.join("")), types, ...offsets };
      } catch (error) {
        if ((error as { code?: string }).code !== "option") throw error;
      }
      return { of: [option, texts, pairs], got, want };
    });
    expect(wrong).toEqual([]);
  });
});

type Legacy = {
  config: Json | null;
  model: Json;
  rows: [number[], number[], string][];
  pair: [number[], number[]];
  keys: string[];
  length: number;
  vocabSize: number;
  special: Record<string, number | null>;
  paddingSide: string;
  modelMaxLength: number;
};

describe("folders without tokenizer.json", () => {
  const cases = Object.entries(golden.legacy.cases as Record<string, Legacy>);
  it.each(cases)("%s", async (_name, want) => {
    const tokenizer = await tokenizerFromFiles(legacyFiles(want.config, want.model));
    const texts: string[] = golden.legacy.texts;
    const wrong = differences(
      want.rows.map((row, i) => ({ row, text: texts[i]! })),
      ({ row: [ids, offsets, decoded], text }) => {
        const x = tokenizer(text, { returnOffsets: true });
        const back = tokenizer.decode(ids, { skipSpecialTokens: true });
        return { of: text, got: [x.inputIds[0], x.offsets![0]!.flat(), back], want: [ids, offsets, decoded] };
      },
    );
    expect(wrong).toEqual([]);
    const pair = tokenizer("first part", { textPair: "second part", returnTokenTypeIds: true });
    expect([pair.inputIds[0], pair.tokenTypeIds![0]]).toEqual(want.pair);
    expect("tokenTypeIds" in tokenizer("a")).toBe(want.keys.includes("token_type_ids"));
    for (const key of ["length", "vocabSize", "paddingSide", "modelMaxLength"] as const) {
      expect([key, tokenizer[key]]).toEqual([key, want[key]]);
    }
    for (const [name, id] of Object.entries(want.special)) {
      expect([name, tokenizer[`${name as "bos"}TokenId`] ?? null]).toEqual([name, id]);
    }
  });
});

/** The files that an old repository has, made from the kit's tokenizer.json as the script makes them. */
function legacyFiles(config: Json | null, model: Json): (name: string) => Promise<string | undefined> {
  const read = (kind: string) =>
    JSON.parse(readFileSync(`tests/kit/tokenizers/${kind}/tokenizer.json`, "utf8")).model;
  const files: Record<string, string> = { "config.json": JSON.stringify(model) };
  if (config) files["tokenizer_config.json"] = JSON.stringify(config);
  if (model["model_type"] === "bert") {
    const vocab = Object.entries(read("wordpiece").vocab as Record<string, number>);
    files["vocab.txt"] = vocab
      .sort((a, b) => a[1] - b[1])
      .map(([token]) => `${token}\n`)
      .join("");
  } else {
    const { vocab, merges } = read("byte-bpe") as { vocab: Json; merges: (string | string[])[] };
    files["vocab.json"] = JSON.stringify(vocab);
    const lines = merges.map((merge) => (typeof merge === "string" ? merge : merge.join(" ")));
    files["merges.txt"] = ["#version: 0.2", ...lines, ""].join("\n");
  }
  return async (name) => files[name];
}

describe("chat templates", () => {
  type Row = { name: string; system: boolean; options: Json; text: string; ids?: number[]; mask?: number[] };
  const { templates, chat, system, rows } = golden.chats;
  it.each(rows as Row[])("$name, system $system, $options", async (row) => {
    const tokenizer = await load("byte-fallback");
    const messages: ChatMessage[] = row.system ? [system, ...chat] : chat;
    const options = {
      chatTemplate: templates[row.name] as string,
      now: new Date(2024, 2, 5),
      addGenerationPrompt: row.options["add_generation_prompt"] === true,
      ...(Array.isArray(row.options["tools"]) ? { tools: row.options["tools"] } : {}),
    };
    expect(tokenizer.applyChatTemplate(messages, { ...options, tokenize: false })).toBe(row.text);
    if (!row.ids) return;
    const returnAssistantMask = row.mask !== undefined;
    const encoding = tokenizer.applyChatTemplate(messages, { ...options, returnAssistantMask });
    expect(encoding.inputIds).toEqual([row.ids]);
    expect(encoding.assistantMask?.[0]).toEqual(row.mask);
  });
});
