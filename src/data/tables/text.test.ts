import { describe, expect, it } from "vitest";
import { loadDataset } from "../load.js";

const latin = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const utf16 = (text: string, isBig = false): Uint8Array => {
  const bytes = new Uint8Array(text.length * 2);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), !isBig);
  return bytes;
};
const csv = "text,label\ncafé,a\n";

function load(bytes: Uint8Array, encoding?: string, file = "a.csv"): Promise<unknown> {
  const reader = {
    size: async () => bytes.length,
    read: async (_: string, offset: number, length: number) => bytes.slice(offset, offset + length),
  };
  return loadDataset(file, { reader, kind: "text", warn: () => {}, ...(encoding ? { encoding } : {}) });
}

describe("files that are not in UTF-8", () => {
  it.each([
    [
      "Latin-1",
      latin(csv),
      /1 line not in UTF-8: a.csv line 2: byte 0xE9 after "caf".*Latin-1.*encoding: "latin1"/,
    ],
    ["cp1252", latin("text\nit\x92s\n"), /line 2: byte 0x92 after "it".*windows-1252/],
    ["Cyrillic", latin("text\n\xcf\xf0\xe8\xe2\xe5\xf2\n"), /another script, such as windows-1251/],
    ["UTF-16 with a mark", utf16(`\ufeff${csv}`), /line 1: not UTF-8.*byte order mark.*encoding: "utf-16"/],
    ["UTF-16, big end first", utf16(`\ufeff${csv}`, true), /encoding: "utf-16be"/],
    ["UTF-16 without a mark", utf16(csv), /UTF-16LE without a byte order mark/],
    ["gzip", Uint8Array.of(0x1f, 0x8b, 8, 0), /begins as gzip does/],
    ["Parquet", latin("PAR1...."), /seems to be Parquet.*format: "parquet"/],
    ["a zip", latin("PK\x03\x04..."), /a zip archive/],
  ])("%s is named", async (_name, bytes, says) => {
    await expect(load(bytes)).rejects.toThrow(says);
  });

  it.each(["a.csv", "a.jsonl", "a.json", "a.parquet"])("what stands in for %s is said", async (file) => {
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"4d".repeat(32)}\nsize 538090408\n`;
    await expect(load(latin(pointer), undefined, file)).rejects.toThrow(
      `"${file}" is a Git LFS pointer, not the file.`,
    );
    await expect(load(latin("<!DOCTYPE html><title>Sign in</title>"), undefined, file)).rejects.toThrow(
      `"${file}" is a web page ("Sign in"), not the file.`,
    );
  });

  it("names the line of a JSONL file behind its first piece, and says that the rest is UTF-8", async () => {
    const good = new TextEncoder().encode(`{"text": "${"é".repeat(1000)}"}\n`.repeat(3000));
    const bytes = new Uint8Array(good.length + 16);
    bytes.set(good);
    bytes.set(latin('{"text": "caf\xe9"}'), good.length);
    await expect(load(bytes, undefined, "a.jsonl")).rejects.toThrow(
      /a.jsonl line 3001: byte 0xE9 after .*the rest of the file is UTF-8/,
    );
  });

  it.each([
    ["latin1", latin(csv)],
    ["latin-1", latin(csv)],
    ["cp1252", latin(csv)],
    ["utf-16", utf16(`\ufeff${csv}`)],
    ["utf-16", utf16(`\ufeff${csv}`, true)],
    ["UTF_16LE", utf16(csv)],
    ["utf-8-sig", new TextEncoder().encode(`\ufeff${csv}`)],
  ])("%s is read", async (encoding, bytes) => {
    expect(await load(bytes, encoding)).toMatchObject([{ text: "café" }]);
  });

  it("refuses an encoding that nobody knows, and one that the file does not have", async () => {
    await expect(load(latin(csv), "latin9000")).rejects.toThrow('Unknown encoding "latin9000"');
    await expect(load(latin(csv), "utf-8")).rejects.toThrow("1 line not in utf-8: a.csv line 2");
  });
});
