/** How the difference between a sampler's probabilities and the policy's own is made up for. */
export interface SamplerLimits {
  /** A ratio for each token, or one for an answer. @default "sequence" */
  readonly level?: "token" | "sequence";
  /** What lies outside is brought to the limits, or does not count. @default "mask" */
  readonly limit?: "truncate" | "mask";
  /** @default none */
  readonly least?: number | undefined;
  /** @default 3 */
  readonly most?: number | undefined;
}

/**
 * Ratios p_old / p_sampler, limited: [answers][tokens], or [answers][1] of whole answers.
 * @param differences - log p_old - log p_sampler of each token, 0 where none counts
 */
export function samplerRatios(
  differences: readonly (readonly number[])[],
  { level = "sequence", limit = "mask", least = Number.NEGATIVE_INFINITY, most = 3 }: SamplerLimits = {},
): number[][] {
  return differences.map((row) => {
    const logs = level === "sequence" ? [row.reduce((a, b) => a + b, 0)] : row;
    return logs.map((log) => {
      const ratio = Math.exp(log);
      if (limit === "truncate") return Math.min(Math.max(ratio, least), most);
      return ratio < least || ratio > most ? 0 : ratio;
    });
  });
}

/** Sums of their logarithms, each within log 1e-8 and 20: [answers] */
export function samplerLogs(ratios: readonly (readonly number[])[]): number[] {
  const bounded = (ratio: number): number => Math.min(Math.max(Math.log(ratio), Math.log(1e-8)), 20);
  return ratios.map((row) => row.reduce((sum, ratio) => sum + bounded(ratio), 0));
}

/** Metrics of what counts of both, under TRL's names. */
export function samplerMetrics(
  differences: readonly (readonly number[])[],
  ratios: readonly (readonly number[])[],
): Record<string, number> {
  const [far, all] = [differences.flat().map(Math.abs), ratios.flat()];
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  return {
    "sampling/sampling_logp_difference/mean": mean(far),
    "sampling/sampling_logp_difference/max": Math.max(...far),
    "sampling/importance_sampling_ratio/min": Math.min(...all),
    "sampling/importance_sampling_ratio/mean": mean(all),
    "sampling/importance_sampling_ratio/max": Math.max(...all),
  };
}
