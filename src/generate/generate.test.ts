import { describe, expect, it } from "vitest";
import { type Calls, collectAll, hashedStepper } from "../../tests/golden/hashed_model.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig } from "./config.js";
import { generate } from "./generate.js";
import type { MakeStepper, TokenDecoder } from "./stepper.js";
import { TextStreamer } from "./streamer.js";

const VOCAB = 32;
const letters: TokenDecoder = { decode: (ids) => ids.map((id) => String.fromCharCode(97 + id)).join("") };
const newCalls = (): Calls => ({ started: 0, steps: 0, ended: 0, expand: 0 });
const prompt = (...ids: number[][]) => ({ ids, isEncoderDecoder: false });
const run = (ids: number[][], config: GenerationConfig, options = {}) =>
  generate(hashedStepper(ids, VOCAB), prompt(...ids), config, options);

describe("sampling", () => {
  it("depends on the seed alone", async () => {
    const config = { doSample: true, maxNewTokens: 30 };
    const [a, b, c] = await Promise.all([1, 1, 2].map((seed) => run([[5, 6]], config, { seed })));
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  it("gives each returned sequence its own draws, prompts interleaved", async () => {
    const config = { doSample: true, maxNewTokens: 12, numReturnSequences: 3 };
    const { sequences } = await run([[5], [6]], config);
    expect(sequences.map((row) => row[0])).toEqual([5, 5, 5, 6, 6, 6]);
    expect(new Set(sequences.map(String)).size).toBe(6);
  });

  it("draws tokens as often as their probabilities say", async () => {
    const probabilities = [0.5, 0.25, 0.125, 0.1, 0.025];
    const flat: MakeStepper = async (rows) => {
      const scores = () => Float32Array.from({ length: rows * 5 }, (_, i) => Math.log(probabilities[i % 5]!));
      return { vocabSize: 5, start: async () => scores(), next: async () => scores(), end: async () => {} };
    };
    const config = { doSample: true, topK: 0, maxNewTokens: 200, numReturnSequences: 100 };
    const { sequences } = await generate(flat, prompt([0]), config, { seed: 3 });
    const counts = [0, 0, 0, 0, 0];
    for (const row of sequences) for (const id of row.subarray(1)) counts[id]!++;
    const chiSquare = probabilities
      .map((p, i) => (counts[i]! - p * 20000) ** 2 / (p * 20000))
      .reduce((sum, x) => sum + x);
    expect(chiSquare).toBeLessThan(18.5); // 4 degrees of freedom: exceeded once in a thousand seeds
    expect(chiSquare).toBeGreaterThan(0.05); // suspiciously even otherwise
  });

  it("samples in beams, by the seed, within the beams' vocabulary", async () => {
    const config = { doSample: true, numBeams: 3, numReturnSequences: 3, maxNewTokens: 8, topK: 0 };
    const [a, b, c] = await Promise.all([1, 1, 2].map((seed) => run([[5, 6]], config, { seed })));
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
    const scores = [...a!.scores!];
    expect(scores).toEqual([...scores].sort((x, y) => y - x));
  });
});

describe("one call", () => {
  it("expands by beams, runs no step after the last token, and frees the caches", async () => {
    const calls = newCalls();
    await generate(hashedStepper([[1]], VOCAB, calls), prompt([1]), { numBeams: 4, maxNewTokens: 3 });
    expect(calls).toEqual({ started: 1, steps: 2, ended: 1, expand: 4 });
  });

  it("stops between tokens when aborted, and still frees the caches", async () => {
    const calls = newCalls();
    const control = new AbortController();
    const seen: number[] = [];
    const streamer = {
      begin: () => {},
      put: (tokens: Int32Array) => {
        seen.push(...tokens);
        if (seen.length === 3) control.abort();
      },
      end: () => seen.push(-1),
    };
    const options = { streamer, signal: control.signal };
    const answer = generate(hashedStepper([[1]], VOCAB, calls), prompt([1]), { maxNewTokens: 50 }, options);
    await expect(answer).rejects.toMatchObject({ code: "aborted" });
    expect(seen.length).toBe(4);
    expect(seen.at(-1)).toBe(-1);
    expect(calls.ended).toBe(1);
  });

  it("cuts at the token that completes a stop string, wherever it began", async () => {
    const free = (await run([[5, 6]], { maxNewTokens: 10 })).sequences[0]!;
    const text = letters.decode([...free]);
    const stop = text.slice(4, 6);
    const cut = (await run([[5, 6]], { maxNewTokens: 10, stopStrings: stop }, { tokenizer: letters }))
      .sequences[0]!;
    expect(letters.decode([...cut])).toBe(text.slice(0, text.indexOf(stop, 1) + 2));
    const astride = text.slice(1, 3); // begins in the prompt
    const short = await run([[5, 6]], { maxNewTokens: 10, stopStrings: [astride] }, { tokenizer: letters });
    expect(short.sequences[0]!.length).toBe(3);
    const inPrompt = await run([[5, 6]], { maxNewTokens: 4, stopStrings: ["fg"] }, { tokenizer: letters });
    expect(inPrompt.sequences[0]!.length).toBe(6);
  });

  it("streams the text that the answer holds", async () => {
    const stream = new TextStreamer(letters);
    const answer = run([[5, 6]], { maxNewTokens: 10 }, { streamer: stream });
    const pieces = await collectAll(stream);
    const text = letters.decode([...(await answer).sequences[0]!.subarray(2)]);
    expect(pieces.length).toBe(10);
    expect(pieces.join("")).toBe(text);
  });

  it("says so when the model gives NaN", async () => {
    const broken: MakeStepper = async () => {
      const scores = async () => Float32Array.of(1, Number.NaN);
      return { vocabSize: 2, start: scores, next: scores, end: async () => {} };
    };
    for (const config of [{}, { doSample: true }, { numBeams: 2 }]) {
      await expect(generate(broken, prompt([0]), config)).rejects.toThrow("NaN");
    }
  });
});

describe("bad input is refused before the model runs", () => {
  const refused: [string, GenerationConfig, object, string][] = [
    ["too small a number", { maxNewTokens: 0, numBeams: 1.5 }, {}, "maxNewTokens: 0. numBeams: 1.5."],
    ["sampling ranges", { doSample: true, temperature: 0, topP: 2, minP: -1 }, {}, "above 0 to sample"],
    ["an unknown name", { maxTokens: 5 } as GenerationConfig, {}, "maxTokens: 5."],
    ["several answers of greedy decoding", { numReturnSequences: 2 }, {}, "greedy decoding has one answer"],
    ["more answers than beams", { numReturnSequences: 4, numBeams: 2 }, {}, "numBeams is 2"],
    ["forced and suppressed", { forcedBosTokenId: 3, suppressTokens: [3] }, {}, "suppressTokens"],
    ["a prompt that fills the length", { maxLength: 2 }, {}, "nothing is left to generate"],
    ["tokens beyond the vocabulary", { padTokenId: 32, badWordsIds: [[1, 40]] }, {}, "tokens 0 to 31"],
    ["stop strings without tokenizer", { stopStrings: ["x"] }, {}, "without a tokenizer"],
    ["a stream of beams", { numBeams: 2 }, { streamer: new TextStreamer(letters) }, "numBeams: 2"],
    [
      "unknown keys of the file",
      {},
      { source: { file: "/m/g.json", unsupported: ["sequence_bias: []"] } },
      '"/m/g.json" has sequence_bias',
    ],
  ];
  it.each(refused)("%s", async (_name, config, options, message) => {
    const calls = newCalls();
    const answer = generate(hashedStepper([[1, 2]], VOCAB, calls), prompt([1, 2]), config, options);
    const error = await answer.catch((e: unknown) => e);
    expect(error).toBeInstanceOf(PeftError);
    expect(error).toMatchObject({ code: "generation" });
    expect((error as PeftError).message).toContain(message);
    expect(calls.started).toBe(0);
  });

  it.each([
    ["ragged prompts", { ids: [[1], [1, 2]] }],
    ["no prompt", { ids: [] }],
    ["padding on the right", { ids: [[1, 0]], mask: [[1, 0]] }],
    ["a mask of another shape", { ids: [[1, 2]], mask: [[1]] }],
  ])("%s", async (_name, wrong) => {
    const answer = generate(hashedStepper([[1]], VOCAB), { isEncoderDecoder: false, ...wrong }, {});
    await expect(answer).rejects.toMatchObject({ code: "generation" });
  });

  it("takes temperature 0 where nothing is sampled", async () => {
    const { sequences } = await run([[1]], { temperature: 0, maxNewTokens: 2 });
    expect(sequences[0]!.length).toBe(3);
  });
});
