import { PeftError } from "../errors.js";
import { isRecord, messageOf } from "../narrow.js";
import { option, words } from "../words.js";
import type { Prediction } from "./prediction.js";

/**
 * Figures of your own: gets what the model said about each row, gives numbers by name. They stand beside the
 * task's own, and in place of one of the same name.
 */
export type CustomMetrics = (
  predictions: readonly Prediction[],
) => Readonly<Record<string, number>> | Promise<Readonly<Record<string, number>>>;

/** What such a function gives. Throws "option" where it throws, or gives no numbers by name. */
export async function measureBy(
  metrics: CustomMetrics,
  predictions: readonly Prediction[],
): Promise<Readonly<Record<string, number>>> {
  let values: unknown;
  try {
    values = await metrics(predictions);
  } catch (cause) {
    throw new PeftError("option", {
      what: `The metrics function threw "${messageOf(cause)}".`,
      why: `it is called with the predictions of an evaluation, ${predictions.length} of them here.`,
      fix: "mend the function; the newest checkpoint is from before this evaluation.",
      cause,
    });
  }
  if (isRecord(values) && Object.values(values).every((value) => typeof value === "number"))
    return values as Record<string, number>;
  throw new PeftError("option", {
    what: `The metrics function gave ${JSON.stringify(values) ?? String(values)}.`,
    why: "it gives numbers by name.",
    fix: "return an object such as { accuracy: 0.9 }.",
  });
}

/** Which way a metric is better whose name alone is known: of losses and errors less is better. */
export function directionOf(name: string): "higher" | "lower" {
  return /(loss|error)$/i.test(name) ? "lower" : "higher";
}

/** Throws "option" where an evaluation has not the metric by which runs are compared. */
export function expectMetric(name: string, values: Readonly<Record<string, number>>): void {
  if (name in values) return;
  throw new PeftError("option", {
    what: words`${option("bestMetric")} is "${name}", which the evaluation does not have.`,
    why: `it has ${Object.keys(values).join(", ")}, those of the metrics function among them.`,
    fix: "name one of these, or return a number of that name.",
  });
}
