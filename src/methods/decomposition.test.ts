import { describe, expect, it } from "vitest";
import { normal, random } from "../random.js";
import type { Dense } from "./decomposition.js";
import { qr, svd } from "./decomposition.js";

function draw(rows: number, cols: number, seed: number): Dense {
  const next = random(seed);
  return { rows, cols, data: Float64Array.from({ length: rows * cols }, () => normal(next)) };
}

/** a [rows, k] times b, b [k, cols] or [cols, k] where `transposed`. */
function product(a: Dense, b: Dense, transposed = false): Dense {
  const cols = transposed ? b.rows : b.cols;
  const data = new Float64Array(a.rows * cols);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < cols; j++) {
      let sum = 0;
      for (let k = 0; k < a.cols; k++) {
        sum += a.data[i * a.cols + k]! * b.data[transposed ? j * b.cols + k : k * b.cols + j]!;
      }
      data[i * cols + j] = sum;
    }
  }
  return { rows: a.rows, cols, data };
}

const flip = ({ rows, cols, data }: Dense): Dense => ({
  ...{ rows: cols, cols: rows },
  data: Float64Array.from({ length: data.length }, (_, i) => data[(i % rows) * cols + Math.floor(i / rows)]!),
});

/** Largest element of x - y; y undefined: the identity. */
function distance(x: Dense, y?: Dense): number {
  const want = (i: number): number => y?.data[i] ?? (i % (x.cols + 1) === 0 ? 1 : 0);
  return Math.max(...x.data.map((value, i) => Math.abs(value - want(i))));
}

describe.each([
  [20, 12],
  [12, 20],
  [140, 150],
  [150, 140],
])("the largest singular values of [%i, %i]", (rows, cols) => {
  const r = 6;
  const w = draw(rows, cols, 3);
  const { u, s, v } = svd(w, r);

  it("have orthonormal vectors, W v = s u and W^T u = s v", () => {
    expect(distance(product(flip(u), u))).toBeLessThan(1e-10);
    expect(distance(product(flip(v), v))).toBeLessThan(1e-10);
    const scaled = (x: Dense): Dense => ({ ...x, data: x.data.map((value, i) => value * s[i % r]!) });
    expect(distance(product(w, v), scaled(u))).toBeLessThan(1e-6);
    expect(distance(product(flip(w), u), scaled(v))).toBeLessThan(1e-6);
  });

  it("leave nothing larger: what remains shrinks every vector to at most s[r - 1]", () => {
    const scaled: Dense = { ...u, data: u.data.map((value, i) => value * s[i % r]!) };
    const part = product(scaled, v, true);
    const left: Dense = { ...w, data: w.data.map((value, i) => value - part.data[i]!) };
    let x = draw(cols, 1, 9);
    let norm = 0;
    for (let step = 0; step < 60; step++) {
      x = product(flip(left), product(left, x));
      norm = Math.sqrt(x.data.reduce((sum, value) => sum + value * value, 0));
      x = { ...x, data: x.data.map((value) => value / norm) };
    }
    expect(Math.sqrt(norm)).toBeLessThan(s[r - 1]! * (1 + 1e-6));
    expect([...s]).toEqual([...s].sort((a, b) => b - a));
  });
});

it("singular values of a weight of low rank end in zeros", () => {
  const w = product(draw(150, 2, 5), draw(2, 140, 6));
  const { u, s, v } = svd(w, 4);
  expect(s[1]).toBeGreaterThan(1);
  expect(s[2]).toBeLessThan(1e-5);
  const scaled: Dense = { ...u, data: u.data.map((value, i) => value * s[i % 4]!) };
  expect(distance(product(scaled, v, true), w)).toBeLessThan(1e-6);
});

it("the first columns of Q are orthonormal and R = Q^T W is upper triangular", () => {
  const w = draw(20, 12, 4);
  const { q, r } = qr(w, 5);
  expect(distance(product(flip(q), q))).toBeLessThan(1e-12);
  expect(distance(product(flip(q), w), r)).toBeLessThan(1e-12);
  for (let i = 1; i < 5; i++)
    for (let j = 0; j < i; j++) expect(Math.abs(r.data[i * 12 + j]!)).toBeLessThan(1e-12);
});
