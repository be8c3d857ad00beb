import { EigenvalueDecomposition, Matrix, QrDecomposition, SingularValueDecomposition } from "ml-matrix";
import { at } from "../present.js";
import { random, uniform } from "../random.js";
import type { Change } from "./method.js";

/** Row-major [rows, cols]. */
export interface Dense {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

/**
 * The largest singular values of W and their vectors: W ~ U diag(S) V^T, u [rows, r], s [r], v [cols, r].
 */
export interface TruncatedSvd {
  readonly u: Dense;
  readonly s: Float64Array;
  readonly v: Dense;
}

/** A weight, or a change of it, as [out, in] in f64. */
export function dense({ weight, inDim, outDim, transposed }: Change): Dense {
  const data = Float64Array.from(weight);
  if (transposed)
    for (const [at, w] of weight.entries()) data[(at % outDim) * inDim + Math.floor(at / outDim)] = w;
  return { rows: outDim, cols: inDim, data };
}

function toMatrix({ rows, cols, data }: Dense): Matrix {
  const out = new Matrix(rows, cols);
  for (const [at, x] of data.entries()) out.set(Math.floor(at / cols), at % cols, x);
  return out;
}

function fromMatrix(m: Matrix, cols: number = m.columns): Dense {
  const data = new Float64Array(m.rows * cols);
  for (let i = 0; i < m.rows; i++) for (let j = 0; j < cols; j++) data[i * cols + j] = m.get(i, j);
  return { rows: m.rows, cols, data };
}

/** Above this many directions a whole decomposition takes longer than the few that are asked for. */
const wholeUpTo = 128;

/** The r largest singular values and vectors, to about 1e-8 of the largest. */
export function svd(w: Dense, r: number): TruncatedSvd {
  if (Math.min(w.rows, w.cols) > wholeUpTo) return lanczos(w, r);
  const full = new SingularValueDecomposition(toMatrix(w), { autoTranspose: true });
  return {
    u: fromMatrix(full.leftSingularVectors, r),
    s: Float64Array.from(full.diagonal.slice(0, r)),
    v: fromMatrix(full.rightSingularVectors, r),
  };
}

/** W x */
function apply({ rows, cols, data }: Dense, x: Float64Array): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => dot(x, data.subarray(i * cols, (i + 1) * cols)));
}

/** W^T x */
function applyTransposed({ cols, data }: Dense, x: Float64Array): Float64Array {
  const y = new Float64Array(cols);
  for (const [i, factor] of x.entries()) addTimes(y, factor, data.subarray(i * cols, (i + 1) * cols));
  return y;
}

/** y + factor x, in y's place. */
export function addTimes(y: Float64Array, factor: number, x: Float64Array | Float32Array): void {
  for (let i = 0; i < y.length; i++) y[i]! += factor * x[i]!;
}

function dot(x: Float64Array, y: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * y[i]!;
  return sum;
}

/**
 * Takes from x what lies along the basis, twice for rounding's sake, and makes its length 1. Returns the
 * length before.
 */
function orthonormalize(x: Float64Array, basis: readonly Float64Array[]): number {
  for (let pass = 0; pass < 2; pass++) {
    for (const b of basis) {
      addTimes(x, -dot(x, b), b);
    }
  }
  const length = Math.sqrt(dot(x, x));
  if (length > 0) for (const [i, value] of x.entries()) x[i] = value / length;
  return length;
}

/** W V = U B with orthonormal U, V and B upper bidiagonal (diagonal alpha, above it beta). */
interface Bidiagonal {
  readonly u: Float64Array[];
  readonly v: Float64Array[];
  readonly alpha: number[];
  readonly beta: number[];
}

/** One more column of U and V. Where the space is used up, a random direction goes on with weight 0. */
function grow(w: Dense, { u, v, alpha, beta }: Bidiagonal, draw: () => number): void {
  const scale = Math.max(1e-300, ...alpha);
  const next = (x: Float64Array, basis: Float64Array[]): number => {
    const length = orthonormalize(x, basis);
    if (length > 1e-13 * scale) return length;
    do for (let i = 0; i < x.length; i++) x[i] = draw() - 0.5;
    while (orthonormalize(x, basis) < 1e-8);
    return 0;
  };
  const last = u.at(-1);
  const right = last === undefined ? new Float64Array(w.cols) : applyTransposed(w, last);
  const above = next(right, v);
  if (u.length > 0) beta.push(above);
  v.push(right);
  const left = apply(w, right);
  alpha.push(next(left, u));
  u.push(left);
}

/** Columns of a basis combined: [length, r]. */
function combine(basis: readonly Float64Array[], factors: Dense, r: number): Dense {
  const rows = at(basis, 0).length;
  const data = new Float64Array(rows * r);
  basis.forEach((column, k) => {
    for (let j = 0; j < r; j++) {
      const factor = at(factors.data, k * r + j);
      for (const [i, x] of column.entries()) data[i * r + j]! += factor * x;
    }
  });
  return { rows, cols: r, data };
}

/** The r largest singular values and vectors of B by the eigenvectors of B B^T, which is tridiagonal. */
function innerSvd({ alpha, beta }: Bidiagonal, r: number): TruncatedSvd {
  const size = alpha.length;
  const square = Matrix.zeros(size, size);
  for (const [i, x] of alpha.entries()) {
    square.set(i, i, x ** 2 + (beta[i] ?? 0) ** 2);
    if (i + 1 === size) continue;
    const beside = at(alpha, i + 1) * at(beta, i);
    square.set(i, i + 1, beside);
    square.set(i + 1, i, beside);
  }
  const eigen = new EigenvalueDecomposition(square, { assumeSymmetric: true });
  const s = Float64Array.from({ length: r }, (_, k) =>
    Math.sqrt(Math.max(0, at(eigen.realEigenvalues, size - 1 - k))),
  );
  const u = new Float64Array(size * r);
  const v = new Float64Array(size * r);
  for (const [k, value] of s.entries()) {
    const left = (i: number): number => eigen.eigenvectorMatrix.get(i, size - 1 - k);
    for (const [i, x] of alpha.entries()) {
      u[i * r + k] = left(i);
      const back = x * left(i) + (i === 0 ? 0 : at(beta, i - 1) * left(i - 1)); // B^T u = s v
      v[i * r + k] = value === 0 ? 0 : back / value;
    }
  }
  return { u: { rows: size, cols: r, data: u }, s, v: { rows: size, cols: r, data: v } };
}

/**
 * Golub-Kahan-Lanczos with full reorthogonalization: the largest singular values of W are soon those of a
 * small bidiagonal
 * matrix. Goes on until W^T u - s v is below 1e-8 of the largest for all r; with all directions used it
 * is exact.
 */
function lanczos(w: Dense, r: number): TruncatedSvd {
  const next = random(0);
  const limit = Math.min(w.rows, w.cols);
  const found: Bidiagonal = { u: [], v: [], alpha: [], beta: [] };
  for (let size = Math.min(limit, 2 * r + 32); ; size = Math.min(limit, Math.ceil(size * 1.5))) {
    while (found.u.length < size) grow(w, found, () => uniform(next));
    const inner = innerSvd(found, r);
    const leaving = orthonormalize(applyTransposed(w, at(found.u, -1)), found.v);
    const last = inner.u.data.subarray((size - 1) * r);
    const error = leaving * Math.max(...last.map(Math.abs));
    if (size === limit || error < 1e-8 * at(inner.s, 0)) {
      return { u: combine(found.u, inner.u, r), s: inner.s, v: combine(found.v, inner.v, r) };
    }
  }
}

/**
 * The first r columns of Q and rows of R of W = Q R: q [rows, r], r [r, cols]. They depend on W's first r
 * columns alone,
 * R = Q^T W. Signs as the reflections leave them.
 */
export function qr(w: Dense, r: number): { q: Dense; r: Dense } {
  const first = new Matrix(w.rows, r);
  for (let i = 0; i < w.rows; i++) for (let j = 0; j < r; j++) first.set(i, j, at(w.data, i * w.cols + j));
  const q = fromMatrix(new QrDecomposition(first).orthogonalMatrix, r);
  // LAPACK does not reflect the last column of a square matrix, where nothing stands below its diagonal.
  if (r === w.rows) for (let i = 0; i < r; i++) q.data[i * r + r - 1]! *= -1;
  const upper = new Float64Array(r * w.cols);
  for (let k = 0; k < r; k++) {
    const column = Float64Array.from({ length: w.rows }, (_, i) => at(q.data, i * r + k));
    upper.set(applyTransposed(w, column), k * w.cols);
  }
  return { q, r: { rows: r, cols: w.cols, data: upper } };
}
