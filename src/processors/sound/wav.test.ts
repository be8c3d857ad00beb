import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { decode, loadAudio } from "./load.js";
import { mono } from "./recording.js";
import { readWav } from "./wav.js";

interface Written {
  code?: number;
  bits?: number;
  channels?: number;
  rate?: number;
  dataLength?: number;
  before?: number[];
}

/** A WAV file of these bytes. */
function wav(samples: readonly number[], written: Written = {}): Uint8Array {
  const { code = 1, bits = 16, channels = 1, rate = 16000, dataLength, before = [] } = written;
  const le = (x: number, bytes: number): number[] =>
    Array.from({ length: bytes }, (_, i) => Math.floor(x / 256 ** i) % 256);
  const text = (t: string): number[] => [...t].map((c) => c.charCodeAt(0));
  const size = (bits / 8) * channels;
  const format = [
    ...le(code, 2),
    ...le(channels, 2),
    ...le(rate, 4),
    ...le(rate * size, 4),
    ...le(size, 2),
    ...le(bits, 2),
  ];
  const chunk = (name: string, data: readonly number[], length = data.length): number[] => [
    ...[...text(name), ...le(length, 4), ...data],
    ...(data.length % 2 === 1 ? [0] : []),
  ];
  const body = [...text("WAVE"), ...before, ...chunk("fmt ", format), ...chunk("data", samples, dataLength)];
  return Uint8Array.from([...text("RIFF"), ...le(body.length, 4), ...body]);
}

const read = (bytes: Uint8Array): number[] => [...readWav(bytes, '"a.wav"').data];

describe("a WAV file", () => {
  it("of every format", () => {
    expect(read(wav([0, 128, 255], { bits: 8 }))).toEqual([-1, 0, 127 / 128]);
    expect(read(wav([0, 0x80, 0xff, 0x7f]))).toEqual([-1, Math.fround(32767 / 32768)]);
    expect(read(wav([0, 0, 0x80, 1, 0, 0], { bits: 24 }))).toEqual([-1, 2 ** -23]);
    expect(read(wav([0, 0, 0, 0x80], { bits: 32 }))).toEqual([-1]);
    expect(read(wav([0, 0, 0, 0x3f], { code: 3, bits: 32 }))).toEqual([0.5]);
    expect(read(wav([0, 0, 0, 0, 0, 0, 0xe0, 0xbf], { code: 3, bits: 64 }))).toEqual([-0.5]);
    // G.711: the codes of silence, and of the loudest samples.
    expect(read(wav([0xff, 0x00, 0x80], { code: 7, bits: 8 })).map((x) => x * 32768)).toEqual([
      0, -32124, 32124,
    ]);
    expect(read(wav([0xd5, 0x2a, 0xaa], { code: 6, bits: 8 })).map((x) => x * 32768)).toEqual([
      8, -32256, 32256,
    ]);
  });

  it("with other chunks, of odd length too, and a length that its writer did not know", () => {
    const junk = [0x6a, 0x75, 0x6e, 0x6b, 3, 0, 0, 0, 1, 2, 3, 0];
    expect(read(wav([0, 0x40], { before: junk }))).toEqual([0.5]);
    expect(read(wav([0, 0x40], { dataLength: 0xffffffff }))).toEqual([0.5]);
  });

  it("of several channels: their mean", () => {
    const stereo = readWav(wav([0, 0x40, 0, 0], { channels: 2 }), "a.wav");
    expect(stereo.channels).toBe(2);
    expect([...mono(stereo, "a.wav").array]).toEqual([0.25]);
  });

  it("that is wrong says how", () => {
    expect(() => read(wav([0, 0], { dataLength: 1000 }))).toThrow("it ends after 2 of 1000 bytes");
    expect(() => read(wav([0, 0], { channels: 0 }))).toThrow("0 channels");
    expect(() => read(wav([0, 0], { code: 17, bits: 4 }))).toThrow("format 17 with 4 bits");
    expect(() => read(wav([0, 0]).subarray(0, 20))).toThrow("the header of its samples has 0 bytes");
    expect(() => mono(readWav(wav([]), '"a.wav"'), '"a.wav"')).toThrow(
      '"a.wav" cannot be read. why: it has 0 samples',
    );
    expect(() => mono(readWav(wav([0, 0], { rate: 0 }), "x"), "x")).toThrow("sampling rate is 0");
  });
});

describe("loading sound", () => {
  it("of a path, bytes and samples, at the rate that is asked for", async () => {
    const bytes = wav(
      Array.from({ length: 1600 }, (_, i) => (i % 2 === 0 ? 0 : 0x20)),
      { rate: 8000 },
    );
    const path = join(mkdtempSync(join(tmpdir(), "peft-sound-")), "a.wav");
    writeFileSync(path, bytes);
    const loaded = await Promise.all(
      [path, bytes, { array: new Float32Array(800).fill(0.25), samplingRate: 8000 }].map((source) =>
        loadAudio(source),
      ),
    );
    for (const { array, samplingRate } of loaded) {
      expect([array.length, samplingRate]).toEqual([1600, 16000]);
      expect(array[800]).toBeCloseTo(0.25, 4);
    }
  });

  it("says what is wrong with a file", async () => {
    await expect(loadAudio("no.wav")).rejects.toThrow("no such file");
    await expect(decode(new Uint8Array(), '"a.mp3"')).rejects.toThrow("it is empty");
    await expect(decode(new Uint8Array(64), '"a.mp3"')).rejects.toThrow('"a.mp3" cannot be read');
  });
});
