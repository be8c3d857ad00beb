import { nodeFiles } from "../hub/files.js";
import { readJsonObject } from "../hub/json.js";
import { directionOf } from "../train/custom_metrics.js";
import { figure, formatDuration } from "../train/describe.js";
import type { RunHeader, TrainEvent, TrainEventOf } from "../train/events.js";
import { readMetrics } from "../train/run_folder.js";
import { flatConfig } from "../train/run_report.js";

/** A run as its folder tells it. */
export interface RecordedRun {
  /** Its folder, below the one that was looked through. */
  readonly name: string;
  readonly events: readonly TrainEvent[];
  /** training_config.json, by its names in the file; what lies in objects as "adapter.r". */
  readonly config: ReadonlyMap<string, string>;
}

/** Folders are looked through so deep: a sweep's runs lie one below it. */
const DEEPEST = 3;

/** The runs in a folder and below it, in the order of their names. */
export async function readRuns(folder: string, name = "", depth = 0): Promise<RecordedRun[]> {
  const names = await nodeFiles.list(folder);
  const found: RecordedRun[] = [];
  if (names.includes("metrics.jsonl") && names.includes("training_config.json")) {
    const config = flatConfig(await readJsonObject(nodeFiles.join(folder, "training_config.json")));
    found.push({ name: name || ".", events: await readMetrics(folder), config: new Map(config) });
  }
  if (depth === DEEPEST) return found;
  for (const below of names) {
    const path = nodeFiles.join(folder, below);
    if (below.startsWith(".") || below === "checkpoints" || !(await nodeFiles.isFolder(path))) continue;
    found.push(...(await readRuns(path, name === "" ? below : `${name}/${below}`, depth + 1)));
  }
  return found;
}

/** Of a run: not what it was asked for, but where it is and what follows from the rest. */
const FOLLOWS = /^(output_dir|command|files|total_steps|warmup_steps|train_samples|validation_samples)$/;

/** Runs side by side, a row each: what they were asked for where they differ, and what came of it. */
export interface RunTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** For each row the columns in which no run is better. */
  readonly best: readonly ReadonlySet<number>[];
}

/** Runs as a table: their options where these differ, their figures, and which are best. */
export function tableOf(runs: readonly RecordedRun[]): RunTable {
  const options = differing(runs);
  const outcomes = runs.map(outcomeOf);
  const measured = [...new Set(outcomes.flatMap((outcome) => Object.keys(outcome.values)))];
  const tops = measured.map((name) => topOf(name, outcomes));
  const head = ["run", ...options, ...measured, "time", "result"];
  const rows = runs.map((run, i) => {
    const { values = {}, time = "", result = "" } = outcomes[i] ?? {};
    const figures = measured.map((name) => (values[name] === undefined ? "" : figure(values[name])));
    return [run.name, ...options.map((name) => run.config.get(name) ?? ""), ...figures, time, result];
  });
  const best = outcomes.map(({ values }) => {
    const columns = measured.flatMap((name, i) =>
      runs.length > 1 && values[name] !== undefined && values[name] === tops[i]
        ? [1 + options.length + i]
        : [],
    );
    return new Set(columns);
  });
  return { head, rows, best };
}

/** Names of options that not all runs have alike. */
function differing(runs: readonly RecordedRun[]): string[] {
  const names = new Set(runs.flatMap(({ config }) => [...config.keys()]));
  return [...names].filter((name) => {
    const values = new Set(runs.map(({ config }) => config.get(name)));
    return values.size > 1 && !FOLLOWS.test(name);
  });
}

interface Outcome {
  readonly values: Readonly<Record<string, number>>;
  readonly time: string;
  readonly result: string;
}

/** The evaluation of the weights that a run left, else its last one; the training loss besides. */
function outcomeOf({ events }: RecordedRun): Outcome {
  const of = <K extends TrainEvent["type"]>(type: K): TrainEventOf<K> | undefined =>
    events.findLast((event): event is TrainEventOf<K> => event.type === type);
  const [end, step] = [of("end"), of("step")];
  const evaluation = end?.evaluation ?? of("evaluation");
  const loss = end?.loss ?? step?.loss;
  return {
    values: {
      ...(loss === undefined ? {} : { "train loss": loss }),
      ...(evaluation === undefined ? {} : { loss: evaluation.loss, ...evaluation.metrics }),
    },
    time: end === undefined ? "" : formatDuration(end.seconds),
    result: end?.reason ?? `at step ${step?.step ?? 0}`,
  };
}

function topOf(name: string, outcomes: readonly Outcome[]): number | undefined {
  const known = outcomes.flatMap(({ values }) => (values[name] === undefined ? [] : [values[name]]));
  const isLower = directionOf(name) === "lower";
  return known.reduce<number | undefined>(
    (best, value) => (best === undefined || (isLower ? value < best : value > best) ? value : best),
    undefined,
  );
}

/** What a run said of itself when it began. */
export function headerOf(run: RecordedRun | undefined): RunHeader | undefined {
  return run?.events.find((event) => event.type === "start")?.header;
}
