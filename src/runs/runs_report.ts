import { plural } from "../train/describe.js";
import type { TrainEvent, TrainEventOf } from "../train/events.js";
import { type Chart, type Curve, smooth, spread, thin } from "../train/report_charts.js";
import { cell, chartSections, renderPage, section, table } from "../train/report_html.js";
import { headerOf, type RecordedRun, tableOf } from "./compare_runs.js";

/** A page over several runs: what they differ in, what came of it, and their curves on the same axes. */
export function renderRunsReport(runs: readonly RecordedRun[], read?: (path: string) => string): string {
  const charts = chartsOf(runs);
  const body = [section("Runs", runsTable(runs)), chartSections(charts)].join("\n");
  const model = headerOf(runs[0])?.model.split(/[\\/]/).at(-1) ?? "";
  const title = `${plural(runs.length, "run")}${model === "" ? "" : ` of ${model}`}`;
  return renderPage({ title, body, charts, ...(read === undefined ? {} : { read }) });
}

function runsTable(runs: readonly RecordedRun[]): string {
  const { head, rows, best } = tableOf(runs);
  const kindOf = (row: number, column: number): string => {
    if (best[row]?.has(column)) return "number good";
    return /^[\d.e+-]+$/.test(rows[row]?.[column] ?? "") ? "number" : "";
  };
  return table(
    head,
    rows.map((texts, row) => texts.map((text, column) => cell(text, kindOf(row, column)))),
  );
}

interface Point {
  readonly step: number;
  readonly value: number | undefined;
}

/** Training loss, validation loss and each metric, a curve for each run that has it. */
function chartsOf(runs: readonly RecordedRun[]): Chart[] {
  const evaluations = runs.map((run) => of(run.events, "evaluation"));
  const metrics = [...new Set(evaluations.flat().flatMap((event) => Object.keys(event.metrics)))];
  const trained = runs.map((run): Point[] => {
    const steps = thin(of(run.events, "step"));
    const losses = smooth(steps.map(({ loss }) => loss));
    return steps.map(({ step }, i) => ({ step, value: losses[i] }));
  });
  const measured = (value: (event: TrainEventOf<"evaluation">) => number | undefined): Point[][] =>
    evaluations.map((list) => list.map((event) => ({ step: event.step, value: value(event) })));
  const names = runs.map(({ name }) => name);
  return [
    chartOf("Training loss, smoothed", "line", names, trained),
    chartOf(
      "Validation loss",
      "points",
      names,
      measured(({ loss }) => loss),
    ),
    ...metrics.map((metric) =>
      chartOf(
        `Validation ${metric}`,
        "points",
        names,
        measured((event) => event.metrics[metric]),
      ),
    ),
  ].filter(({ curves }) => curves.length > 0);
}

/** @param points of each run */
function chartOf(
  title: string,
  look: Curve["look"],
  names: readonly string[],
  points: readonly (readonly Point[])[],
): Chart {
  const x = [...new Set(points.flat().map(({ step }) => step))].sort((a, b) => a - b);
  const curves = points.map((known, i): Curve => {
    const values = known.map(({ value }) => value);
    return { label: names[i] ?? "", color: i, look, values: spread(x, known, values) };
  });
  return { title, x, curves: curves.filter(({ values }) => values.some((value) => value !== null)) };
}

function of<K extends TrainEvent["type"]>(events: readonly TrainEvent[], type: K): TrainEventOf<K>[] {
  return events.filter((event): event is TrainEventOf<K> => event.type === type);
}
