import { afterAll, beforeAll, describe, test } from "vitest";
import { Engine } from "../../src/engine/engine.js";
import type { OpName } from "../../src/graph/ops.js";
import { compare, rounded, seedOf } from "./compare.js";
import { draws } from "./draws.js";
import { createRandom } from "./sketch.js";

const drawsPerPrimitive = 20;

let engine: Engine;
beforeAll(async () => {
  engine = await Engine.open(new Map(), { threads: 1 });
});
afterAll(() => engine.close());

describe.each(Object.keys(draws) as OpName[])("%s", (name) => {
  test("is on ONNX Runtime what it is in f64", async () => {
    for (let n = 0; n < drawsPerPrimitive; n++) {
      const draw = draws[name](createRandom(seedOf(name, n)));
      await compare(engine, name, draw, rounded(draw));
    }
  });
});
