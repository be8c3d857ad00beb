import { describe, expect, it } from "vitest";
import { NO_ADAPTERS } from "../adapters/view.js";
import { attach } from "../attach/attach.js";
import type { Loss } from "../losses/loss.js";
import { LoraConfig, PrefixTuningConfig } from "../methods/index.js";
import { lora } from "../methods/lora.js";
import { prefixTuning } from "../methods/prefix_tuning.js";
import { specOf } from "../peft/spec.js";
import type { TextBatch } from "../trace/feeds.js";
import { takeInventory } from "../trace/write.js";
import { backwardRequest, prepare, virtualOf } from "./requests.js";

const spec = specOf(
  {
    ...{ model_type: "llama", vocab_size: 30, hidden_size: 8, num_hidden_layers: 2, num_attention_heads: 2 },
    ...{ intermediate_size: 8, max_position_embeddings: 16, rms_norm_eps: 1e-5 },
  },
  "CAUSAL_LM",
);
const model = { spec, inventory: takeInventory(spec) };
const ids = (...rows: number[][]) => ({
  data: Int32Array.from(rows.flat()),
  shape: [rows.length, rows[0]!.length] as const,
});
const batch: TextBatch = {
  task: "CAUSAL_LM",
  inputIds: ids([5, 6, 7], [8, 9, 0]),
  attentionMask: ids([1, 1, 1], [1, 1, 0]),
  labels: ids([-100, 6, 7], [8, 9, -100]),
  rows: Int32Array.of(3, 1),
} as TextBatch;
const { adapter } = attach("default", lora, new LoraConfig(), spec, model.inventory, { seed: 0 });
const view = { adapters: [adapter], gates: [1] };

describe("prepare", () => {
  it("feeds labelled places of the packed tokens", () => {
    const { packed, loss, feeds } = prepare(model, view, batch, undefined);
    expect([packed, loss?.name]).toEqual([true, "tokens"]);
    // token 2 of row 2 is padding: places 0 to 4 are kept, the last label is predicted from place 3
    expect(feeds["inputIdsPack"]).toMatchObject({ shape: [5], data: Int32Array.of(0, 1, 2, 3, 4) });
    expect(feeds["labelPositions"]).toMatchObject({ shape: [1, 3], data: Int32Array.of(0, 1, 3) });
    expect(feeds["labels"]?.data).toEqual(Int32Array.of(6, 7, 9));
  });

  it("leaves padding in where rows have adapters of their own, or the loss reads it", () => {
    const mixed = { ...view, gates: [Float32Array.of(1, 0)] };
    expect(prepare(model, mixed, batch, undefined).packed).toBe(false);
    const whole: Loss = {
      name: "whole",
      padding: true,
      write: ({ g, logits }) => ({ sum: g.sum(logits()), count: g.scalar(1) }),
    };
    expect(prepare(model, view, batch, whole).packed).toBe(false);
  });

  it("has no loss where there are no labels", () => {
    const { labels: _, ...rest } = batch as TextBatch<"CAUSAL_LM">;
    expect(prepare(model, NO_ADAPTERS, rest, undefined).loss).toBeUndefined();
  });
});

describe("backwardRequest", () => {
  const options = { seed: 0, step: 0 };

  it("tells the sizes that memory is planned by", () => {
    expect(backwardRequest(model, view, batch, options).sizes).toEqual({
      ...{ batch: 2, seq: 3, tokens: 5, labels: 2, dims: {} },
    });
  });

  it("draws by a sample's place in its data set, whatever batch it is in", () => {
    const keys = (rows: number[]): number[] => {
      const { feeds } = backwardRequest(model, view, { ...batch, rows: Int32Array.from(rows) }, options);
      const fed = feeds["randomKey"];
      return fed !== undefined && "data" in fed ? [...fed.data] : [];
    };
    expect(keys([1, 3])).toEqual(keys([3, 1]).toReversed());
  });

  it("names a custom loss by what it writes", () => {
    const loss = (factor: number): Loss => ({
      name: "mine",
      write: ({ g, logits }) => ({ sum: g.mul(g.sum(logits()), factor), count: g.scalar(1) }),
    });
    const kind = (factor: number): string =>
      backwardRequest(model, view, batch, { ...options, loss: loss(factor) }).kind;
    expect(kind(2)).toBe(kind(2));
    expect(kind(2)).not.toBe(kind(3));
  });
});

it("virtual tokens are those of a view's prompt methods", () => {
  const config = new PrefixTuningConfig({ numVirtualTokens: 4 });
  const prefix = attach("prefix", prefixTuning, config, spec, model.inventory, { seed: 0 }).adapter;
  expect(virtualOf({ adapters: [prefix, adapter] })).toEqual({ input: 0, cache: 4, decoder: 0 });
  expect(virtualOf(view)).toEqual({ input: 0, cache: 0, decoder: 0 });
});

it("a run with a loss that is given is known by a hash of what the loss writes, however long that is", () => {
  const kindOf = (times: number): string => {
    const loss: Loss = {
      name: "sums",
      write: ({ g, logits }) => {
        let sum = g.sum(logits());
        for (let i = 0; i < times; i++) sum = g.tanh(sum);
        return { sum, count: g.scalar(1) };
      },
    };
    return backwardRequest(model, view, batch, { loss, seed: 0, step: 0 }).kind;
  };
  const [short, long, longer] = [kindOf(1), kindOf(300), kindOf(301)];
  expect(new Set([short, long, longer]).size).toBe(3);
  expect(kindOf(300)).toBe(long);
  for (const kind of [short, long, longer]) expect(kind).toMatch(/^gradient of sums [0-9a-f]{32}$/);
});
