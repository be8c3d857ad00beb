import { describe, expect, it } from "vitest";
import { rowInput, tokenInput } from "../graph/inputs.js";
import { specOf } from "../peft/spec.js";
import type { Inputs, TextBatch } from "./feeds.js";
import { batchPlaces, checkBatch, forwardFeeds, lengthsOf } from "./feeds.js";
import type { ModelSpec } from "./write.js";
import { takeInventory } from "./write.js";

const bert = specOf(
  {
    ...{ model_type: "bert", vocab_size: 30, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2 },
    ...{ intermediate_size: 8, max_position_embeddings: 6 },
  },
  "SEQ_CLS",
);
const t5 = specOf(
  {
    ...{ model_type: "t5", vocab_size: 30, d_model: 8, d_kv: 4, d_ff: 8, num_layers: 1, num_heads: 2 },
    ...{ pad_token_id: 0, decoder_start_token_id: 2 },
  },
  "SEQ_2_SEQ_LM",
);

const ids = (...rows: number[][]) => ({
  data: Int32Array.from(rows.flat()),
  shape: [rows.length, rows[0]!.length] as const,
});
const none = { input: 0, cache: 0 };
const text = { inputIds: ids([5, 6, 7], [8, 9, 0]), attentionMask: ids([1, 1, 1], [1, 1, 0]) };
const batch: Inputs = { task: "SEQ_CLS", ...text };

/** The numbers that inputs are fed, by their names. */
const numbers = (spec: ModelSpec, batch: Inputs, virtual = none): Record<string, number[]> =>
  Object.fromEntries(
    Object.entries(forwardFeeds(spec, batch, virtual)).map(([name, { data }]) => [name, [...data]]),
  );

describe("forwardFeeds", () => {
  it("feeds text, with virtual tokens before it", () => {
    const feeds = numbers(bert, { ...batch, tokenTypeIds: ids([0, 1, 1], [1, 1, 1]) } as TextBatch, {
      input: 2,
      cache: 1,
    });
    expect(feeds).toEqual({
      inputIds: [5, 6, 7, 8, 9, 0],
      attentionMask: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
      positionIds: [1, 2, 3, 4, 5, 1, 2, 3, 4, 5],
      tokenTypeIds: [0, 0, 0, 1, 1, 0, 0, 1, 1, 1],
    });
  });

  it("types of a batch without them are zeros", () => {
    expect(numbers(bert, batch)["tokenTypeIds"]).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it("a decoder reads labels moved right, and a prefix stands before it alone", () => {
    const labels = ids([11, 12, 1], [13, 1, -100]);
    const feeds = numbers(t5, { task: "SEQ_2_SEQ_LM", ...text, labels } as TextBatch, { input: 0, cache: 2 });
    expect(feeds["decoderInputIds"]).toEqual([2, 11, 12, 2, 13, 1]);
    expect(feeds["decoderAttentionMask"]).toEqual(new Array(10).fill(1));
    expect(feeds["decoderPositionIds"]).toEqual([2, 3, 4, 2, 3, 4]);
    expect(feeds["attentionMask"]).toEqual([1, 1, 1, 1, 1, 0]);
    expect(feeds["positionIds"]).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it("feeds inputs of other kinds from the columns", () => {
    const architecture = {
      ...bert.architecture,
      inputs: { boxes: tokenInput("boxes", "f32", [2]), when: rowInput("when", "i64", []) },
    } as unknown as ModelSpec["architecture"];
    const columns = {
      boxes: { data: Float32Array.of(1, 2, 3, 4), shape: [1, 2, 2] },
      when: { data: Int32Array.of(9), shape: [1, 1] },
    };
    const feeds = forwardFeeds(
      { ...bert, architecture },
      { task: "SEQ_CLS", columns },
      { input: 1, cache: 0 },
    );
    expect(feeds["boxes"]).toEqual({
      dtype: "f32",
      shape: [1, 3, 2],
      data: Float32Array.of(0, 0, 1, 2, 3, 4),
    });
    expect(feeds["when"]).toEqual({ dtype: "i64", shape: [1], data: Int32Array.of(9) });
  });
});

describe("lengthsOf", () => {
  it("tells those of both stacks", () => {
    const labels = ids([11, 12], [13, 1]);
    const lengths = lengthsOf(t5, { task: "SEQ_2_SEQ_LM", ...text, labels } as TextBatch, {
      input: 3,
      cache: 2,
    });
    expect(lengths).toEqual({
      stack: { batch: 2, length: 3, virtual: 3, past: 0 },
      decoder: { batch: 2, length: 2, virtual: 0, past: 2 },
    });
  });
});

describe("checkBatch", () => {
  const check = (spec: ModelSpec, batch: Inputs, virtual = none): Map<string, number> =>
    checkBatch({ spec, inventory: takeInventory(spec) }, batch, virtual);

  it("tells the lengths of the dimensions", () => {
    expect([...check(bert, batch)]).toEqual([
      ["batch", 2],
      ["seq", 3],
    ]);
    const labels = ids([11, 12], [13, 1]);
    expect([...check(t5, { task: "SEQ_2_SEQ_LM", ...text, labels } as TextBatch)]).toEqual([
      ["batch", 2],
      ["seq", 3],
      ["target", 2],
    ]);
  });

  it.each([
    ["no mask", { attentionMask: undefined }, /it has no attentionMask \(1 where there is a token\)/],
    ["a mask of another form", { attentionMask: ids([1, 1]) }, /attentionMask \[1,2\] is not \[2,3\]/],
    [
      "unknown tokens",
      { inputIds: ids([5, 6, 30], [1, 1, 1]) },
      /token id 30 is beyond the vocabulary of 30/,
    ],
    ["another task", { task: "TOKEN_CLS" }, /it is a batch for TOKEN_CLS, the model is for SEQ_CLS/],
    ["types of another form", { tokenTypeIds: ids([1], [1]) }, /tokenTypeIds \[2,1\] is not \[2,3\]/],
  ])("refuses %s", (_, change, message) => {
    expect(() => check(bert, { ...batch, ...change } as Inputs)).toThrow(message);
  });

  it("refuses what a decoder cannot read, and more tokens than there are positions", () => {
    expect(() => check(t5, { task: "SEQ_2_SEQ_LM", ...text })).toThrow(
      /no decoderInputIds \(what the decoder/,
    );
    expect(() => check(bert, batch, { input: 4, cache: 0 })).toThrow(/7 tokens long .* of 6 positions/);
  });
});

describe("batchPlaces", () => {
  it("keeps tokens, and what a pooler reads though it is padding", () => {
    const left = { ...batch, attentionMask: ids([1, 1, 1], [0, 0, 1]) } as Inputs;
    expect([...batchPlaces(bert, left, none, false).input.kept]).toEqual([0, 1, 2, 3, 5]);
    expect([...batchPlaces(bert, left, { input: 1, cache: 0 }, false).input.kept]).toEqual([
      0, 1, 2, 3, 4, 5, 7,
    ]);
  });

  it("leaves out what a decoder reads behind the last label, unless its logits are asked for", () => {
    const labels = ids([11, 12, 1], [13, -100, -100]);
    const pairs = { task: "SEQ_2_SEQ_LM", ...text, labels } as TextBatch;
    expect([...batchPlaces(t5, pairs, none, false).decoder!.kept]).toEqual([0, 1, 2, 3]);
    expect([...batchPlaces(t5, pairs, none, true).decoder!.kept]).toEqual([0, 1, 2, 3, 4, 5]);
    expect([...batchPlaces(t5, pairs, none, false).input.tokenAt]).toEqual([0, 1, 2, 3, 4, -1]);
  });
});
