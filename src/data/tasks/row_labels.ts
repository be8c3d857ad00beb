import { at } from "../../present.js";
import type { Floats, Ids, ProblemType } from "../batch.js";
import { count } from "../faults.js";
import { column, stack } from "../padding.js";
import { classFault } from "./task.js";

// Labels of rows as a whole: one class, marks of several, or numbers.

/** `labels`: one class id, or one number (regression), or a 0 or 1 per class. */
interface Labelled {
  readonly problemType: ProblemType;
  readonly labels: Float32Array; // [1] or [labels]
}

/** A batch's labels: [rows, 1] class ids, or [rows, labels] numbers. */
export type RowLabels =
  | { readonly problemType: "single_label_classification"; readonly labels: Ids }
  | { readonly problemType: "multi_label_classification" | "regression"; readonly labels: Floats };

export function rowLabels(samples: readonly Labelled[]): RowLabels {
  const problemType = samples[0]?.problemType ?? "single_label_classification";
  const labels = samples.map((sample) => sample.labels);
  if (problemType !== "single_label_classification") return { problemType, labels: stack(labels) };
  return { problemType, labels: column(labels.map((label) => at(label, 0))) };
}

/** A row's labels in words. */
export function labelText({ labels, problemType }: Labelled, name: (id: number) => string): string {
  const values = [...labels];
  // a number as the file has it, not as f32 does
  if (problemType === "regression") return String(Number(at(values, 0).toPrecision(7)));
  if (problemType === "single_label_classification") return name(at(values, 0));
  return values.flatMap((v, id) => (v > 0 ? [name(id)] : [])).join(", ");
}

/** Says which labels a head of so many does not have. */
export function rowLabelFault({ problemType, labels }: Labelled, numLabels: number): string | undefined {
  if (problemType === "single_label_classification") return classFault(labels, numLabels);
  return labels.length === numLabels ? undefined : count(labels.length, "label");
}
