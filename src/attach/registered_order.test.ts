import { expect, it } from "vitest";
import { registeredOrder } from "./registered_order.js";

const order = (paths: readonly string[], registered?: readonly string[]): string[] =>
  registeredOrder(
    paths.map((path) => ({ path })),
    registered,
  ).map(({ path }) => path);

it("attention with an out_proj has k, v, q, out, as transformers registers them", () => {
  const block = (i: number, names: readonly string[]): string[] => names.map((n) => `layers.${i}.${n}`);
  const computed = ["attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.out_proj", "fc1"];
  const registered = ["attn.k_proj", "attn.v_proj", "attn.q_proj", "attn.out_proj", "fc1"];
  expect(order([...block(0, computed), ...block(1, computed), "lm_head"])).toEqual([
    ...block(0, registered),
    ...block(1, registered),
    "lm_head",
  ]);
});

it("attention with an o_proj stays as it is, but for Phi-3's", () => {
  const llama = ["a.q_proj", "a.k_proj", "a.v_proj", "a.o_proj", "mlp.up_proj"];
  expect(order(llama)).toEqual(llama);
  expect(order(["a.qkv_proj", "a.o_proj"])).toEqual(["a.o_proj", "a.qkv_proj"]);
});

it("a model has an order of its own", () => {
  const paths = ["layers.0.self_attn.q_proj", "layers.0.mlp.up_proj", "layers.1.self_attn.q_proj"];
  expect(order(paths, ["mlp", "self_attn"])).toEqual([
    "layers.0.mlp.up_proj",
    "layers.0.self_attn.q_proj",
    "layers.1.self_attn.q_proj",
  ]);
});
