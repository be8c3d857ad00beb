import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../hub/tensors/safetensors.js";
import { Engine, largestInt8Weight } from "../engine.js";
import type { HostTensor, WeightSource } from "../messages.js";
import { toProgram } from "../program.js";
import { givenWeight } from "../weights/source.js";
import type { PartData, WeightFormat } from "./format.js";
import { bytesOf, type PackOptions } from "./format.js";
import { formats } from "./index.js";

const ROWS = 12;
const IN = 128;
const OUT = 192;

let engine: Engine;
let folder: string;
beforeAll(async () => {
  engine = await Engine.open(new Map(), { threads: 1 });
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "peft-formats-"));
});
afterAll(async () => {
  await engine.close();
  fs.rmSync(folder, { recursive: true });
});

/** A stable draw of numbers around 0, with the odd one far out. */
function draw(count: number, seed: number): Float32Array {
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24 - 0.5;
  };
  return Float32Array.from({ length: count }, () => next() + next() + (next() > 0.49 ? 3 * next() : 0));
}

function host(shape: readonly number[], data: Float32Array): HostTensor {
  return { dtype: "f32", shape, data };
}

async function computed(
  sources: ReadonlyMap<string, WeightSource>,
  outputs: (g: Graph) => Record<string, Tensor>,
  feeds: Record<string, HostTensor>,
): Promise<Record<string, Float32Array>> {
  await engine.changeWeights(sources);
  const program = toProgram(outputs(new Graph()));
  await engine.compile("p", () => program);
  const result = await engine.run("p", feeds);
  return Object.fromEntries(Object.entries(result.outputs).map(([k, y]) => [k, y.data as Float32Array]));
}

/** Relative error in the root of the mean square. */
function error(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  const [off, all] = a.reduce(([s, t], x, i) => [s + (x - b[i]!) ** 2, t + b[i]! ** 2], [0, 0]);
  return Math.sqrt(off / all);
}

const STORED = { f32: "f32", f16: "f16", bf16: "bf16", i8: "i8", u8: "u8" } as const;

/** The same parts in a file, where they are mapped. */
async function inFiles(name: string, format: WeightFormat, source: WeightSource): Promise<WeightSource> {
  const file = path.join(folder, `${name}.safetensors`);
  const types = format.parts(source.shape, source.transposed);
  const tensors = Object.entries(types).map(([part, { element, shape }]): [string, TensorToWrite] => {
    const { buffer, byteOffset, byteLength } = source.parts[part] as PartData;
    const data = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
    return [part, { dtype: STORED[element], shape, data }];
  });
  await writeSafetensors(file, new Map(tensors));
  const stored = (await openSafetensors(file)).tensors;
  const parts = Object.keys(types).map((part) => [part, { path: file, offset: stored.get(part)!.offset }]);
  return { ...source, parts: Object.fromEntries(parts) };
}

/**
 * Of the weights, and of products: those of int8 round activations too. 7 bits round weights twice as
 * coarsely as 8.
 */
const LIMITS: Readonly<Record<string, { weight: number; product: number; exact: number }>> = {
  "int8, 127": { weight: 0.012, product: 0.02, exact: 0.015 },
  "int8, 63": { weight: 0.024, product: 0.03, exact: 0.015 },
  int4: { weight: 0.16, product: 0.2, exact: 1e-5 },
  int4x32: { weight: 0.14, product: 0.18, exact: 1e-5 },
  int4x128: { weight: 0.18, product: 0.22, exact: 1e-5 },
  nf4: { weight: 0.14, product: 0.18, exact: 1e-5 },
};

/** What the probe says of this processor's kernels; those that add up 8 bits add up 7 bits too. */
const largest = await largestInt8Weight();
const packings: readonly PackOptions[] =
  largest === 127 ? [{ largest: 127 }, { largest: 63 }] : [{ largest }];
const packed = Object.entries(formats as Readonly<Record<string, WeightFormat>>)
  .filter(([, f]) => f.pack)
  .flatMap(([name, format]) =>
    name === "int8"
      ? packings.map((packing) => ({ title: `int8, ${packing.largest}`, name, format, packing }))
      : [{ title: name, name, format, packing: { largest } }],
  );

describe.each(packed)(`$title (the probe: ${largest})`, ({ title, name, format, packing }) => {
  const limit = LIMITS[title]!;
  describe.each([false, true])("held [in, out]: %s", (transposed) => {
    const shape = transposed ? [IN, OUT] : [OUT, IN];
    const w = draw(IN * OUT, 1);
    const given: WeightSource = {
      format: name as WeightSource["format"],
      shape,
      transposed,
      parts: format.pack!(w, shape, transposed, packing),
    };
    const x = draw(ROWS * IN, 2);
    const dy = draw(ROWS * OUT, 3);
    const feeds = { x: host([ROWS, IN], x), dy: host([ROWS, OUT], dy) };
    const outputs = (g: Graph): Record<string, Tensor> => {
      const [input, slope] = [g.input("x", ["rows", IN]), g.input("dy", ["rows", OUT])];
      const q = g.weight("q", shape);
      const f = g.weight("f", shape);
      return {
        weight: g.add(q, 0),
        y: g.linear(input, q, transposed),
        dx: g.linear(slope, q, !transposed),
        trueY: g.linear(input, f, transposed),
        trueDx: g.linear(slope, f, !transposed),
      };
    };

    it.each(["given", "in a file"])("multiplies both ways, %s", async (where) => {
      const q = where === "given" ? given : await inFiles(`${name}-${transposed}`, format, given);
      const real = givenWeight(shape, w);
      const first = await computed(
        new Map([
          ["q", q],
          ["f", real],
        ]),
        outputs,
        feeds,
      );
      expect(error(first["weight"]!, w)).toBeLessThan(limit.weight);
      expect(error(first["y"]!, first["trueY"]!)).toBeLessThan(limit.product);
      expect(error(first["dx"]!, first["trueDx"]!)).toBeLessThan(limit.product);
      // against products with the very values that it holds
      const same = givenWeight(shape, first["weight"]!);
      const second = await computed(
        new Map([
          ["q", q],
          ["f", same],
        ]),
        outputs,
        feeds,
      );
      expect(error(second["y"]!, second["trueY"]!)).toBeLessThan(limit.exact);
      expect(error(second["dx"]!, second["trueDx"]!)).toBeLessThan(limit.exact);
    });

    it("takes the bytes that it says", () => {
      const bytes = Object.values(given.parts).reduce((n, part) => n + (part as PartData).byteLength, 0);
      expect(bytes).toBe(bytesOf(format, shape, transposed));
    });
  });

  it("serves as a head, in chunks, and leaves rows of zeros zero", async () => {
    const w = draw(IN * OUT, 4);
    w.fill(0, 0, IN);
    const parts = format.pack!(w, [OUT, IN], false, packing);
    const q: WeightSource = {
      format: name as WeightSource["format"],
      shape: [OUT, IN],
      transposed: false,
      parts,
    };
    const feeds = {
      x: host([2, 6, IN], draw(12 * IN, 5)),
      labels: {
        dtype: "i64" as const,
        shape: [2, 6],
        data: Int32Array.of(1, 2, 3, 4, 5, -100, 7, 8, 9, 10, 11, 12),
      },
    };
    const loss =
      (name: string) =>
      (g: Graph): Record<string, Tensor> => ({
        loss: g.crossEntropy(
          g.linear(g.input("x", ["chunks", "chunk", IN]), g.weight(name, [OUT, IN])),
          g.input("labels", ["chunks", "chunk"], "i64"),
        ),
        weight: g.add(g.weight(name, [OUT, IN]), 0),
      });
    const made = await computed(new Map([["q", q]]), loss("q"), feeds);
    expect(Math.max(...made["weight"]!.subarray(0, IN).map(Math.abs))).toBeLessThan(1e-3);
    const real = await computed(new Map([["f", givenWeight([OUT, IN], made["weight"]!)]]), loss("f"), feeds);
    expect(error(made["loss"]!, real["loss"]!)).toBeLessThan(Math.max(2e-5, limit.exact));
  });
});
