import type { EvaluationEvent, StepEvent } from "./events.js";

export type ReportStep = Pick<StepEvent, "step" | "loss" | "lr"> &
  Partial<Pick<StepEvent, "gradNorm" | "tokensPerSecond">>;
export type ReportEvaluation = Pick<EvaluationEvent, "step" | "loss" | "metrics" | "classes">;

export interface Curve {
  label: string;
  /** Colour by place in the page's palette. */
  color: number;
  look: "faint" | "line" | "points";
  /** One value per x; null where this curve has none. */
  values: (number | null)[];
}

export interface Chart {
  title: string;
  x: number[];
  /** The first steps would press the rest flat: heights are drawn by their logarithm. */
  isLogarithmic?: boolean;
  curves: Curve[];
}

/** More points than this cannot be told apart on a screen; runs of steps are then averaged. */
const MOST_POINTS = 2000;

/** Loss with validation, learning rate, and the evaluations' metrics where there are any. */
export function reportCharts(
  steps: readonly ReportStep[],
  evaluations: readonly ReportEvaluation[],
): Chart[] {
  const thinned = thin(steps);
  const x = [...new Set([...thinned, ...evaluations].map(({ step }) => step))].sort((a, b) => a - b);
  const loss = thinned.map((s) => s.loss);
  const trainAt = (values: readonly (number | undefined)[]): (number | null)[] => spread(x, thinned, values);
  const evaluationAt = (value: (e: ReportEvaluation) => number | undefined): (number | null)[] =>
    spread(x, evaluations, evaluations.map(value));
  const metrics = [...new Set(evaluations.flatMap((e) => Object.keys(e.metrics)))];
  const single = (title: string, values: readonly (number | undefined)[]): Chart => {
    const curve = { label: title, color: 3, look: "line", values: trainAt(values) } as const;
    return { title, x, curves: [curve] };
  };
  const charts: Chart[] = [
    {
      title: "Loss",
      x,
      isLogarithmic: spreadsWide([...loss, ...evaluations.map((e) => e.loss)]),
      curves: [
        { label: "train, each step", color: 0, look: "faint", values: trainAt(loss) },
        { label: "train, smoothed", color: 0, look: "line", values: trainAt(smooth(loss)) },
        { label: "validation", color: 1, look: "points", values: evaluationAt((e) => e.loss) },
      ],
    },
    {
      title: "Learning rate",
      x,
      curves: [{ label: "learning rate", color: 2, look: "line", values: trainAt(thinned.map((s) => s.lr)) }],
    },
    {
      title: "Metrics on the validation set",
      x,
      curves: metrics.map((name, i) => ({
        label: name,
        color: i + 1,
        look: "points",
        values: evaluationAt((e) => e.metrics[name]),
      })),
    },
    single(
      "Norm of the gradient, before clipping",
      thinned.map((s) => s.gradNorm),
    ),
    single(
      "Tokens in a second",
      thinned.map((s) => s.tokensPerSecond),
    ),
  ];
  return charts
    .map((chart) => ({
      ...chart,
      curves: chart.curves.filter((c) => c.values.some((value) => value !== null)),
    }))
    .filter((chart) => chart.curves.length > 0);
}

/** Whether the largest of positive numbers is more than ten times the smallest. */
function spreadsWide(values: readonly number[]): boolean {
  const known = values.filter((value) => Number.isFinite(value));
  const [least, most] = known.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, 0]);
  return least > 0 && most > 10 * least;
}

/** Means of equal runs of steps, each standing at its last step. */
export function thin(steps: readonly ReportStep[]): ReportStep[] {
  const run = Math.ceil(steps.length / MOST_POINTS);
  if (run <= 1) return [...steps];
  const groups = Array.from({ length: Math.ceil(steps.length / run) }, (_, i) =>
    steps.slice(i * run, (i + 1) * run),
  );
  return groups.map((group) => ({
    ...group.at(-1)!,
    loss: group.reduce((total, { loss }) => total + loss, 0) / group.length,
  }));
}

/** Exponential mean over about a thirtieth of the run, free of the pull towards its start. */
export function smooth(values: readonly number[]): number[] {
  const keep = 1 - 1 / Math.max(2, values.length / 30);
  let weight = 0;
  let total = 0;
  return values.map((value) => {
    if (Number.isFinite(value)) {
      total = keep * total + (1 - keep) * value;
      weight = keep * weight + (1 - keep);
    }
    return total / weight;
  });
}

/** Values at their steps, null elsewhere and for what cannot be drawn. */
export function spread(
  x: readonly number[],
  at: readonly { step: number }[],
  values: readonly (number | undefined)[],
): (number | null)[] {
  const known = new Map(at.map(({ step }, i) => [step, values[i]]));
  return x.map((step) => {
    const value = known.get(step);
    return value !== undefined && Number.isFinite(value) ? value : null;
  });
}
