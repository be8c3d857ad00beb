import type { StepResult } from "../peft/trainable.js";

/** What losses said of the batches of a step: the mean of each figure over those that have it. */
export function meanMetrics(
  results: readonly Pick<StepResult, "metrics">[],
): Readonly<Record<string, number>> | undefined {
  const said = new Map<string, number[]>();
  for (const { metrics = {} } of results)
    for (const [name, value] of Object.entries(metrics)) said.set(name, [...(said.get(name) ?? []), value]);
  if (said.size === 0) return undefined;
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  return Object.fromEntries([...said].map(([name, values]) => [name, mean(values)]));
}
