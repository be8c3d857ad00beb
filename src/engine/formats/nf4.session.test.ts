import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Graph } from "../../graph/graph.js";
import { Engine } from "../engine.js";
import type { WeightSource } from "../messages.js";
import { toProgram } from "../program.js";
import { DYNAMIC, NF4, packNf4 } from "./nf4_pack.js";

interface Golden {
  readonly codes: { readonly nf4: string; readonly dynamic: string };
  readonly cases: readonly ({
    readonly name: string;
    readonly seed: number;
    readonly shape: readonly [number, number];
  } & Record<"data" | "absmax" | "nested" | "offset" | "values", string>)[];
}
const golden = JSON.parse(
  readFileSync(new URL("../../../tests/golden/nf4.json", import.meta.url), "utf8"),
) as Golden;

const bytes = (text: string): number[] => [...Buffer.from(text, "base64")];
const bits = (values: ArrayLike<number>): number[] => [...new Uint8Array(Float32Array.from(values).buffer)];

/** The same weights as in tools/golden/nf4.py. */
function weights(name: string, start: number, [outDim, inDim]: readonly [number, number]): Float32Array {
  const count = outDim * inDim;
  let seed = start;
  const x = Array.from({ length: 2 * count }, () => {
    seed = (Math.imul(1664525, seed) + 1013904223) >>> 0;
    return seed >>> 16;
  });
  return Float32Array.from({ length: count }, (_, i) => {
    if (name === "zeros" && i < count / 2) return 0;
    return ((x[i]! + x[count + i]! - 65535) / 2 ** 20) * (name === "outliers" && i % 97 === 0 ? 100 : 1);
  });
}

test("the codes are bitsandbytes'", () => {
  expect(bits(NF4)).toEqual(bytes(golden.codes.nf4));
  expect(bits(DYNAMIC)).toEqual(bytes(golden.codes.dynamic));
});

test.each(golden.cases)("packs to the same bytes as bitsandbytes: $name", (c) => {
  const packed = packNf4(weights(c.name, c.seed, c.shape));
  expect([...packed.data]).toEqual(bytes(c.data));
  expect(bits(packed.offset)).toEqual(bytes(c.offset));
  expect(bits(packed.nested)).toEqual(bytes(c.nested));
  expect([...packed.absmax]).toEqual(bytes(c.absmax));
});

test("is brought to the same f32 numbers as bitsandbytes does", async () => {
  const f32 = (text: string): Float32Array => new Float32Array(Uint8Array.from(bytes(text)).buffer);
  const sources = golden.cases.map((c): [string, WeightSource] => {
    const [data, absmax] = [Uint8Array.from(bytes(c.data)), Uint8Array.from(bytes(c.absmax))];
    const parts = { data, absmax, nested: f32(c.nested), offset: f32(c.offset) };
    return [c.name, { format: "nf4", shape: c.shape, transposed: false, parts }];
  });
  const engine = await Engine.open(new Map(sources), { threads: 1 });
  const g = new Graph();
  const outputs = golden.cases.map((c) => [c.name, g.mul(g.weight(c.name, c.shape), 1)]);
  await engine.compile("weights", () => toProgram(Object.fromEntries(outputs)));
  const found = await engine.run("weights", {});
  await engine.close();
  for (const c of golden.cases) {
    const expected = f32(c.values); // -0 in blocks whose largest comes out below zero; 0 for us
    const wrong = [...found.outputs[c.name]!.data].filter((v, i) => v !== expected[i]);
    expect(wrong, c.name).toEqual([]);
  }
});
