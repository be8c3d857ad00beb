import { describe, expect, it } from "vitest";
import {
  decoderStartToken,
  formatGenerationConfig,
  mergeGeneration,
  parseGenerationConfig,
} from "./config.js";
import { resolveGeneration } from "./resolve.js";

const context = { promptLength: 4, vocabSize: 100 };

describe("generation settings", () => {
  it("reads the names of the file, leaves null and foreign keys out, and writes them back", () => {
    const file = { max_new_tokens: 7, eos_token_id: [1, 2], top_k: null, use_cache: true, min_p: 0.1 };
    const { config, unsupported } = parseGenerationConfig(file);
    expect(config).toEqual({ maxNewTokens: 7, eosTokenId: [1, 2], minP: 0.1 });
    expect(unsupported).toEqual([]);
    expect(formatGenerationConfig(config)).toEqual({ max_new_tokens: 7, eos_token_id: [1, 2], min_p: 0.1 });
  });

  it("names keys that would change the result, but not where they are neutral", () => {
    const file = {
      encoder_no_repeat_ngram_size: 3,
      epsilon_cutoff: 0,
      guidance_scale: 1,
      sequence_bias: null,
    };
    expect(parseGenerationConfig(file).unsupported).toEqual(["encoder_no_repeat_ngram_size: 3"]);
  });

  it("lets the call win over the file, undefined say nothing and null say none", () => {
    const file = { eosTokenId: 2, padTokenId: 0, numBeams: 3 };
    const merged = mergeGeneration({ eosTokenId: null, numBeams: undefined, topK: 5 }, file);
    expect(merged).toEqual({ eosTokenId: null, padTokenId: 0, numBeams: 3, topK: 5 });
    expect(resolveGeneration(merged, context)).toMatchObject({ eos: [], pad: 0, numBeams: 3, topK: 5 });
  });

  it("has transformers' defaults: 20 new tokens, top-k 50 when sampling, greedy else", () => {
    const decoding = resolveGeneration({}, context);
    expect(decoding).toMatchObject({
      maxLength: 24,
      topK: 50,
      doSample: false,
      numBeams: 1,
      lengthPenalty: 1,
    });
    expect(resolveGeneration({}, { ...context, maxPositions: 10 }).maxLength).toBe(10);
  });

  it("lets new-token counts win over lengths", () => {
    const both = { maxLength: 9, maxNewTokens: 10, minLength: 1, minNewTokens: 2 };
    expect(resolveGeneration(both, context)).toMatchObject({ maxLength: 14, minLength: 6 });
    expect(resolveGeneration({ maxLength: 9, minLength: 5 }, context)).toMatchObject({
      maxLength: 9,
      minLength: 5,
    });
  });

  it("pads with the first end token where there is no padding token", () => {
    expect(resolveGeneration({ eosTokenId: [7, 8] }, context)).toMatchObject({ eos: [7, 8], pad: 7 });
    expect(resolveGeneration({ eosTokenId: 7, padTokenId: -1 }, context).pad).toBe(7);
  });

  it("starts a decoder with its start token, else the beginning token", () => {
    expect(decoderStartToken({ decoderStartTokenId: 0, bosTokenId: 1 })).toBe(0);
    expect(decoderStartToken({ bosTokenId: 1 })).toBe(1);
    expect(decoderStartToken({})).toBeUndefined();
  });
});

describe("numbers of a model's file", () => {
  it.each([
    ["num_beams", 1e9, /"generation_config.json" has "num_beams": 1000000000.*from 1 to 1000.*numBeams/s],
    ["num_return_sequences", 1e6, /"num_return_sequences" must be a whole number, from 1 to 1000/],
    ["max_new_tokens", 1e12, /"max_new_tokens" must be a whole number, from 1 to 1048576/],
    ["max_new_tokens", "5", /has "max_new_tokens": "5"/],
    ["repetition_penalty", "2", /"repetition_penalty" must be a number, above 0/],
    ["bad_words_ids", [[]], /has "bad_words_ids": \[\[\]\]/],
    ["pad_token_id", 100, /has "pad_token_id": \[100\].*tokens 0 to 99/s],
  ])("are bounded, and named as the file has them: %s", (key, value, message) => {
    const { config } = parseGenerationConfig({ [key]: value });
    expect(() => resolveGeneration(config, { ...context, given: {} })).toThrow(message);
  });

  it("do not matter where the call says otherwise", () => {
    const { config } = parseGenerationConfig({ num_beams: 1e9, max_length: 1e12 });
    const given = { numBeams: 2, maxNewTokens: 5 };
    const merged = mergeGeneration(given, config);
    expect(resolveGeneration(merged, { ...context, given })).toMatchObject({ numBeams: 2, maxLength: 9 });
    expect(() => resolveGeneration({ ...merged, numBeams: 0 }, { ...context, given })).toThrow(/numBeams: 0/);
  });
});
