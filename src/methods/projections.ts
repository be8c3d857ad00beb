import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import type { Initial, ParameterSpec, Place } from "./method.js";
import { TorchRandom } from "./torch_random.js";

/** What the config of a method says whose layers share random matrices A and B. */
interface ProjectionConfig {
  readonly r: number;
  readonly projectionPrngKey: number;
  readonly saveProjection: boolean;
}

/**
 * A [inner, in] and B [out, r] for the widest layers: others use their first columns and rows. Keys are
 * `vera_A` and `vera_B` for the method "vera".
 */
export function projections(
  c: ProjectionConfig,
  sites: readonly LinearSite[],
  { method, inner }: { readonly method: string; readonly inner: number },
): ParameterSpec[] {
  const inDim = Math.max(...sites.map((s) => s.inDim));
  const outDim = Math.max(...sites.map((s) => s.outDim));
  const random = new TorchRandom(c.projectionPrngKey); // A is drawn first
  const drawn = (fan: number): Initial => {
    const bound = Math.sqrt(3) * (Math.SQRT2 / Math.sqrt(fan));
    return { kind: "made", make: (data) => random.uniform(data, -bound, bound) };
  };
  const frozen = c.saveProjection ? "saved" : "derived";
  return [
    { key: `${method}_A`, shape: [inner, inDim], initial: drawn(inDim), frozen },
    { key: `${method}_B`, shape: [outDim, c.r], initial: drawn(c.r), frozen },
  ];
}

/** The parts of A [inner, in] and B [out, r] that a layer uses. */
export function projectionsAt(
  { g, site, shared }: Pick<Place, "g" | "shared"> & { readonly site: LinearSite },
  method: string,
): { readonly a: Tensor; readonly b: Tensor } {
  return {
    a: g.slice(shared(`${method}_A`), 1, 0, site.inDim),
    b: g.slice(shared(`${method}_B`), 0, 0, site.outDim),
  };
}
