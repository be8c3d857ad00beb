import { addDims, type Dim, dimAt, subDims } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import { isOp, type Tensor } from "../graph/ops.js";

/** Pieces that lie side by side in a tensor, from `start` to `end` along `axis`. */
interface Span {
  readonly axis: number;
  readonly start: Dim;
  readonly end: Dim;
  readonly pieces: readonly Tensor[];
}

/**
 * What each consumer of one tensor contributes to its gradient, with fewer terms. Where a tensor was cut (q,
 * k and v of one product, the halves of a rotation), each piece's gradient arrives padded with zeroes to the
 * whole: pieces that lie side by side are concatenated instead, which saves a pass over the whole per piece,
 * and another to add them.
 */
export function joinSlices(g: Graph, parts: readonly Tensor[]): Tensor[] {
  const [first] = parts;
  if (first === undefined || parts.length === 1) return [...parts];
  const rest: Tensor[] = [];
  const spans: Span[] = [];
  for (const part of parts) {
    if (!isOp(part, "pad")) {
      rest.push(part);
      continue;
    }
    const { axis, before: start } = part.attrs;
    const piece = part.inputs[0];
    const end = addDims(start, dimAt(piece.shape, axis));
    const left = take(spans, (span) => span.axis === axis && span.end === start);
    const right = take(spans, (span) => span.axis === axis && span.start === end);
    spans.push({
      axis,
      start: left?.start ?? start,
      end: right?.end ?? end,
      pieces: [...(left?.pieces ?? []), piece, ...(right?.pieces ?? [])],
    });
  }
  for (const { axis, start, end, pieces } of spans)
    rest.push(g.pad(g.concat(pieces, axis), axis, start, subDims(dimAt(first.shape, axis), end)));
  return rest;
}

function take(spans: Span[], matches: (span: Span) => boolean): Span | undefined {
  const i = spans.findIndex(matches);
  return i < 0 ? undefined : spans.splice(i, 1)[0];
}
