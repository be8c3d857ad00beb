import type { Adapter } from "../adapters/adapter.js";
import { internal } from "../errors.js";
import type { EmbeddingSite, LinearSite } from "../graph/module.js";
import type { Inventory } from "../trace/trace.js";
import { takeInventory } from "../trace/write.js";
import type { BoundWeights } from "./weights.js";

/** An embedding and the head whose weight is the embedding's. */
export interface Tie {
  readonly embedding: EmbeddingSite;
  readonly head: LinearSite;
  /** The name that the head's weight has where it is one of its own. */
  readonly own: string;
}

type Layers = Pick<Inventory, "linears" | "embeddings">;

/** The tie of a model; undefined: its head, if any, has a weight of its own. */
export function tieOf({ linears, embeddings }: Layers): Tie | undefined {
  for (const head of linears.values()) {
    const own = `${head.path}.weight`;
    const embedding = [...embeddings.values()].find(({ weight }) => weight === head.weight);
    if (head.weight !== own && embedding !== undefined) return { embedding, head, own };
  }
  return undefined;
}

/** Whether an adapter has something in place of one side alone: with it the two are two weights. */
export function unties({ replaced }: Pick<Adapter, "replaced">, { own, embedding }: Tie): boolean {
  return replaced.get(own) !== replaced.get(embedding.weight);
}

/** A model whose head has a weight of its own, which starts as the embedding's. */
export function untied(bound: BoundWeights, { own, embedding }: Tie): BoundWeights {
  const spec = { ...bound.spec, config: { ...bound.spec.config, tied: false } };
  const source = bound.sources.get(embedding.weight) ?? internal(`no weight ${embedding.weight}`);
  return {
    ...bound,
    spec,
    inventory: takeInventory(spec),
    sources: new Map([...bound.sources, [own, source]]),
    readF32: (name) => bound.readF32(name === own ? embedding.weight : name),
  };
}
