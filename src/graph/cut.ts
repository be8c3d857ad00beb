import { at, entry } from "../present.js";
import type { Graph } from "./graph.js";
import { opRows } from "./op_rows.js";
import type { Tensor } from "./ops.js";

/** A part of a graph that can run by itself, after those before it. */
export interface Segment {
  /** Name of the block that it is; undefined: what stands between blocks. */
  readonly block: string | undefined;
  /** Results of earlier segments that it reads. */
  readonly inputs: readonly Tensor[];
  /** What later segments read, or the caller wants. */
  readonly outputs: readonly Tensor[];
}

/**
 * Cuts a graph at its blocks into segments, in an order in which they can run; the last one makes the results
 * that no block makes. Only what the results need is in it. What several blocks read (biases, an encoder's
 * output) is made once, before the first of them.
 */
export function cut(g: Graph, results: readonly Tensor[]): Segment[] {
  const madeBy = new Map<number, number>(); // tensor -> the block that makes it for others
  // a result from inside of a block (a layer's cross-attention keys) is made there too
  for (const [i, { outputs, range }] of g.blocks.entries())
    for (const y of [...Object.values(outputs), ...results])
      if (y.id >= range[0] && y.id < range[1]) madeBy.set(y.id, i);
  const wanted = g.blocks.map(() => new Set<Tensor>());
  const between = new Map<Tensor, number>(); // tensor made outside of blocks -> the first block that reads it
  const want = (tensors: Iterable<Tensor>): void => {
    for (const x of tensors) at(wanted, entry(madeBy, x.id)).add(x);
  };
  const isMade = (x: Tensor): boolean => madeBy.has(x.id);
  want(reach(results, isMade));
  for (const [i, { inputs, shared }] of [...g.blocks.entries()].reverse()) {
    const own = at(wanted, i);
    if (own.size === 0) continue;
    const given = new Set([...Object.values(inputs), ...Object.values(shared)].map((x) => x.id));
    const reads = reach(own, (x) => given.has(x.id) || (isMade(x) && madeBy.get(x.id) !== i));
    for (const x of reads) {
      if (isMade(x)) want([x]);
      else {
        between.set(x, i);
        want(reach([x], isMade));
      }
    }
  }
  return assemble(g, results, wanted, between);
}

function assemble(
  g: Graph,
  results: readonly Tensor[],
  wanted: readonly ReadonlySet<Tensor>[],
  between: ReadonlyMap<Tensor, number>,
): Segment[] {
  const segments: Segment[] = [];
  const made = new Set<number>();
  const add = (block: string | undefined, outputs: readonly Tensor[]): void => {
    const own = new Set(outputs.map((y) => y.id));
    const inputs = reach(outputs, (x) => made.has(x.id) && !own.has(x.id));
    segments.push({ block, inputs, outputs });
    for (const id of own) made.add(id);
  };
  for (const [i, block] of g.blocks.entries()) {
    const outputs = at(wanted, i);
    if (outputs.size === 0) continue;
    const before = [...between].flatMap(([x, first]) => (first === i ? [x] : []));
    if (before.length > 0) add(undefined, before);
    add(block.name, [...outputs]);
  }
  const rest = new Set(results.filter((y) => !made.has(y.id)));
  if (rest.size > 0) add(undefined, [...rest]);
  return segments;
}

/**
 * Where a walk back from tensors ends: at those for which `stop` holds, sources left out; in the order of
 * their making.
 */
function reach(from: Iterable<Tensor>, stop: (x: Tensor) => boolean): Tensor[] {
  const ends: Tensor[] = [];
  const seen = new Set<number>();
  const open = [...from];
  for (let x = open.pop(); x !== undefined; x = open.pop()) {
    if (seen.has(x.id) || opRows[x.op].isSource) continue;
    seen.add(x.id);
    if (stop(x)) ends.push(x);
    else open.push(...x.inputs);
  }
  return ends.sort((a, b) => a.id - b.id);
}
