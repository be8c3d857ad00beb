import type { Inventory } from "./trace.js";

/** Weights that formats of 8 and 4 bits are for, linear layers' inside of blocks -> whether they are held [in, out]. */
export function quantizable({ linears, embeddings, blocks }: Inventory): ReadonlyMap<string, boolean> {
  const shared = new Set([...embeddings.values()].map((e) => e.weight));
  const isInBlock = (name: string): boolean => blocks.some((block) => name.startsWith(`${block}.`));
  const found = [...linears.values()].filter(({ weight }) => !shared.has(weight) && isInBlock(weight));
  return new Map(found.map(({ weight, transposed }) => [weight, transposed]));
}
