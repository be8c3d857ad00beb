import { Matrix, QrDecomposition, SingularValueDecomposition } from "ml-matrix";

/** Row-major [rows, cols]. */
export interface Dense {
  readonly rows: number;
  readonly cols: number;
  readonly data: Float64Array;
}

/** The largest singular values of W and their vectors: W ~ U diag(S) V^T, u [rows, r], s [r], v [cols, r]. */
export interface TruncatedSvd {
  readonly u: Dense;
  readonly s: Float64Array;
  readonly v: Dense;
}

function toMatrix({ rows, cols, data }: Dense): Matrix {
  const out = new Matrix(rows, cols);
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) out.set(i, j, data[i * cols + j]!);
  return out;
}

function fromMatrix(m: Matrix, cols: number = m.columns): Dense {
  const data = new Float64Array(m.rows * cols);
  for (let i = 0; i < m.rows; i++) for (let j = 0; j < cols; j++) data[i * cols + j] = m.get(i, j);
  return { rows: m.rows, cols, data };
}

export function svd(w: Dense, r: number): TruncatedSvd {
  const full = new SingularValueDecomposition(toMatrix(w), { autoTranspose: true });
  return {
    u: fromMatrix(full.leftSingularVectors, r),
    s: Float64Array.from(full.diagonal.slice(0, r)),
    v: fromMatrix(full.rightSingularVectors, r),
  };
}

/** The first r columns of Q [rows, r] and rows of R [r, cols], signs as LAPACK leaves them: diagonals of either sign. */
export function qr(w: Dense, r: number): { q: Dense; r: Dense } {
  const full = new QrDecomposition(toMatrix(w));
  const upper = fromMatrix(full.upperTriangularMatrix);
  return {
    q: fromMatrix(full.orthogonalMatrix, r),
    r: { rows: r, cols: upper.cols, data: upper.data.slice(0, r * upper.cols) },
  };
}
