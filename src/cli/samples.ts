import { type ClassReport, classTable, type SampleEvent } from "../index.js";
import type { Line, Piece, Terminal } from "./terminal.js";

/** What the model said before and after, apart from what was asked and what is right. */
export function printSamples(
  samples: ReadonlyMap<string, readonly SampleEvent[]>,
  { print }: Pick<Terminal, "print">,
): void {
  for (const answers of samples.values()) {
    const [first, last] = [answers[0], answers.at(-1)];
    if (first === undefined || last === undefined) continue;
    print("");
    for (const line of asked(last)) print(line);
    const { expected } = last;
    if (expected !== undefined) for (const line of said("expected", { text: expected })) print(line);
    const answer = (name: string, event: SampleEvent): void => {
      for (const line of said(name, verdict(event), event.isCut)) print(line);
    };
    if (first !== last) answer("before", first);
    answer("after", last);
  }
}

/** Chats turn by turn, each under its role. */
function asked({ prompt, turns }: SampleEvent): Line[] {
  if (turns === undefined) return prompt.split("\n").map((text) => [{ text, look: "strong" }]);
  return turns.flatMap(({ role, content }) => {
    const [first = "", ...rest] = content.split("\n");
    const indent = " ".repeat(INDENT);
    return [
      [{ text: `${role}`.padEnd(INDENT), look: "strong" } as const, first],
      ...rest.map((l) => [indent, l]),
    ];
  });
}

/** Columns of the names before what was said. */
const INDENT = 12;

function said(name: string, answer: Piece & object, isCut = false): Line[] {
  const { text, ...look } = "text" in answer ? answer : { text: answer.marked };
  return text
    .split("\n")
    .map((line, i, { length }) => [
      { text: (i === 0 ? `  ${name}` : "").padEnd(INDENT), look: "quiet" } as const,
      { text: line, ...look },
      ...(isCut && i === length - 1 ? [{ text: " ... (cut)", look: "quiet" } as const] : []),
    ]);
}

function verdict({ output, expected }: SampleEvent): { text: string; look?: "good" | "bad" } {
  if (expected === undefined) return { text: output };
  return { text: output, look: output.trim() === expected.trim() ? "good" : "bad" };
}

/** More classes than these are shown by the report alone. */
const MOST_ROWS = 30;

/** Figures class by class, and which class is told as which. */
export function printClasses(report: ClassReport, { print }: Pick<Terminal, "print">): void {
  if (report.classes.length > MOST_ROWS) return;
  print("");
  for (const line of columns(classTable(report))) print(line);
  const { confusion, classes } = report;
  if (confusion === undefined || classes.length > MOST_COLUMNS) return;
  const head = ["is \\ told as", ...classes.map(({ label }) => label)];
  print("");
  for (const line of columns([
    head,
    ...confusion.map((row, i) => [classes[i]?.label ?? "", ...row.map(String)]),
  ]))
    print(line);
}

/** Wider tables do not fit a terminal. */
const MOST_COLUMNS = 10;

/** The first column to the left, numbers to the right; the first row stands out, and cells that are good. */
export function columns(
  rows: readonly (readonly string[])[],
  isGood: (row: number, column: number) => boolean = () => false,
): Line[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row, r) => {
    const cells = row.map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i] ?? 0) : `  ${cell.padStart(widths[i] ?? 0)}`,
    );
    if (r === 0) return [{ text: cells.join(""), look: "quiet" }];
    return cells.map((text, i) => (isGood(r, i) ? { text, look: "good" } : text));
  });
}
