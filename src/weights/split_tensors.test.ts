import { expect, it } from "vitest";
import type { Checkpoint, StoredTensor } from "../hub/checkpoint.js";
import { toF32 } from "../hub/tensors/dtypes.js";
import { splitTensors } from "./split_tensors.js";

const data = new Uint8Array(Float32Array.from({ length: 18 }, (_, i) => i).buffer);
const fused: StoredTensor = {
  name: "attn.Wqkv.weight",
  dtype: "f32",
  shape: [6, 3],
  path: "f",
  offset: 0,
  bytes: 72,
  data,
};
const odd: StoredTensor = { ...fused, name: "odd.Wqkv.weight", shape: [4, 3], bytes: 48 };
const checkpoint: Checkpoint = {
  path: "f",
  tensors: new Map([fused, odd].map((tensor) => [tensor.name, tensor])),
  metadata: {},
  read: async () => data,
  readF32: async (name) => toF32(data, "f32", name),
};

it("sees the rows of a fused tensor as the weights they are, where they lie", async () => {
  const split = splitTensors(checkpoint, {
    split: [[/\.Wqkv\.weight$/, [".q.weight", ".k.weight", ".v.weight"]]],
  });
  expect([...split.tensors.keys()]).toEqual([
    "odd.Wqkv.weight",
    "attn.q.weight",
    "attn.k.weight",
    "attn.v.weight",
  ]);
  expect(split.tensors.get("attn.k.weight")).toMatchObject({ shape: [2, 3], bytes: 24 });
  expect([...(await split.readF32("attn.k.weight"))]).toEqual([6, 7, 8, 9, 10, 11]);
  expect([...(await split.readF32("attn.v.weight"))]).toEqual([12, 13, 14, 15, 16, 17]);
  const mapped = {
    ...checkpoint,
    tensors: new Map([["a.Wqkv.weight", { ...fused, data: undefined, offset: 100 }]]),
  };
  const parts = splitTensors(mapped as unknown as Checkpoint, { split: [[/Wqkv/, ["q", "k", "v"]]] }).tensors;
  expect([...parts.values()].map(({ offset }) => offset)).toEqual([100, 124, 148]);
  expect(splitTensors(checkpoint)).toBe(checkpoint);
});
