import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterAll, beforeAll, describe, test } from "vitest";
import { Engine } from "../../src/engine/engine.js";
import type { WeightSource } from "../../src/engine/messages.js";
import { inFile } from "../../src/engine/weights/source.js";
import type { OpName } from "../../src/graph/ops.js";
import { fromF32, toF32 } from "../../src/hub/tensors/dtypes.js";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../../src/hub/tensors/safetensors.js";
import { compare, rounded, seedOf } from "./compare.js";
import { draws } from "./draws.js";
import { createRandom, type Draw, type Feed } from "./sketch.js";

const drawsPerPrimitive = 8;
const readers = ["weight", "linear", "expertLinear", "layerNorm", "rmsNorm", "crossEntropy", "aux"] as const;
type Format = "f32" | "f16" | "bf16";
const ways = (["f32", "f16", "bf16", "mixed"] as const).flatMap((format) =>
  (["f32", "stored"] as const).map((resident) => ({ format, resident })),
);

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "peft-stored-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

function isWeight(draw: Draw, name: string): boolean {
  return draw.g.nodes.some((x) => x.op === "weight" && (x.attrs as { name: string }).name === name);
}

/** Makes the header one byte longer, so that no tensor's offset is a multiple of its element's size. */
function misalign(file: string): void {
  const bytes = fs.readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  bytes.writeBigUInt64LE(BigInt(length + 1), 0);
  fs.writeFileSync(
    file,
    Buffer.concat([bytes.subarray(0, 8 + length), Buffer.from(" "), bytes.subarray(8 + length)]),
  );
}

/** The draw's weights in a file, each in a format, and what is fed with the weights as the file has them. */
async function store(
  draw: Draw,
  formatOf: (i: number) => Format,
): Promise<{ sources: Map<string, WeightSource>; feeds: Record<string, Feed> }> {
  const feeds = rounded(draw);
  const names = Object.keys(feeds).filter((name) => isWeight(draw, name));
  const tensors = new Map<string, TensorToWrite>();
  for (const [i, name] of names.entries()) {
    const { shape, data } = feeds[name]!;
    const dtype = formatOf(i);
    const bytes = fromF32(Float32Array.from(data), dtype);
    feeds[name] = { dtype: "f32", shape, data: Float64Array.from(toF32(bytes, dtype)) };
    tensors.set(name, { dtype, shape, data: bytes });
  }
  const file = path.join(folder, `${fs.readdirSync(folder).length}.safetensors`);
  await writeSafetensors(file, tensors);
  misalign(file);
  const stored = await openSafetensors(file);
  const sources = [...stored.tensors.values()].map(
    ({ name, dtype, shape, offset }): [string, WeightSource] => [
      name,
      inFile(dtype as Format, shape, file, offset),
    ],
  );
  return { sources: new Map(sources), feeds };
}

describe.each(ways)("weights in a file as $format, resident as $resident", ({ format, resident }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await Engine.open(new Map(), { threads: 1, resident });
  });
  afterAll(() => engine.close());

  test.each(readers)("%s reads them", async (name: OpName) => {
    for (let n = 0; n < drawsPerPrimitive; n++) {
      const draw = draws[name](createRandom(seedOf(name, n)));
      const formatOf = (i: number): Format =>
        format === "mixed" ? (["f32", "bf16", "f16"] as const)[(i + n) % 3]! : format;
      const { sources, feeds } = await store(draw, formatOf);
      await compare(engine, name, draw, feeds, sources);
    }
  });
});
