import { PeftError } from "../errors.js";
import type { LinearSite } from "../graph/module.js";
import { option, words } from "../words.js";

/**
 * Throws "adapter-config" where a layer cannot be cut into equal parts: `name` is the option that is `count`,
 * and `sizes` are the layer's sizes that it has to divide.
 */
export function checkDivides(
  { path, inDim, outDim }: LinearSite,
  { name, count, sizes = [inDim, outDim] }: { name: string; count: number; sizes?: readonly number[] },
): void {
  const odd = sizes.filter((size) => size % count !== 0);
  if (odd.length === 0) return;
  const cut = `the layer's weight [${outDim}, ${inDim}] is cut into equal parts`;
  throw new PeftError("adapter-config", {
    what: words`${option(name)} is ${count} at ${path}.`,
    why: `${cut}, and ${count} does not divide ${odd.join(" and ")}.`,
    fix: words`${option(name, [count, ...sizes].reduce(commonDivisor))}, or leave ${path} out of ${option("targetModules")}.`,
  });
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
