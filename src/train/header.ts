import { ignoreIndex } from "../data/batch.js";
import type { EncodeReport } from "../data/encode.js";
import { labelNames, type Row } from "../data/row.js";
import type { Sample } from "../data/sample.js";
import { at } from "../present.js";
import type { RunHeader } from "./events.js";
import type { RunPlan } from "./run_plan.js";
import type { Settings } from "./trainer_options.js";

/** What a run will do, said before its first step. The plan of its memory is there once it was chosen. */
export function headerOf(s: Settings, plan: RunPlan): RunHeader {
  const { model, train, validation, lr, lrFrom, schedule, batchSize, gradientAccumulationSteps, isSplit } = s;
  const { memoryEstimate, compute } = model.base.runtime;
  const { adapterConfig } = model;
  const rank = rankOf(adapterConfig);
  const classes = classCounts(train);
  return {
    model: model.base.name,
    task: model.taskType,
    ...(classes === undefined ? {} : { classes }),
    rows: plan.source.size,
    validationRows: validation?.length ?? plan.source.validationSize ?? 0,
    isValidationSplit: isSplit,
    ...tokensOf(plan.samples, plan.report),
    method: adapterConfig?.peftType ?? "all weights",
    ...(rank === undefined ? {} : { rank }),
    targets: model.adapterTargets,
    lr,
    ...(lrFrom === undefined ? {} : { lrFrom }),
    schedule,
    batchSize,
    gradientAccumulationSteps,
    ...(memoryEstimate === undefined
      ? {}
      : { memoryPlan: memoryEstimate.plan.name, expectedBytes: memoryEstimate.bytes }),
    ...compute,
  };
}

/** The method's `r`, where it has one. */
function rankOf(config: object | undefined): number | undefined {
  const rank = config === undefined || !("r" in config) ? undefined : config.r;
  return typeof rank === "number" ? rank : undefined;
}

/** How many rows (or words) each class has, in the order of the ids; undefined: the rows have none. */
export function classCounts(rows: readonly Row[]): RunHeader["classes"] | undefined {
  const names = labelNames(rows);
  if (names.length === 0) return undefined;
  const counts = names.map(() => 0);
  for (const row of rows)
    for (const id of idsOf(row)) if (id !== ignoreIndex) counts[id] = at(counts, id) + 1;
  return names.map((label, id) => ({ label, rows: at(counts, id) }));
}

function idsOf(row: Row): readonly number[] {
  if (row.kind === "tokens") return row.tags;
  if (!("problemType" in row) || row.problemType === "regression") return [];
  if (row.problemType === "single_label_classification") return row.labels;
  return row.labels.flatMap((is, id) => (is > 0 ? [id] : []));
}

/** Of a stream, its first rows alone are known; of steps that come from elsewhere, nothing. */
function tokensOf(
  samples: readonly Sample[],
  report: EncodeReport | undefined,
): Pick<RunHeader, "tokens" | "learntTokens" | "lengths"> {
  if (report === undefined || samples.length === 0) return {};
  const lengths = samples.map(({ inputIds }) => inputIds.length).sort((a, b) => a - b);
  const { tokens, learntTokens, truncated, maxLength } = report;
  return {
    tokens,
    learntTokens,
    lengths: {
      median: at(lengths, Math.floor(lengths.length / 2)),
      longest: report.longest,
      cut: truncated,
      ...(Number.isFinite(maxLength) ? { limit: maxLength } : {}),
      histogram: histogramOf(lengths),
    },
  };
}

/** Most bars of the lengths' histogram. */
const BARS = 20;

/** Samples by their length: [least length of a bar, samples]. */
function histogramOf(lengths: readonly number[]): (readonly [number, number])[] {
  const longest = lengths.at(-1) ?? 0;
  const width = Math.max(1, Math.ceil((longest + 1) / BARS));
  const counts = Array.from({ length: Math.floor(longest / width) + 1 }, () => 0);
  for (const length of lengths) {
    const bar = Math.floor(length / width);
    counts[bar] = at(counts, bar) + 1;
  }
  const first = counts.findIndex((count) => count > 0);
  return counts.map((count, bar) => [bar * width, count] as const).slice(first);
}
