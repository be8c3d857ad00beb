import { describe, expect, it } from "vitest";
import { NO_ADAPTERS } from "../adapters/view.js";
import type { Arrangement, HostTensor } from "../engine/messages.js";
import { specOf } from "../peft/spec.js";
import type { RunRequest } from "../plan/plan.js";
import type { StepRuntime } from "./fill_caches.js";
import { makeStepper } from "./stepper.js";

const llama = specOf(
  {
    ...{ model_type: "llama", vocab_size: 30, hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2 },
    ...{ intermediate_size: 8, max_position_embeddings: 16, rms_norm_eps: 1e-5 },
  },
  "CAUSAL_LM",
);
const t5 = specOf(
  {
    ...{ model_type: "t5", vocab_size: 30, d_model: 8, d_kv: 4, d_ff: 8, num_layers: 1, num_heads: 2 },
    ...{ pad_token_id: 0, decoder_start_token_id: 0 },
  },
  "SEQ_2_SEQ_LM",
);

/** Runs nothing: notes what it is asked for. */
function setUp(spec: typeof llama) {
  const requests: RunRequest[] = [];
  const released: string[] = [];
  const put: string[] = [];
  const arrangements: Arrangement[] = [];
  const logits: HostTensor = { dtype: "f32", shape: [2, 30], data: new Float32Array(60) };
  const runtime: StepRuntime = {
    weights: { spec },
    unique: () => 0,
    run: async (request) => {
      requests.push(request);
      return { outputs: { logits }, packed: new Float32Array(0), gradients: [] };
    },
    arrange: async (arrangement) => void arrangements.push(arrangement),
    put: async (tensors) => void put.push(...Object.keys(tensors)),
    release: async (names) => void released.push(...names),
  };
  /** The numbers that a run is fed. */
  const numbers = (i: number): Record<string, number[]> =>
    Object.fromEntries(
      Object.entries(requests[i]!.feeds).flatMap(([name, feed]) =>
        "data" in feed ? [[name, [...feed.data]] as const] : [],
      ),
    );
  return { runtime, requests, released, put, arrangements, numbers };
}

const zeros = (n: number): number[] => new Array<number>(n).fill(0);

describe("a stepper", () => {
  it("reads a prompt, then token by token behind its cache", async () => {
    const { runtime, requests, released, put, arrangements, numbers } = setUp(llama);
    const prompt = {
      ids: [
        [5, 6],
        [0, 8],
      ],
      mask: [
        [1, 1],
        [0, 1],
      ],
      start: undefined,
    };
    const stepper = await makeStepper(runtime, NO_ADAPTERS, prompt, 1);
    await stepper.start();
    const read = ["cache0.read0.past.0.k", "cache0.read0.past.0.v"];
    expect(put).toEqual(read);
    expect(numbers(0)).toEqual({
      inputIds: [5, 6, 0, 8],
      attentionMask: [1, 1, 0, 1],
      positionIds: [0, 1, 0, 0],
      tokenTypeIds: [0, 0, 0, 0],
    });
    expect(requests[0]!.keep).toEqual({ "present.0.k": read[0], "present.0.v": read[1] });
    expect(arrangements).toEqual([
      {
        length: 64,
        rows: [
          { source: 0, row: 0, from: 0, count: 2, to: 0 },
          { source: 0, row: 1, from: 1, count: 1, to: 1 }, // its padding is left out
        ],
        caches: read.map((source) => ({ name: source.replace("read0.", ""), sources: [source] })),
      },
    ]);
    expect(released.splice(0)).toEqual(read);
    await stepper.next(Int32Array.of(7, 9), Int32Array.of(1, 0));
    expect(arrangements[1]!.rows).toEqual([
      { source: 0, row: 1, from: 1, count: 1, to: 1 },
      { source: 0, row: 0, from: 0, count: 2, to: 0 },
    ]);
    expect(numbers(1)).toMatchObject({
      inputIds: [7, 9],
      positionIds: [1, 2],
      tokenTypeIds: [0, 0],
      cachePlace: [2, 2],
    });
    expect(numbers(1)["attentionMask"]).toEqual([0, 1, 1, ...zeros(61), 1, 1, 1, ...zeros(61)]);
    expect(requests[1]!.feeds["past.0.k"]).toEqual({ held: "cache0.past.0.k", shape: [2, 2, 64, 4] });
    expect(requests[1]!.entries).toEqual({
      "present.0.k": { held: "cache0.past.0.k", entry: 2 },
      "present.0.v": { held: "cache0.past.0.v", entry: 2 },
    });
    await stepper.end();
    expect(released).toEqual(["cache0.past.0.k", "cache0.past.0.v"]);
  });

  it("reads a prompt once for all of its rows, and lays caches anew where their room is used up", async () => {
    const { runtime, requests, arrangements, numbers } = setUp(llama);
    const prompt = { ids: [[5, 6]], mask: [[1, 1]], start: undefined };
    const stepper = await makeStepper(runtime, NO_ADAPTERS, prompt, 2);
    await stepper.start();
    expect(numbers(0)).toMatchObject({ inputIds: [5, 6] });
    expect(arrangements[0]!.rows.map((row) => row?.row)).toEqual([0, 0]);
    for (let i = 2; i < 64; i++) await stepper.next(Int32Array.of(7, 8));
    expect(arrangements).toHaveLength(1);
    await stepper.next(Int32Array.of(7, 8));
    expect(arrangements[1]).toMatchObject({ length: 128, rows: [{ count: 64 }, { row: 1, count: 64 }] });
    expect(requests.at(-1)!.feeds["past.0.k"]).toMatchObject({ shape: [2, 2, 128, 4] });
  });

  it("encodes a prompt once for all of its beams, and starts the decoder behind it", async () => {
    const { runtime, requests, numbers } = setUp(t5);
    const prompt = { ids: [[5, 6]], mask: [[1, 1]], start: [[0]] };
    const stepper = await makeStepper(runtime, NO_ADAPTERS, prompt, 2);
    await stepper.start();
    expect(requests.map(({ kind }) => kind)).toEqual(["encode", "step"]);
    expect(numbers(0)).toMatchObject({ inputIds: [5, 6], attentionMask: [1, 1], rows: [0, 0] });
    expect(numbers(1)).toEqual({
      decoderInputIds: [0, 0],
      decoderAttentionMask: [1, 1],
      decoderPositionIds: [0, 0],
      attentionMask: [1, 1, 1, 1],
    });
    expect(requests[1]!.feeds["cross.0.v"]).toMatchObject({ held: requests[0]!.keep!["cross.0.v"] });
    await stepper.next(Int32Array.of(3, 4));
    expect(numbers(2)).toMatchObject({ decoderInputIds: [3, 4], decoderPositionIds: [1, 1] });
    expect(numbers(2)["decoderAttentionMask"]).toEqual([1, 1, ...zeros(62), 1, 1, ...zeros(62)]);
  });
});
