import { isRecord } from "../narrow.js";
import { taskOf } from "../tasks/registry.js";
import { formatBytes, formatDuration, plural } from "./describe.js";
import type { RunHeader, SampleEvent, TrainEvent, TrainEventOf } from "./events.js";
import { type Report, type ReportSample, renderReport } from "./report.js";
import type { RunPlan } from "./run_plan.js";
import type { Settings } from "./trainer_options.js";

/** What was run, as plain data: training_config.json, and the report's last section. */
export function configOf(s: Settings, plan: RunPlan): Record<string, unknown> {
  const {
    model,
    tokenizer,
    processor,
    train,
    source,
    validation,
    loss,
    signal,
    now,
    progress,
    metrics,
    lrFrom,
    config,
    resume,
    overwrite,
    betterIs,
    isSplit,
    needValidation,
    ...plain
  } = s;
  const { adapterConfig } = model;
  const adapter = adapterConfig === undefined ? {} : { adapter: { ...adapterConfig } };
  return {
    model: model.base.name,
    taskType: model.taskType,
    ...adapter,
    ...plain,
    ...(loss === undefined ? {} : { loss: loss.name }),
    maxGradNorm: Number.isFinite(s.maxGradNorm) ? s.maxGradNorm : "none",
    trainSamples: plan.source.size,
    ...(validation === undefined
      ? {}
      : { validationSamples: plan.validation.length, isValidationSplit: isSplit }),
    totalSteps: plan.totalSteps,
    warmupSteps: plan.warmupSteps,
    ...config,
  };
}

/** The same as texts; what lies in objects as "adapter.r". */
export function flatConfig(values: Readonly<Record<string, unknown>>, before = ""): [string, string][] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (isRecord(value)) return flatConfig(value, `${before}${name}.`);
    if (value === undefined) return [];
    return [[`${before}${name}`, typeof value === "string" ? value : JSON.stringify(value)]];
  });
}

interface Reported {
  readonly settings: Settings;
  readonly plan: RunPlan;
}

/** The page of a run, from all its events. */
export function reportOf({ settings, plan }: Reported, events: readonly TrainEvent[]): string {
  const of = <K extends TrainEvent["type"]>(type: K): TrainEventOf<K>[] =>
    events.filter((event): event is TrainEventOf<K> => event.type === type);
  const begun = of("start").at(-1);
  return renderReport({
    title: titleOf(settings, begun?.header),
    ...(begun === undefined ? {} : { header: begun.header, origin: begun.origin }),
    config: configOf(settings, plan),
    steps: of("step"),
    evaluations: of("evaluation"),
    samples: pairUp(of("sample")),
    summary: summaryOf(begun, of("evaluation").at(-1), of("end").at(-1)),
  });
}

/** "MiniLM-L6 · lora, rank 8 · text classification, 6 classes" */
function titleOf({ model }: Settings, header: RunHeader | undefined): string {
  const name = model.base.name.split(/[\\/]/).filter(Boolean).at(-1) ?? "model";
  const { taskType, trainedBy } = model;
  const rank = header?.rank === undefined ? "" : `, rank ${header.rank}`;
  const count = header?.classes?.length ?? 0;
  const classes = count === 0 ? "" : `, ${plural(count, "class", "classes")}`;
  return `${name} · ${trainedBy.name}${rank} · ${taskOf(taskType).title ?? taskType}${classes}`;
}

/** Outputs at step 0 beside the newest ones to the same prompt. */
function pairUp(samples: readonly SampleEvent[]): ReportSample[] {
  const last = samples.at(-1)?.step ?? 0;
  const before = new Map(samples.filter(({ step }) => step === 0).map((s) => [s.prompt, s.output]));
  return samples
    .filter(({ step }) => step === last)
    .map(({ prompt, turns, output, expected }) => {
      const first = last === 0 ? undefined : before.get(prompt);
      return {
        prompt,
        after: output,
        ...(turns === undefined ? {} : { turns }),
        ...(first === undefined ? {} : { before: first }),
        ...(expected === undefined ? {} : { expected }),
      };
    });
}

function summaryOf(
  start: TrainEventOf<"start"> | undefined,
  evaluation: TrainEventOf<"evaluation"> | undefined,
  end: TrainEventOf<"end"> | undefined,
): Report["summary"] {
  const summary: Record<string, string | number> = {};
  if (end !== undefined) {
    summary["result"] = end.reason;
    summary["steps"] = end.step;
    summary["training loss, last epoch"] = end.loss;
  }
  if (evaluation !== undefined)
    for (const [name, value] of Object.entries({ loss: evaluation.loss, ...evaluation.metrics }))
      summary[`validation ${name}`] = value;
  if (end?.best !== undefined)
    summary[`best ${end.best.metric}`] = `${Number(end.best.value.toPrecision(4))} at step ${end.best.step}`;
  if (start !== undefined) summary["trained parameters"] = start.trainableParameters;
  if (end === undefined) return summary;
  summary["time"] = formatDuration(end.seconds);
  summary["peak memory"] = formatBytes(end.peakMemoryBytes);
  if (end.estimatedMemory) {
    summary["expected memory"] = formatBytes(end.estimatedMemory.bytes);
    summary["plan"] = end.estimatedMemory.plan;
  }
  return summary;
}
