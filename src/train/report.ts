import { isRecord } from "../narrow.js";
import type { ClassReport } from "../tasks/class_report.js";
import { classTable, count, describeHeader } from "./describe.js";
import type { RunHeader, RunOrigin, SampleEvent } from "./events.js";
import { type ReportEvaluation, type ReportStep, reportCharts } from "./report_charts.js";
import { cell, chartSections, escapeHtml, facts, figure, renderPage, section, table } from "./report_html.js";

export interface ReportSample {
  prompt: string;
  /** The same turn by turn, where it is a chat. */
  turns?: SampleEvent["turns"];
  before?: string;
  after: string;
  expected?: string;
}

export interface Report {
  title: string;
  /** What the run was asked to do, as the command line and the config file name it. */
  config: Readonly<Record<string, unknown>>;
  steps: readonly ReportStep[];
  evaluations: readonly ReportEvaluation[];
  samples: readonly ReportSample[];
  /** What the run was: rows, classes, lengths, method, engine. */
  header?: RunHeader;
  /** When and on what it ran. */
  origin?: RunOrigin;
  /** The figures that stand on top: `{ "test accuracy": 0.93, time: "0:52" }`. */
  summary: Readonly<Record<string, string | number>>;
  /** The text of a file inside a package: where the chart library comes from. */
  read?: (path: string) => string;
}

/** One self-contained page: curves, samples before and after, the config. Its policy forbids all loading. */
export function renderReport(report: Report): string {
  const { title, read } = report;
  const charts = reportCharts(report.steps, report.evaluations);
  const body = [
    facts(report.summary),
    chartSections(charts),
    samples(report.samples),
    evaluations(report.evaluations),
    classSections(report.evaluations.at(-1)?.classes),
    dataSections(report.header),
    about(report),
    config(report.config),
  ].join("\n");
  return renderPage({ title, body, charts, ...(read === undefined ? {} : { read }) });
}

function samples(list: readonly ReportSample[]): string {
  if (list.length === 0) return "";
  const columns = (["expected", "before", "after"] as const).filter((key) =>
    list.some((s) => s[key] !== undefined),
  );
  const rows = list.map((sample) => [
    promptCell(sample),
    ...columns.map((key) =>
      cell(sample[key] ?? "", key === "expected" ? "" : verdict(sample[key], sample.expected)),
    ),
  ]);
  return section("Samples", table(["prompt", ...columns], rows));
}

function promptCell({ prompt, turns }: ReportSample): string {
  if (turns === undefined) return cell(prompt, "code");
  const said = turns.map(({ role, content }) => `<b>${escapeHtml(role)}</b> ${escapeHtml(content)}`);
  return `<td class="code">${said.join("\n")}</td>`;
}

function verdict(output: string | undefined, expected: string | undefined): string {
  if (output === undefined || expected === undefined) return "";
  return output.trim() === expected.trim() ? "good" : "bad";
}

function evaluations(list: readonly ReportEvaluation[]): string {
  if (list.length === 0) return "";
  const metrics = [...new Set(list.flatMap((e) => Object.keys(e.metrics)))];
  const rows = list.map(({ step, loss, metrics: values }) =>
    [step, loss, ...metrics.map((name) => values[name])].map((value) =>
      cell(value === undefined ? "" : figure(value), "number"),
    ),
  );
  return section("Evaluations", table(["step", "loss", ...metrics], rows));
}

/** What was told as what, darker where it is more of its class; and the figures of each class. */
function classSections(report: ClassReport | undefined): string {
  if (report === undefined) return "";
  const [head = [], ...rows] = classTable(report);
  const figuresTable = table(
    head,
    rows.map((row) => row.map((text, i) => cell(text, i === 0 ? "" : "number"))),
  );
  const { confusion, classes } = report;
  const shown = section("Class by class", figuresTable);
  if (confusion === undefined) return shown;
  const matrix = confusion.map((counts, i) => {
    const total = counts.reduce((a, b) => a + b, 0);
    const cells = counts.map((n) => {
      const share = Math.round((100 * n) / Math.max(total, 1));
      return `<td class="number" style="background: color-mix(in srgb, var(--curve-0) ${Math.round(share * 0.7)}%, transparent)">${n}</td>`;
    });
    return [cell(classes[i]?.label ?? "", ""), ...cells];
  });
  return `${shown}
${section("Told as", table(["is", ...classes.map(({ label }) => label)], matrix))}`;
}

/** How many rows each class has, and how long rows are. */
function dataSections(header: RunHeader | undefined): string {
  const classes = (header?.classes ?? []).map(({ label, rows }) => [label, rows] as const);
  const lengths = (header?.lengths?.histogram ?? []).map(([from, n]) => [`from ${from}`, n] as const);
  return [
    classes.length === 0 ? "" : section("Rows of each class", bars(classes)),
    lengths.length < 2 ? "" : section("Rows by their length in tokens", bars(lengths)),
  ].join("\n");
}

function bars(counts: readonly (readonly [string, number])[]): string {
  const most = Math.max(1, ...counts.map(([, n]) => n));
  const rows = counts.map(([name, n]) => [
    cell(name, ""),
    cell(count(n), "number"),
    `<td class="bar"><div style="width: ${Math.round((100 * n) / most)}%"></div></td>`,
  ]);
  return table([], rows);
}

/** The run in words, when it ran, and on what. */
function about({ header, origin, config }: Report): string {
  const lines =
    header === undefined ? [] : describeHeader(header).map((line) => /^(\S+)\s+(.*)$/s.exec(`${line}`));
  const rows = lines.flatMap((found) => (found === null ? [] : [[found[1] ?? "", found[2] ?? ""]]));
  if (typeof config["command"] === "string") rows.push(["command", config["command"]]);
  const { versions = {}, ...where } = origin ?? {};
  const facts = [...Object.entries(where), ...Object.entries(versions)].map(([name, value]) => [
    name,
    String(value),
  ]);
  if (rows.length + facts.length === 0) return "";
  return section(
    "About this run",
    table(
      [],
      [...rows, ...facts].map((row) => row.map((text) => cell(text, ""))),
    ),
  );
}

/** Objects by their fields: adapter.r, adapter.lora_alpha. */
function flat(values: Readonly<Record<string, unknown>>, before = ""): [string, unknown][] {
  return Object.entries(values).flatMap(([name, value]): [string, unknown][] =>
    isRecord(value) ? flat(value, `${before}${name}.`) : [[`${before}${name}`, value]],
  );
}

function config(values: Report["config"]): string {
  const rows = flat(values).map(([name, value]) => [
    cell(name, ""),
    cell(typeof value === "string" ? value : (JSON.stringify(value) ?? "default"), ""),
  ]);
  return rows.length === 0
    ? ""
    : `<section><details><summary>Config</summary>${table([], rows)}</details></section>`;
}
