import { describe, expect, it } from "vitest";
import { type Report, renderReport } from "./report.js";
import { readPackageFile } from "./report_assets.js";
import { type Chart, reportCharts } from "./report_charts.js";

const hostile = `</script><img src="x" onerror='alert(1)'> & <!--`;
const report: Report = {
  title: `run ${hostile}`,
  config: { model: hostile, betas: [0.9, 0.999], output: undefined },
  steps: [1, 2, 3].map((step) => ({ step, loss: 4 - step, lr: step / 1000 })),
  evaluations: [{ step: 2, loss: 1.98765, metrics: { [hostile]: 0.5 } }],
  samples: [
    { prompt: hostile, before: "no", after: " yes ", expected: "yes" },
    { prompt: "second", after: hostile },
  ],
  summary: { steps: 1234, accuracy: 0.912345, [hostile]: hostile },
};

function chartsOf(page: string): Chart[] {
  const text = /<script type="application\/json" id="charts">([^<]*)<\/script>/.exec(page)![1]!;
  return JSON.parse(text) as Chart[];
}

describe("renderReport", () => {
  it("escapes every text, wherever it comes from", () => {
    const page = renderReport(report);
    expect(page).not.toContain("<img");
    expect(page.match(/&lt;\/script&gt;&lt;img/g)!.length).toBeGreaterThanOrEqual(8);
    expect(page.match(/<\/script>/g)).toHaveLength(3);
    expect(chartsOf(page)[2]!.curves[0]!.label).toBe(hostile);
  });

  it("holds the chart library and asks for nothing else", () => {
    const page = renderReport(report);
    expect(page).toContain("var uPlot=");
    expect(page).toContain(".u-legend");
    expect(page).toContain("default-src 'none'");
    expect(page).not.toMatch(/<(script|img|iframe)[^>]*\ssrc=|<link|@import|url\(/);
  });

  it("reads the library through its argument", () => {
    const asked: string[] = [];
    const page = renderReport({ ...report, read: (path) => `/* ${asked.push(path)} </script> */` });
    expect(asked).toEqual(["uplot/dist/uPlot.min.css", "uplot/dist/uPlot.iife.min.js"]);
    expect(page).toContain("/* 2 \\x3c/script> */");
  });

  it("shows figures, samples with their verdict, evaluations and config", () => {
    const page = renderReport(report);
    expect(page).toContain("<dt>accuracy</dt><dd>0.9123</dd>");
    expect(page).toContain("<dt>steps</dt><dd>1,234</dd>");
    expect(page).toContain('<td>yes</td><td class="bad">no</td><td class="good"> yes </td>');
    expect(page).toContain(
      '<td class="number">2</td><td class="number">1.988</td><td class="number">0.5</td>',
    );
    expect(page).toContain("<td>betas</td><td>[0.9,0.999]</td>");
  });

  it("leaves out what is not there", () => {
    const empty = { title: "t", config: {}, steps: [], evaluations: [], samples: [], summary: {} };
    expect(renderReport(empty)).not.toMatch(/<section>|<dl/);
  });
});

describe("reportCharts", () => {
  it("sets all curves on the steps of both, with gaps", () => {
    const [loss, rate] = reportCharts(report.steps, [{ step: 4, loss: 0.5, metrics: {} }]) as [Chart, Chart];
    expect(loss.x).toEqual([1, 2, 3, 4]);
    expect(loss.curves.map(({ label }) => label)).toEqual([
      "train, each step",
      "train, smoothed",
      "validation",
    ]);
    expect(loss.curves[0]!.values).toEqual([3, 2, 1, null]);
    expect(loss.curves[2]!.values).toEqual([null, null, null, 0.5]);
    expect(rate.curves[0]!.values).toEqual([0.001, 0.002, 0.003, null]);
  });

  it("smooths without a pull to zero and over a loss that is not a number", () => {
    const steps = [5, Number.NaN, 5].map((loss, i) => ({ step: i + 1, loss, lr: 0 }));
    const [loss] = reportCharts(steps, []) as [Chart];
    expect(loss.curves[0]!.values).toEqual([5, null, 5]);
    expect(loss.curves[1]!.values).toEqual([5, 5, 5]);
  });

  it("averages runs of steps where there are too many", () => {
    const steps = Array.from({ length: 6001 }, (_, i) => ({ step: i + 1, loss: i, lr: 1 }));
    const [loss] = reportCharts(steps, []) as [Chart];
    expect(loss.x.length).toBe(1501);
    expect([loss.x[0], loss.curves[0]!.values[0]]).toEqual([4, 1.5]);
    expect([loss.x.at(-1), loss.curves[0]!.values.at(-1)]).toEqual([6001, 6000]);
  });
});

it("says what is to be installed where a bundle lacks the charts' library", () => {
  expect(readPackageFile("uplot/dist/uPlot.min.css")).toContain(".uplot");
  expect(() => readPackageFile("uplot/dist/none.css")).toThrow(
    /\[output\] The report cannot be written: "uplot\/dist\/none.css" .* fix: install uplot beside the bundle/,
  );
});

describe("what the report says of a run", () => {
  const classes = [
    { label: "late", precision: 0.75, recall: 1, f1: 6 / 7, support: 3 },
    { label: hostile, precision: 1, recall: 0.5, f1: 2 / 3, support: 2 },
  ];
  const confusion = [
    [3, 0],
    [1, 1],
  ];
  const page = renderReport({
    ...report,
    config: { adapter: { r: 8, loraAlpha: 16 } },
    evaluations: [{ step: 2, loss: 1, metrics: {}, classes: { f1: "macro", classes, confusion } }],
    samples: [{ prompt: "", turns: [{ role: "user", content: hostile }], after: "Hello" }],
    origin: {
      runId: "id",
      time: "now",
      modelHash: "00ff",
      host: "box",
      processor: "chip",
      system: "os",
      versions: { node: "v22" },
    },
  });

  it("figures class by class, and what was told as what, by its share", () => {
    expect(page).toContain('<td>late</td><td class="number">0.7500</td><td class="number">1.0000</td>');
    expect(page).toContain('var(--curve-0) 70%, transparent)">3</td>');
    expect(page).toContain('var(--curve-0) 35%, transparent)">1</td>');
    expect(page).not.toContain("<img");
  });

  it("chats by role, the adapter as a list, the machine", () => {
    expect(page).toContain("<b>user</b> &lt;/script&gt;");
    expect(page).toContain("<td>adapter.loraAlpha</td><td>16</td>");
    expect(page).toContain("<td>processor</td><td>chip</td>");
    expect(page).toContain("<td>node</td><td>v22</td>");
  });

  it("a loss that falls from high is drawn by its logarithm; gradients and speed have curves", () => {
    const steps = [8.8, 0.4, 0.1].map((loss, i) => ({
      step: i + 1,
      loss,
      lr: 1,
      gradNorm: i,
      tokensPerSecond: 9,
    }));
    const charts = reportCharts(steps, []);
    expect(charts.map(({ title }) => title)).toEqual([
      "Loss",
      "Learning rate",
      "Norm of the gradient, before clipping",
      "Tokens in a second",
    ]);
    expect(charts[0]?.isLogarithmic).toBe(true);
    expect(reportCharts(steps.slice(1), [])[0]?.isLogarithmic).toBe(false);
  });
});
