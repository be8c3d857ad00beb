import type { AdapterConfig } from "../methods/method.js";
import { type PatternForm, unmatchedPatterns } from "../methods/pattern.js";
import { option, type Words, words } from "../words.js";
import type { Matched } from "./targets.js";

/**
 * Says which patterns of a config match nothing, neither layers nor parameters that were named: Python's
 * PEFT warns of ranks and alphas, and of exclusions.
 * Reference: peft/tuners/tuners_utils.py, inject_adapter
 */
export function unmatchedWarnings(
  config: AdapterConfig,
  { linears, embeddings, convs, idleExclusion, containers }: Matched,
  parameters: readonly string[] = [],
): Words[] {
  const adapted = [...[...linears, ...embeddings, ...convs].map((site) => site.path), ...parameters];
  const tables = Object.entries(config).flatMap(([field, table]) => {
    if (!field.endsWith("Pattern") || !isTable(table)) return [];
    const unmatched = unmatchedPatterns(table, adapted, field, FORMS[`${config.peftType}.${field}`]);
    return unmatched.length === 0
      ? []
      : [
          words`${option(field)} ${JSON.stringify(unmatched)} match no adapted layer, and are without effect.`,
        ];
  });
  const some = containers.slice(0, 3).join(", ");
  return [
    ...tables,
    ...(idleExclusion === undefined
      ? []
      : [words`${option("excludeModules")} ${JSON.stringify(idleExclusion)} exclude no layer.`]),
    ...(containers.length === 0
      ? []
      : [
          words`${option("targetModules")} match ${some} too, which ${containers.length === 1 ? "is no layer" : "are no layers"}: Python's PEFT refuses such a pattern.`,
        ]),
  ];
}

/** Tables of FourierFT and C3A are read in a way of their own. */
const FORMS: Readonly<Record<string, PatternForm>> = {
  "FOURIERFT.nFrequencyPattern": "dotted",
  "OSF.rankPattern": "anywhere",
  "C3A.blockSizePattern": "dotted",
};

/** Numbers by pattern: AdaLoRA's ranks are lists by name. */
function isTable(x: unknown): x is Readonly<Record<string, number>> {
  return (
    typeof x === "object" &&
    x !== null &&
    !Array.isArray(x) &&
    Object.values(x).every((v) => typeof v === "number")
  );
}
