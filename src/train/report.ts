import { readPackageFile } from "./report_assets.js";
import { type ReportEvaluation, type ReportStep, reportCharts } from "./report_charts.js";
import { pageScript, pageStyle } from "./report_page.js";

export interface ReportSample {
  prompt: string;
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
  /** The figures that stand on top: `{ "test accuracy": 0.93, time: "0:52" }`. */
  summary: Readonly<Record<string, string | number>>;
  /** The text of a file inside a package: where the chart library comes from. */
  read?: (path: string) => string;
}

/** One self-contained page: curves, samples before and after, the config. Its policy forbids all loading. */
export function renderReport(report: Report): string {
  const { title, read = readPackageFile } = report;
  const charts = reportCharts(report.steps, report.evaluations);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${escapeHtml(title)}</title>
<style>${read("uplot/dist/uPlot.min.css")}${pageStyle}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
${facts(report.summary)}
${charts.map((chart) => section(chart.title, '<div class="chart"></div>')).join("\n")}
${samples(report.samples)}
${evaluations(report.evaluations)}
${config(report.config)}
<footer>Made by peft.js. Charts: uPlot, © Leon Sorokin, MIT license.</footer>
</main>
<script type="application/json" id="charts">${scriptText(JSON.stringify(charts), "json")}</script>
<script>${scriptText(read("uplot/dist/uPlot.iife.min.js"), "script")}</script>
<script>${pageScript}</script>
</body>
</html>
`;
}

const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

export function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}

/** Text that cannot end the script element it stands in. */
function scriptText(text: string, kind: "json" | "script"): string {
  return kind === "json" ? text.replaceAll("<", "\\u003c") : text.replaceAll(/<(?=\/script|!--)/gi, "\\x3c");
}

function section(heading: string, body: string): string {
  return `<section><h2>${escapeHtml(heading)}</h2>${body}</section>`;
}

function facts(summary: Report["summary"]): string {
  const entries = Object.entries(summary).map(
    ([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(figure(value))}</dd></div>`,
  );
  return entries.length === 0 ? "" : `<dl class="facts">${entries.join("")}</dl>`;
}

function samples(list: readonly ReportSample[]): string {
  if (list.length === 0) return "";
  const columns = (["expected", "before", "after"] as const).filter((key) =>
    list.some((s) => s[key] !== undefined),
  );
  const rows = list.map((sample) => [
    cell(sample.prompt, "code"),
    ...columns.map((key) =>
      cell(sample[key] ?? "", key === "expected" ? "" : verdict(sample[key], sample.expected)),
    ),
  ]);
  return section("Samples", table(["prompt", ...columns], rows));
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

function config(values: Report["config"]): string {
  const rows = Object.entries(values).map(([name, value]) => [
    cell(name, ""),
    cell(typeof value === "string" ? value : (JSON.stringify(value) ?? "default"), ""),
  ]);
  return rows.length === 0
    ? ""
    : `<section><details><summary>Config</summary>${table([], rows)}</details></section>`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const names = head.map((text) => `<th>${escapeHtml(text)}</th>`).join("");
  const heading = names && `<thead><tr>${names}</tr></thead>`;
  const body = rows.map((cells) => `<tr>${cells.join("")}</tr>`).join("\n");
  return `<div class="scroll"><table>${heading}<tbody>${body}</tbody></table></div>`;
}

function cell(text: string, kind: string): string {
  return `<td${kind && ` class="${kind}"`}>${escapeHtml(text)}</td>`;
}

/** Whole numbers in full, others to four digits. */
function figure(value: string | number): string {
  if (typeof value === "string") return value;
  return Number.isInteger(value) ? value.toLocaleString("en-US") : String(Number(value.toPrecision(4)));
}
