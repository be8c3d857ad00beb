import type { JudgedRow } from "../row.js";
import { show } from "../tables/values.js";
import { type Kind, readEntries, refuseEntry } from "./kind.js";
import { saidIn, toolsIn } from "./preference.js";

/** An answer that is desirable or not, as TRL's unpaired data sets have it: `label` is true or false. */
export const judged: Kind<JudgedRow> = {
  kind: "judged",
  slots: {
    prompt: { names: ["prompt", "question", "instruction"] },
    completion: { names: ["completion", "response", "answer"] },
    label: { names: ["label", "desirable"] },
    tools: { names: ["tools"], optional: true },
  },
  convert: (entries, faults) =>
    readEntries(
      entries,
      faults,
      ({ at, values }): JudgedRow => ({
        kind: "judged",
        at,
        prompt: saidIn(values, "prompt"),
        completion: saidIn(values, "completion"),
        isDesirable: readLabel(values["label"]),
        ...toolsIn(values),
      }),
    ),
};

const labels: Readonly<Record<string, boolean>> = { true: true, false: false, 1: true, 0: false };

function readLabel(value: unknown): boolean {
  return labels[String(value).toLowerCase()] ?? refuseEntry(`the label ${show(value)} is not true or false`);
}
