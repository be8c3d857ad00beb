import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gradients } from "../../autodiff/gradient.js";
import { Graph } from "../../graph/graph.js";
import type { Tensor } from "../../graph/ops.js";
import { Engine, largestInt8Weight } from "../engine.js";
import type { HostTensor, WeightSource } from "../messages.js";
import { toProgram } from "../program.js";
import { givenWeight } from "../weights/source.js";
import type { PackOptions, WeightFormat } from "./format.js";
import { type FormatName, formats } from "./index.js";
import { DYNAMIC, NF4 } from "./nf4_pack.js";

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open(new Map(), { threads: 1 });
});
afterAll(() => engine.close());

/** A stable draw of numbers around 0. */
function draw(count: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24 - 0.5;
  });
}

function host(shape: readonly number[], data: Float32Array): HostTensor {
  return { dtype: "f32", shape, data };
}

type Packed = Readonly<Record<string, { readonly [i: number]: number }>>;

/** What a format's parts stand for, [out, in], number by number. */
const values: Readonly<
  Record<string, (p: Packed, i: number, j: number, inDim: number, outDim: number) => number>
> = {
  int8: ({ data, scale }, i, j, _, outDim) => data![j * outDim + i]! * scale![i]!,
  int4: (p, i, j, inDim) => int4Value(p, i * inDim + j, 64),
  int4x32: (p, i, j, inDim) => int4Value(p, i * inDim + j, 32),
  int4x128: (p, i, j, inDim) => int4Value(p, i * inDim + j, 128),
  nf4: ({ data, absmax, nested, offset }, i, j, inDim) => {
    const at = i * inDim + j;
    const block = at >> 6;
    const code = at % 2 === 0 ? data![at >> 1]! >> 4 : data![at >> 1]! & 15;
    return NF4[code]! * (DYNAMIC[absmax![block]!]! * nested![block >> 8]! + offset![0]!);
  },
};

function int4Value({ data, scale }: Packed, at: number, size: number): number {
  const level = (data![at >> 1]! >> (at % 2 === 0 ? 0 : 4)) & 15;
  return (level - 8) * scale![Math.floor(at / size)]!;
}

/** A format, and how it is packed. */
interface PackedFormat {
  readonly name: FormatName;
  readonly packing: PackOptions;
}

interface Held {
  readonly source: WeightSource;
  /** Its values in the shape that it is held in. */
  readonly values: Float32Array;
}

function held(
  { name: format, packing }: PackedFormat,
  inDim: number,
  outDim: number,
  transposed: boolean,
): Held {
  const shape = transposed ? [inDim, outDim] : [outDim, inDim];
  const pack = (formats[format] as WeightFormat).pack!;
  const parts = pack(draw(inDim * outDim, inDim + outDim), shape, transposed, packing);
  const found = new Float32Array(inDim * outDim);
  for (let i = 0; i < outDim; i++)
    for (let j = 0; j < inDim; j++)
      found[transposed ? j * outDim + i : i * inDim + j] = values[format]!(
        parts as Packed,
        i,
        j,
        inDim,
        outDim,
      );
  return { source: { format, shape, transposed, parts }, values: found };
}

/** The same graph over the weight "w" as it is held, and over its values in f32. */
async function both(
  { source, values }: Held,
  outputs: (g: Graph, w: Tensor) => Record<string, Tensor>,
  feeds: Readonly<Record<string, HostTensor>>,
): Promise<Record<string, { held: HostTensor; real: HostTensor }>> {
  const run = async (w: WeightSource): Promise<Readonly<Record<string, HostTensor>>> => {
    await engine.changeWeights(new Map([["w", w]]));
    const g = new Graph();
    const program = toProgram(outputs(g, g.weight("w", source.shape)));
    await engine.compile("p", () => program);
    return (await engine.run("p", feeds)).outputs;
  };
  const first = await run(source);
  const second = await run(givenWeight(source.shape, values));
  return Object.fromEntries(Object.keys(first).map((k) => [k, { held: first[k]!, real: second[k]! }]));
}

/** Fails where results differ by more than `limit`, relative to the root of the mean square. */
function expectSame(y: { held: HostTensor; real: HostTensor }, limit: number, what: string): void {
  expect(y.held.shape, what).toEqual(y.real.shape);
  const [a, b] = [y.held.data, y.real.data];
  let [off, all] = [0, 0];
  for (let i = 0; i < b.length; i++) {
    off += (a[i]! - b[i]!) ** 2;
    all += b[i]! ** 2;
  }
  if (b.length > 0) expect(Math.sqrt(off / all), what).toBeLessThan(limit);
}

/** Products of int8 round what they multiply; all else is exact to f32's rounding. */
const limitOf = (format: string): number => (format === "int8" ? 0.02 : 2e-6);
/** What the probe says of this processor's kernels; those that add up 8 bits add up 7 bits too. */
const largest = await largestInt8Weight();
const packings: readonly PackOptions[] =
  largest === 127 ? [{ largest: 127 }, { largest: 63 }] : [{ largest }];
const packed = (Object.entries(formats) as [FormatName, WeightFormat][]).flatMap(
  ([name, f]): PackedFormat[] => {
    if (f.pack === undefined) return [];
    return name === "int8"
      ? packings.map((packing) => ({ name, packing }))
      : [{ name, packing: { largest } }];
  },
);

describe.each(packed)(`$name, $packing.largest (the probe: ${largest})`, (format) => {
  const { name } = format;
  const limit = limitOf(name);
  // one output, sizes that fit no vector, many blocks; for nf4 also blocks across rows, and an odd count of
  // numbers
  const sizes = (
    [
      [128, 1],
      [640, 77],
      [37, 19],
      [33, 3],
      [100, 42],
    ] as const
  ).filter(([inDim, outDim]) => formats[name].fits?.([outDim, inDim], false) ?? true);

  const multiplies = async (inDim: number, outDim: number, batches: readonly number[][]): Promise<void> => {
    for (const transposed of [false, true]) {
      const feeds: Record<string, HostTensor> = {};
      for (const [k, rows] of batches.entries()) {
        const count = rows.reduce((a, b) => a * b, 1);
        feeds[`x${k}`] = host([...rows, inDim], draw(count * inDim, 3));
        feeds[`dy${k}`] = host([...rows, outDim], draw(count * outDim, 4));
      }
      const outputs = (g: Graph, q: Tensor): Record<string, Tensor> => {
        const input = (x: string, { shape }: HostTensor): Tensor =>
          g.input(x, [...shape.slice(0, -1).map((_, i) => `${x}_${i}`), shape.at(-1)!]);
        const product = ([x, feed]: [string, HostTensor]): [string, Tensor] => [
          `of ${x}`,
          g.linear(input(x, feed), q, x.startsWith("x") ? transposed : !transposed),
        ];
        return { weight: g.add(q, 0), ...Object.fromEntries(Object.entries(feeds).map(product)) };
      };
      const results = await both(held(format, inDim, outDim, transposed), outputs, feeds);
      for (const [of, y] of Object.entries(results))
        expectSame(y, of === "weight" ? 1e-7 : limit, `${of}, transposed: ${transposed}`);
    }
  };
  it.each(sizes)(
    "is what its parts say, and multiplies one row, several and batches, %i -> %i",
    (inDim, outDim) => multiplies(inDim, outDim, [[1], [5], [2, 3], [2, 1, 4]]),
  );

  // int8 gives results of a wrong shape: ONNX Runtime's ReduceMax keeps the last axis of a matrix without
  // rows as it is
  it("multiplies no rows", () => multiplies(256, 77, [[0], [2, 0]]));

  it("gives rows by ids", async () => {
    const ids: HostTensor = { dtype: "i64", shape: [2, 3], data: Int32Array.of(0, 76, 5, 5, 76, 1) };
    for (const transposed of [false, true]) {
      const w = transposed ? held(format, 128, 77, true) : held(format, 128, 77, false);
      const y = await both(w, (g, q) => ({ rows: g.gather(q, g.input("ids", ["a", "b"], "i64")) }), { ids });
      expectSame(y["rows"]!, 1e-7, `transposed: ${transposed}`);
    }
  });

  // 3000: gradients of int8's rows hold a few likely tokens, which it takes apart
  it.each([77, 3000])("serves as a head of %i tokens whose gradient goes on", async (vocab) => {
    const inDim = 256;
    const x = draw(12 * inDim, 5).map((v) => (vocab === 77 ? v : 4 * v));
    const feeds = {
      x: host([3, 4, inDim], x),
      labels: {
        dtype: "i64",
        shape: [3, 4],
        data: Int32Array.of(0, 76, 5, -100, 7, 8, 9, 9, -100, 1, 2, 3),
      } as HostTensor,
    };
    const outputs = (g: Graph, q: Tensor): Record<string, Tensor> => {
      const x = g.input("x", ["chunks", "chunk", inDim]);
      const loss = g.crossEntropy(g.linear(x, q), g.input("labels", ["chunks", "chunk"], "i64"));
      const [dx] = gradients(g, g.sum(loss), [x]);
      return { loss, dx: dx! };
    };
    const y = await both(held(format, inDim, vocab, false), outputs, feeds);
    expectSame(y["loss"]!, limit, "loss");
    expectSame(y["dx"]!, limit, "dx");
  });
});

it("tells which shapes blocks fit", () => {
  const fits = (name: FormatName, shape: number[], transposed = false): boolean =>
    (formats[name] as WeightFormat).fits?.(shape, transposed) ?? true;
  expect([fits("int4", [10, 192]), fits("int4", [192, 10]), fits("int4", [192, 10], true)]).toEqual([
    true,
    false,
    true,
  ]);
  expect([fits("int4x32", [10, 96]), fits("int4", [10, 96]), fits("int4x128", [10, 192])]).toEqual([
    true,
    false,
    false,
  ]);
  expect([fits("int4", [64]), fits("nf4", [64]), fits("nf4", [3, 37])]).toEqual([false, false, true]);
});
