import type { FormatName } from "../engine/formats/index.js";
import type { LinearSite } from "../graph/module.js";
import type { Inventory } from "../trace/trace.js";

/** What a head is held in, whichever of 8 and 4 bits the linear layers of blocks are. */
export const HEAD_FORMAT: FormatName = "int8";

/** A weight that formats of 8 and 4 bits are for. */
export interface Quantizable {
  /** What it is made of: of an embedding that is the head as well, the head is a copy. */
  readonly from: string;
  /** Held [in, out]. */
  readonly transposed: boolean;
  readonly isHead: boolean;
}

/** Those of linear layers and of experts inside of blocks, and of the head over the vocabulary, by name. */
export function quantizable({
  linears,
  stacks,
  embeddings,
  blocks,
}: Inventory): ReadonlyMap<string, Quantizable> {
  const shared = new Set([...embeddings.values()].map((e) => e.weight));
  const vocabulary = Math.max(0, ...[...embeddings.values()].map((e) => e.vocab));
  const isInBlock = (name: string): boolean => blocks.some((block) => name.startsWith(`${block}.`));
  const found = new Map<string, Quantizable>();
  for (const site of linears.values()) {
    const { weight: from, transposed } = site;
    const isTied = shared.has(from);
    if (isInBlock(from) && !isTied) found.set(from, { from, transposed, isHead: false });
    else if (site.outDim === vocabulary)
      found.set(isTied ? headCopy(site) : from, { from, transposed, isHead: true });
  }
  for (const { weight: from, transposed } of stacks.values())
    if (isInBlock(from)) found.set(from, { from, transposed, isHead: false });
  return found;
}

/** The name that a tied head's weight has where it is held apart from the embedding. */
export function headCopy({ path }: LinearSite): string {
  return `${path}.weight`;
}
