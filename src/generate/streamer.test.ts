import { describe, expect, it } from "vitest";
import { collectAll } from "../../tests/golden/hashed_model.js";
import type { TokenDecoder } from "./stepper.js";
import { streamText, TextStreamer, type TextStreamerOptions } from "./streamer.js";

/**
 * Every token is a byte of UTF-8; broken ones decode as U+FFFD, as byte-level tokenizers do. 0 is special.
 */
const bytes: TokenDecoder = {
  decode: (ids, { skipSpecialTokens = false } = {}) =>
    new TextDecoder().decode(Uint8Array.from(skipSpecialTokens ? ids.filter((id) => id !== 0) : ids)),
};
/** Words with a space in front, which the beginning of a text loses, as SentencePiece tokenizers do. */
const words: TokenDecoder = {
  decode: (ids) =>
    ids
      .map((id) => `▁w${id}`)
      .join("")
      .replaceAll("▁", " ")
      .trimStart(),
};

async function pieces(
  tokenizer: TokenDecoder,
  ids: Iterable<number>,
  stops: string[] = [],
  options: TextStreamerOptions = {},
): Promise<string[]> {
  const stream = new TextStreamer(tokenizer, options);
  stream.begin(stops);
  for (const id of ids) stream.put(Int32Array.of(id));
  stream.end();
  return collectAll(stream);
}
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("TextStreamer", () => {
  it("never cuts a character", async () => {
    const text = "aé€😀語z";
    expect(await pieces(bytes, utf8(text))).toEqual(["a", "é", "€", "😀", "語", "z"]);
  });

  it("keeps spaces between words and loses the first as the whole text does", async () => {
    expect(await pieces(words, [1, 2, 3])).toEqual(["w1", " w2", " w3"]);
  });

  it("passes broken bytes on in the end, or after waiting long enough", async () => {
    expect((await pieces(bytes, [97, 0xe2, 0x82])).join("")).toBe("a\ufffd");
    const long = await pieces(bytes, new Array<number>(40).fill(0x80));
    expect(long.join("")).toBe("\ufffd".repeat(40));
    expect(long.length).toBeGreaterThan(1);
  });

  it("leaves special tokens out, or not", async () => {
    expect((await pieces(bytes, [97, 0, 98])).join("")).toBe("ab");
    expect((await pieces(bytes, [97, 0, 98], [], { skipSpecialTokens: false })).join("")).toBe("a\0b");
  });

  it("ends before a stop string, having held back its beginning", async () => {
    expect(await pieces(bytes, utf8("one<x <end> two"), ["<end>"])).toEqual(["o", "n", "e", "<x", " "]);
    expect((await pieces(bytes, utf8("one<end>"), ["<end>"], { keepStop: true })).join("")).toBe("one<end>");
    expect((await pieces(bytes, utf8("one<en"), ["<end>", "zzz"])).join("")).toBe("one<en");
    expect((await pieces(bytes, utf8("a b"), ["b", " "])).join("")).toBe("a");
  });

  it("gives pieces while the answer is being made", async () => {
    const stream = new TextStreamer(bytes);
    const first = stream[Symbol.asyncIterator]().next();
    stream.put(Int32Array.of(97));
    expect(await first).toEqual({ value: "a", done: false });
  });
});

describe("streamText", () => {
  it("throws what the generation throws, after the text", async () => {
    const seen: string[] = [];
    const failing = async (stream: TextStreamer): Promise<void> => {
      stream.put(Int32Array.of(97));
      throw new Error("broken");
    };
    const read = async (): Promise<void> => {
      for await (const piece of streamText(bytes, failing)) seen.push(piece);
    };
    await expect(read()).rejects.toThrow("broken");
    expect(seen).toEqual(["a"]);
  });

  it("stops the generation when its reader leaves", async () => {
    let signal: AbortSignal | undefined;
    const endless = async (stream: TextStreamer, given: AbortSignal): Promise<void> => {
      signal = given;
      while (!given.aborted) {
        stream.put(Int32Array.of(97));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    for await (const _ of streamText(bytes, endless)) break;
    expect(signal?.aborted).toBe(true);
  });
});
