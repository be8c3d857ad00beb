import { PeftError } from "../errors.js";
import type { Graph } from "../graph/graph.js";
import type { LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { checkDivides } from "./block_sizes.js";
import { type NestedTable, numberIn } from "./nested.js";

/** BD-LoRA (arXiv 2510.23346): A or B of a layer is block-diagonal, so that devices exchange less. */
export const bdloraTable: NestedTable = {
  target_modules_bd_a: { kind: "names", means: "parts of names of layers whose A is block-diagonal" },
  target_modules_bd_b: { kind: "names", means: "parts of names of layers whose B is block-diagonal" },
  nblocks: { kind: "whole", min: 1, byDefault: 1, means: "how many blocks" },
  match_strict: { kind: "flag", byDefault: true, means: "every target is one of these" },
};

/** Which factor of a layer is block-diagonal, in how many blocks. */
export interface Blocks {
  readonly factor: "a" | "b";
  readonly count: number;
}

/** Throws "adapter-config" for a layer that is both, neither where one is asked for, or not divided. */
export function blocksOf(
  given: Readonly<Record<string, unknown>> | undefined,
  site: LinearSite,
  r: number,
): Blocks | undefined {
  if (given === undefined) return undefined;
  const name = site.path.slice(site.path.lastIndexOf(".") + 1);
  const names = (field: string): readonly unknown[] => [given[field] ?? []].flat();
  const has = (field: string): boolean => names(field).some((part) => name.includes(`${part}`));
  const [a, b] = [has("target_modules_bd_a"), has("target_modules_bd_b")];
  if (a && b) throw cannot(site, "target_modules_bd_a and target_modules_bd_b both name it");
  if (!a && !b && given["match_strict"] !== false)
    throw cannot(
      site,
      "neither target_modules_bd_a nor target_modules_bd_b names it, and match_strict is true",
    );
  if (!a && !b) return undefined;
  const count = numberIn(given, bdloraTable, "nblocks");
  checkDivides(site, { name: "nblocks", count, sizes: [a ? site.inDim : site.outDim, r] });
  return { factor: a ? "a" : "b", count };
}

function cannot({ path }: LinearSite, why: string): PeftError {
  return new PeftError("adapter-config", {
    what: words`${option("useBdlora")} does not fit ${path}.`,
    why: `${why}.`,
    fix: 'name each target in one of the lists, or give "match_strict": false.',
  });
}

/** The whole matrix [rows, columns] of its blocks side by side, [rows, columns / count]. */
export function wholeOf(
  g: Graph,
  stored: Tensor,
  [rows, width]: readonly [number, number],
  count: number,
): Tensor {
  const own = Array.from({ length: rows * count }, (_, i) =>
    Math.floor((Math.floor(i / count) * count) / rows) === i % count ? 1 : 0,
  );
  const spread = g.mul(g.unsqueeze(stored, 1), g.constant(own, [rows, count, 1])); // [rows, count, width]
  return g.reshape(spread, [rows, count * width]);
}
