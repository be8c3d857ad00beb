import { describe, expect, test } from "vitest";
import { vjp } from "../../src/autodiff/gradient.js";
import { evalDim } from "../../src/graph/dims.js";
import { isOp, type OpName, type Tensor } from "../../src/graph/ops.js";
import { build, type Value } from "./arrays.js";
import { draws } from "./draws.js";
import { evaluate } from "./evaluate.js";
import { createRandom, type Draw, type Random } from "./sketch.js";

const drawsPerPrimitive = 20;
const step = 1e-5;
const tolerance = 1e-6; // relative to the larger of the two, at least 1

const names = Object.keys(draws) as OpName[];

/** A stable seed for a primitive's draw, so that a new row changes no other's. */
function seedOf(name: string, draw: number): number {
  return [...name].reduce((hash, c) => Math.imul(hash ^ c.charCodeAt(0), 0x01000193), 0x811c9dc5) + draw;
}

function dot(a: Value, b: Value): number {
  return a.data.reduce((sum, x, i) => sum + x * b.data[i]!, 0);
}

function nameOf(x: Tensor): string {
  return isOp(x, "input") || isOp(x, "weight") ? x.attrs.name : `node ${x.id}`;
}

/** A direction to go in: one axis, or all of them at once. */
function direction(shape: readonly number[], random: Random, single: boolean): Value {
  const d = build(shape, () => (single ? 0 : random.uniform(-1, 1)));
  if (single && d.data.length > 0) d.data[random.int(0, d.data.length - 1)] = 1;
  return d;
}

/** d/dt of sum(y * cotangent) at x + t * along, by central differences. */
function measured(draw: Draw, x: Tensor, along: Value, cotangents: readonly Value[]): number {
  const at = (t: number): number => {
    const fed = draw.feeds[nameOf(x)]!;
    const moved: Value = { data: fed.data.map((v, i) => v + t * along.data[i]!), shape: fed.shape };
    const ys = evaluate(draw.g, draw.outputs, { ...draw.feeds, [nameOf(x)]: moved });
    return ys.reduce((sum, y, i) => sum + dot(y, cotangents[i]!), 0);
  };
  return (at(step) - at(-step)) / (2 * step);
}

function checkGradients(draw: Draw, random: Random): void {
  const { g, by, feeds } = draw;
  const outputs = draw.outputs.filter((y) => y.dtype === "f32");
  if (outputs.length === 0) return;
  const ys = evaluate(g, outputs, feeds);
  const cotangents = ys.map((y) => build(y.shape, () => random.uniform(-1, 1)));
  const dys = outputs.map((y, i) => g.input(`cotangent${i}`, y.shape));
  const fed = { ...feeds, ...Object.fromEntries(cotangents.map((c, i) => [`cotangent${i}`, c])) };
  const dxs = vjp(g, outputs, dys, by);
  by.forEach((x, i) => {
    expect(vjp(g, outputs, dys, [x])[0], "asked for alone, the same node").toBe(dxs[i]);
    const dx = dxs[i] === undefined ? undefined : evaluate(g, [dxs[i]], fed)[0]!;
    if (dx !== undefined) expect(dx.shape, `gradient by ${nameOf(x)}`).toEqual(feeds[nameOf(x)]!.shape);
    for (let n = 0; n < 6; n++) {
      const along = direction(feeds[nameOf(x)]!.shape, random, n < 4);
      const expected = measured({ ...draw, outputs }, x, along, cotangents);
      const actual = dx === undefined ? 0 : dot(dx, along);
      const error = Math.abs(actual - expected) / Math.max(1, Math.abs(expected));
      expect(error, `by ${nameOf(x)}: ${actual} is not ${expected}`).toBeLessThan(tolerance);
    }
  });
}

function checkShapes(draw: Draw): void {
  const fed = Object.values(draw.g.nodes);
  const values = evaluate(draw.g, fed, draw.feeds);
  fed.forEach((x, i) => {
    expect(values[i]!.shape, `${x.op} of [${x.shape}]`).toEqual(x.shape.map((d) => evalDim(d, draw.dims)));
  });
}

describe.each(names)("%s", (name) => {
  test("is drawn, has the shape that its rule says, and the gradient that differences measure", () => {
    for (let n = 0; n < drawsPerPrimitive; n++) {
      const random = createRandom(seedOf(name, n));
      const draw = draws[name](random);
      expect(draw.g.nodes.some((x) => x.op === name)).toBe(true);
      checkShapes(draw);
      checkGradients(draw, random);
    }
  });
});
