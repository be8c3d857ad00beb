import type { Ops } from "../../src/graph/ops.js";
import { at, build, total, type Value } from "./arrays.js";

/** Row by row: the expert that it belongs to. */
function expertOf(starts: Value, row: number): number {
  return starts.data.findLastIndex((start) => start <= row);
}

/** y_e = x_e W_e^T */
export function expertLinear({ transposed }: Ops["expertLinear"], [x, starts, w]: readonly Value[]): Value {
  const [, a, b] = w!.shape as [number, number, number];
  const [outDim, inDim] = transposed ? [b, a] : [a, b];
  return build([x!.shape[0]!, outDim], ([row, out]) => {
    const e = expertOf(starts!, row!);
    return total(
      Array.from(
        { length: inDim },
        (_, k) => at(x!, [row!, k]) * at(w!, transposed ? [e, k, out!] : [e, out!, k]),
      ),
    );
  });
}

/** y_e^T x_e */
export function expertOuter(_: unknown, [y, x, starts]: readonly Value[]): Value {
  const rows = Array.from({ length: y!.shape[0]! }, (_, row) => row);
  return build([starts!.shape[0]! - 1, y!.shape[1]!, x!.shape[1]!], ([e, out, k]) =>
    total(
      rows
        .filter((row) => expertOf(starts!, row) === e)
        .map((row) => at(y!, [row, out!]) * at(x!, [row, k!])),
    ),
  );
}
