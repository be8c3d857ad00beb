import { describe, expect, it } from "vitest";
import { AdapterDraft } from "../adapters/draft.js";
import type { HostTensor } from "../engine/messages.js";
import type { AdapterInput } from "../trace/adapter_inputs.js";
import { adapterInputName } from "../trace/adapter_inputs.js";
import { AdapterFeeds } from "./adapter_feeds.js";

const INPUTS: readonly AdapterInput[] = [
  { kind: "tensor", slot: 0, key: "a" },
  { kind: "tensor", slot: 0, key: "b" },
  { kind: "gate", slot: 0 },
];
const inputs = new Map(INPUTS.map((input) => [adapterInputName(input), input]));

/**
 * An adapter of two tensors, of which b replaces the base's weight "w", and an engine that notes what it is
 * sent.
 */
function setUp() {
  const draft = new AdapterDraft("one", undefined, { peftType: "TEST" });
  for (const key of ["a", "b"])
    draft.add({ key, savedKey: undefined, shape: [2], data: Float32Array.of(1, 2) });
  draft.replaced.set("w", "b");
  const adapter = draft.freeze();
  const sent: (readonly [string, number[]])[][] = [];
  const engine = {
    put: async (tensors: Readonly<Record<string, HostTensor>>) => {
      sent.push(Object.entries(tensors).map(([name, { data }]) => [name, [...data]] as const));
    },
  };
  const feeds = new AdapterFeeds(async () => Float32Array.of(7, 8));
  const run = (gate: number | Float32Array, version?: number) =>
    feeds.of(engine, { adapters: [adapter], gates: [gate], versions: [version] }, inputs);
  const name = (key: string): string => `${adapter.uid}:${key}`;
  return { adapter, feeds, sent, run, name };
}

describe("AdapterFeeds", () => {
  it("sends tensors once, and again where they changed", async () => {
    const { adapter, sent, run, name } = setUp();
    const all = ["a", "b"].map((key) => [name(key), [1, 2]]);
    const first = await run(1);
    expect(first["0/a"]).toEqual({ held: name("a") });
    expect(first["0/gate"]).toEqual({ dtype: "f32", shape: [], data: Float32Array.of(1) });
    await run(1);
    expect(sent).toEqual([all]);
    adapter.state.touch();
    await run(1);
    expect(sent).toEqual([all, all]);
  });

  it("feeds the base's weight in place of a tensor that replaces it, where the adapter is off", async () => {
    const { feeds, sent, run, name } = setUp();
    const off = await run(0);
    expect(off["0/b"]).toEqual({ held: "base:w" });
    expect(sent[0]).toEqual([
      [name("a"), [1, 2]],
      ["base:w", [7, 8]],
    ]);
    await run(0);
    expect(sent.length).toBe(1);
    feeds.forgetWeight("w");
    await run(0);
    expect(sent[1]).toEqual([["base:w", [7, 8]]]);
  });

  it("gates row by row", async () => {
    const gates = Float32Array.of(1, 0, 1);
    expect((await setUp().run(gates))["0/gate"]).toEqual({ dtype: "f32", shape: [3], data: gates });
  });

  it("refuses tensors that changed since the run was called", async () => {
    const { adapter, run } = setUp();
    const called = adapter.state.version;
    adapter.state.touch();
    await expect(run(1, called)).rejects.toThrow(/\[training\] The tensors of the adapter "one" changed/);
  });

  it("forgets an adapter's tensors", async () => {
    const { adapter, feeds, sent, run, name } = setUp();
    await run(1);
    expect(feeds.forget(adapter)).toEqual([name("a"), name("b")]);
    expect(feeds.forget(adapter)).toEqual([]);
    await run(1);
    expect(sent.length).toBe(2);
  });
});
