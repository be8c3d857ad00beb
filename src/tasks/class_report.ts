import { at } from "../present.js";

/** How well one class is told. */
export interface ClassFigures {
  readonly label: string;
  /** Of what was told as it, the share that is. 0 where nothing was. */
  readonly precision: number;
  /** Of what is it, the share that was told as it. 0 where nothing is. */
  readonly recall: number;
  /** 2 precision recall / (precision + recall); 0 where both are 0. */
  readonly f1: number;
  /** How many there are of it. */
  readonly support: number;
}

/** An evaluation class by class. Reference: sklearn.metrics.classification_report */
export interface ClassReport {
  /** What the metric f1 is: the plain mean of the classes' f1, or one that counts all labels together. */
  readonly f1: "macro" | "micro";
  /** In the order of their ids; those that were neither there nor told are left out. */
  readonly classes: readonly ClassFigures[];
  /** confusion[i][j]: how many of class i were told as class j. Of 100 classes at most, one to a row. */
  readonly confusion?: readonly (readonly number[])[];
}

/** Larger tables are not read. */
const MOST_CLASSES = 100;

/** One class each. */
export function reportClasses(
  predicted: readonly number[],
  actual: readonly number[],
  nameOf: (id: number) => string,
): ClassReport {
  const ids = [...new Set([...predicted, ...actual])].sort((a, b) => a - b);
  const place = new Map(ids.map((id, i) => [id, i]));
  const table = ids.map(() => ids.map(() => 0));
  for (const [i, id] of actual.entries()) {
    const [row, column] = [place.get(id) ?? 0, place.get(at(predicted, i)) ?? 0];
    const counts = at(table, row);
    counts[column] = at(counts, column) + 1;
  }
  const classes = ids.map((id, i) => {
    const told = table.reduce((n, counts) => n + at(counts, i), 0);
    const support = at(table, i).reduce((a, b) => a + b, 0);
    return figures(nameOf(id), { hits: at(at(table, i), i), told, support });
  });
  return { f1: "macro", classes, ...(ids.length > MOST_CLASSES ? {} : { confusion: table }) };
}

/** Several labels a row, 0 or 1 each. */
export function reportLabels(
  predicted: readonly (readonly number[])[],
  actual: readonly (readonly number[])[],
  nameOf: (id: number) => string,
): ClassReport {
  const count = (rows: readonly (readonly number[])[], id: number): number =>
    rows.filter((row) => at(row, id) > 0).length;
  const classes = (actual[0] ?? []).map((_, id) => {
    const hits = actual.filter((row, i) => at(row, id) > 0 && at(at(predicted, i), id) > 0).length;
    return figures(nameOf(id), { hits, told: count(predicted, id), support: count(actual, id) });
  });
  return { f1: "micro", classes };
}

function figures(label: string, n: { hits: number; told: number; support: number }): ClassFigures {
  const share = (of: number): number => (of === 0 ? 0 : n.hits / of);
  const f1 = n.hits === 0 ? 0 : (2 * n.hits) / (n.told + n.support);
  return { label, precision: share(n.told), recall: share(n.support), f1, support: n.support };
}

/** The classes' figures, averaged plainly or by their support. */
export function averageOf({ classes }: ClassReport, by: "macro" | "weighted"): Omit<ClassFigures, "label"> {
  const support = classes.reduce((n, c) => n + c.support, 0);
  const weight = (c: ClassFigures): number => (by === "macro" ? 1 / classes.length : c.support / support);
  const mean = (key: "precision" | "recall" | "f1"): number =>
    classes.reduce((n, c) => n + weight(c) * c[key], 0);
  return { precision: mean("precision"), recall: mean("recall"), f1: mean("f1"), support };
}
