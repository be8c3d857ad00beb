import { readPackageFile } from "./report_assets.js";
import type { Chart } from "./report_charts.js";
import { pageScript, pageStyle } from "./report_page.js";

/** What a page is made of. */
export interface Page {
  readonly title: string;
  /** HTML in which each chart has a place (`chartSections`), in their order. */
  readonly body: string;
  readonly charts: readonly Chart[];
  /** The text of a file inside a package: where the chart library comes from. */
  readonly read?: (path: string) => string;
}

/** One self-contained page. Its policy forbids all loading. */
export function renderPage({ title, body, charts, read = readPackageFile }: Page): string {
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
${body}
<footer>Made by peft.js. Charts: uPlot, © Leon Sorokin, MIT license.</footer>
</main>
<script type="application/json" id="charts">${scriptText(JSON.stringify(charts), "json")}</script>
<script>${scriptText(read("uplot/dist/uPlot.iife.min.js"), "script")}</script>
<script>${pageScript}</script>
</body>
</html>
`;
}

/** The places of charts, under their titles. */
export function chartSections(charts: readonly Chart[]): string {
  return charts.map((chart) => section(chart.title, '<div class="chart"></div>')).join("\n");
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

/** A card of a page under its heading. */
export function section(heading: string, body: string): string {
  return `<section><h2>${escapeHtml(heading)}</h2>${body}</section>`;
}

/** Figures that stand on top of a page. */
export function facts(summary: Readonly<Record<string, string | number>>): string {
  const entries = Object.entries(summary).map(
    ([name, value]) => `<div><dt>${escapeHtml(name)}</dt><dd>${escapeHtml(figure(value))}</dd></div>`,
  );
  return entries.length === 0 ? "" : `<dl class="facts">${entries.join("")}</dl>`;
}

/** Rows of cells under their names, which are texts. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const names = head.map((text) => `<th>${escapeHtml(text)}</th>`).join("");
  const heading = names && `<thead><tr>${names}</tr></thead>`;
  const body = rows.map((cells) => `<tr>${cells.join("")}</tr>`).join("\n");
  return `<div class="scroll"><table>${heading}<tbody>${body}</tbody></table></div>`;
}

/** A text as a cell; its kind is a class of the page's style. */
export function cell(text: string, kind: string): string {
  return `<td${kind && ` class="${kind}"`}>${escapeHtml(text)}</td>`;
}

/** Whole numbers in full, others to four digits. */
export function figure(value: string | number): string {
  if (typeof value === "string") return value;
  return Number.isInteger(value) ? value.toLocaleString("en-US") : String(Number(value.toPrecision(4)));
}
