import { averageOf, type ClassReport } from "../tasks/class_report.js";
import { option, type Words, words } from "../words.js";
import type { EndEvent, EvaluationProgress, RunHeader, StartEvent, StepEvent, TrainEvent } from "./events.js";

/**
 * What an event says, in lines.
 * @example
 * ```ts
 * import { describeEvent, Trainer } from "peft.js";
 *
 * for await (const event of new Trainer({ model, tokenizer, train: rows }).run())
 *   for (const line of describeEvent(event)) console.log(`${line}`);
 * ```
 */
export function describeEvent(event: TrainEvent): readonly (string | Words)[] {
  switch (event.type) {
    case "start":
      return [...describeHeader(event.header), describeStart(event)];
    case "step":
      return [`step ${event.step}/${event.totalSteps} | ${describeStep(event).join(" | ")}`];
    case "evaluation":
      return [
        `evaluation at step ${event.step}: ${figures({ loss: event.loss, ...event.metrics }, event.classes)}`,
      ];
    case "checkpoint":
      return [`checkpoint: ${event.path}${event.best ? " (best so far)" : ""}`];
    case "sample":
      return [
        `sample at step ${event.step}: ${JSON.stringify(event.prompt)}`,
        `  -> ${JSON.stringify(event.output)}${event.isCut ? " (cut)" : ""}${expected(event.expected)}`,
      ];
    case "warning":
      return [words`warning: ${event.message}`];
    case "end":
      return [describeEnd(event)];
  }
}

/** What a run will do, a line for each side of it. */
export function describeHeader(h: RunHeader): (string | Words)[] {
  const lines: (readonly [string, string | Words | undefined])[] = [
    ["model", h.model],
    ["task", `${h.task}${h.classes === undefined ? "" : `, ${classCounts(h.classes)}`}`],
    ["rows", rowsOf(h)],
    ["tokens", tokensOf(h)],
    ["method", methodOf(h)],
    [
      "training",
      `learning rate ${h.lr}${h.lrFrom === undefined ? "" : `, from ${h.lrFrom}`} (${h.schedule}), batches of ${batchOf(h)}`,
    ],
    ["engine", `${planOf(h)}${plural(h.threads, "thread")} on ${h.device}`],
  ];
  return lines.flatMap(([name, says]) => (says === undefined ? [] : [words`${name.padEnd(9)} ${says}`]));
}

function rowsOf({ rows, validationRows, isValidationSplit }: RunHeader): string | Words {
  const learnt = `${count(rows)} to learn`;
  if (validationRows === 0) return `${learnt}, none to evaluate on`;
  const known = `${learnt}, ${count(validationRows)} to evaluate on`;
  if (!isValidationSplit) return known;
  return words`${known}, taken from the others by the seed (${option("validation", "none", "validation: false")} learns all)`;
}

function tokensOf({ tokens, learntTokens = 0, lengths }: RunHeader): string | undefined {
  if (tokens === undefined || lengths === undefined) return undefined;
  const { median, longest, cut, limit } = lengths;
  const where = limit === undefined ? "none cut" : `${count(cut)} cut at ${count(limit)}`;
  return `${count(tokens)}, ${count(learntTokens)} labels learnt; a row has ${median} (median), at most ${longest}; ${where}`;
}

function methodOf({ method, rank, targets }: RunHeader): string {
  const some = targets.length > 8 ? [...targets.slice(0, 8), "..."] : targets;
  return [method, ...(rank === undefined ? [] : [`rank ${rank}`])]
    .join(", ")
    .concat(some.length === 0 ? "" : ` on ${some.join(", ")}`);
}

function batchOf({ batchSize, gradientAccumulationSteps: n }: RunHeader): string {
  return `${plural(batchSize, "row")}${n > 1 ? `, ${n} a step` : ""}`;
}

function planOf({ memoryPlan, expectedBytes = 0 }: RunHeader): string {
  return memoryPlan === undefined
    ? ""
    : `plan ${memoryPlan}, about ${formatBytes(expectedBytes)} with the longest batch; `;
}

/** The largest classes first, and the smallest where not all are shown. */
function classCounts(classes: NonNullable<RunHeader["classes"]>): string {
  const sorted = classes.toSorted((a, b) => b.rows - a.rows);
  const shown = sorted.length > 8 ? [...sorted.slice(0, 6), undefined, ...sorted.slice(-1)] : sorted;
  const texts = shown.map((entry) => (entry === undefined ? "..." : `${entry.label} ${count(entry.rows)}`));
  return `${plural(sorted.length, "class", "classes")}: ${texts.join(", ")}`;
}

/** Of what a loss says besides, what a line has room for. */
const SHOWN = ["reward", "objective/scores", "rewards/accuracies", "rewards/margins"];

/** The step's loss, speed, memory and the time that is left. */
export function describeStep(event: StepEvent): string[] {
  const { loss, metrics = {}, tokensPerSecond, memoryBytes, secondsLeft } = event;
  const shown = SHOWN.flatMap((name) => (name in metrics ? `${name} ${figure(metrics[name] ?? 0)}` : []));
  const speed = `${count(Math.round(tokensPerSecond))} tok/s`;
  const left = `${formatDuration(secondsLeft)} left`;
  return [`loss ${figure(loss)}`, ...shown, speed, formatBytes(memoryBytes), left];
}

/** How far an evaluation has come. */
export function describeProgress({ what, done, total }: EvaluationProgress): string {
  return `${{ evaluation: "evaluating", answers: "answering" }[what]}: ${count(done)} of ${plural(total, "row")}`;
}

function describeStart(e: StartEvent): string {
  const share = ((100 * e.trainableParameters) / e.allParameters).toFixed(2);
  const resumed = e.step > 0 ? `, from step ${e.step}` : "";
  return (
    `Training ${count(e.trainableParameters)} of ${count(e.allParameters)} parameters (${share} %) on ` +
    `${plural(e.rows, "row")}: ${plural(e.epochs, "epoch")}, ${plural(e.totalSteps, "step")}${resumed}.`
  );
}

function describeEnd(e: EndEvent): string {
  const how = { finished: "Finished", "stopped-early": "Stopped early", aborted: "Stopped by you" }[e.reason];
  const best = e.best ? ` Best ${e.best.metric} ${figure(e.best.value)} at step ${e.best.step}.` : "";
  const speed = count(Math.round(e.tokens / Math.max(e.seconds, 1e-9)));
  const { estimatedMemory: expected, evaluation } = e;
  const estimate = expected ? ` (${formatBytes(expected.bytes)} expected, plan ${expected.plan})` : "";
  const isOver = e.reason !== "aborted" || e.checkpoint === undefined;
  const resume = isOver ? "" : ` It can go on from ${e.checkpoint}.`;
  const validation = evaluation
    ? ` Validation: ${figures({ ...evaluation.metrics, loss: evaluation.loss }, evaluation.classes)}.`
    : "";
  return (
    `${how} after ${plural(e.step, "step")} and ${formatDuration(e.seconds)}: loss ${figure(e.loss)}, ` +
    `${speed} tok/s, peak memory ${formatBytes(e.peakMemoryBytes)}${estimate}.${validation}${best}${resume}`
  );
}

/** "loss 0.3123, accuracy 0.9100, f1 (macro) 0.8800" */
export function figures(values: Readonly<Record<string, number>>, classes?: ClassReport): string {
  return Object.entries(values)
    .map(([name, value]) => `${metricName(name, classes)} ${figure(value)}`)
    .join(", ");
}

/** f1 says which one it is. */
export function metricName(name: string, classes: ClassReport | undefined): string {
  return name === "f1" && classes !== undefined ? `f1 (${classes.f1})` : name;
}

/** A report class by class as a table: label, precision, recall, f1, support; averages last. */
export function classTable(report: ClassReport): string[][] {
  const row = (label: string, c: ReturnType<typeof averageOf>): string[] => [
    label,
    ...[c.precision, c.recall, c.f1].map(figure),
    count(c.support),
  ];
  return [
    ["class", "precision", "recall", "f1", "support"],
    ...report.classes.map((c) => row(c.label, c)),
    row("mean (macro)", averageOf(report, "macro")),
    row("mean (weighted)", averageOf(report, "weighted")),
  ];
}

function expected(text: string | undefined): string {
  return text === undefined ? "" : ` (expected ${JSON.stringify(text)})`;
}

/** A measured number, always to four places; very large and very small ones to four digits. */
export function figure(value: number): string {
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? String(Number(value.toPrecision(4))) : value.toFixed(4);
}

/** 1,032 */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** "1 epoch", "1,032 rows" */
export function plural(value: number, name: string, many = `${name}s`): string {
  return `${count(value)} ${value === 1 ? name : many}`;
}

/** 32 KB, 812 MB, 1.2 GB: powers of ten, as disks and downloads are measured. */
export function formatBytes(bytes: number): string {
  if (bytes < 999.5e3) return `${Math.ceil(bytes / 1e3)} KB`;
  if (bytes < 999.5e6) return `${Math.round(bytes / 1e6)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** 0:42, 12:03, 1:02:03; "?" while it is unknown. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const total = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(total % 60)}`;
}
