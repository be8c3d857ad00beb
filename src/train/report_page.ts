/** What every report shares: its look, and the script that draws the charts with uPlot. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: #f7f8fa; --card: #ffffff; --text: #1c2128; --quiet: #5d6775; --line: #dfe3e8;
  --good: #18794e; --bad: #b42318;
  --curve-0: #2563eb; --curve-1: #dd6b20; --curve-2: #0f8a6a; --curve-3: #9333ea; --curve-4: #be185d;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1216; --card: #181c22; --text: #e6e9ee; --quiet: #98a2b0; --line: #2b323b;
    --good: #4cc38a; --bad: #ff8a7a;
    --curve-0: #6ea8ff; --curve-1: #ffa657; --curve-2: #4fd1b0; --curve-3: #c99bff; --curve-4: #ff8ac0;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 20px; overflow-wrap: anywhere; }
h2 { font-size: 16px; margin: 0 0 12px; }
section, .facts div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
section { padding: 18px 20px; margin: 0 0 18px; }
.facts { display: flex; flex-wrap: wrap; gap: 12px; margin: 0 0 18px; }
.facts div { padding: 12px 16px; flex: 1 1 170px; min-width: 0; }
.facts dt { color: var(--quiet); font-size: 13px; }
.facts dd { margin: 2px 0 0; font-size: 20px; font-weight: 600; overflow-wrap: break-word; }
.scroll { overflow-x: auto; }
.scroll table { width: 100%; border-collapse: collapse; font-size: 14px; }
.scroll th { text-align: left; color: var(--quiet); font-weight: 500; white-space: nowrap; }
.scroll th, .scroll td { padding: 8px 12px 8px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.scroll tr:last-child td { border-bottom: 0; }
.scroll td { overflow-wrap: break-word; white-space: pre-wrap; min-width: 100px; max-width: 60ch; }
.scroll td.number { min-width: 48px; padding-left: 6px; white-space: nowrap; }
.scroll td.bar { width: 60%; }
td.bar div { background: var(--curve-0); height: 12px; border-radius: 3px; min-width: 1px; }
td.number { font-variant-numeric: tabular-nums; }
td.good { color: var(--good); font-weight: 600; }
td.bad { color: var(--bad); }
td.code, details td { font: 13px/1.5 ui-monospace, monospace; }
summary { cursor: pointer; font-weight: 600; }
details .scroll { margin-top: 12px; }
footer { color: var(--quiet); font-size: 13px; }
@media (max-width: 600px) {
  main { padding: 20px 12px 32px; }
  section { padding: 14px 12px; }
  .facts { gap: 8px; }
  .facts div { flex: 1 1 40%; padding: 8px 10px; }
  .facts dd { font-size: 16px; }
}
.uplot .u-legend { color: var(--text); font-size: 13px; }
`;

export const pageScript = `
const charts = JSON.parse(document.getElementById("charts").textContent);
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const short = (u, value) => value == null ? "" : String(Number(value.toPrecision(4)));
const looks = {
  faint: (c) => ({ stroke: c + "66", width: 1, points: { show: false } }),
  line: (c) => ({ stroke: c, width: 2, points: { show: false } }),
  points: (c) => ({ stroke: c, width: 2, points: { show: true, size: 7, fill: c } }),
};
const rule = () => ({ stroke: color("line"), width: 1 });
const axis = () => ({ stroke: color("quiet"), grid: rule(), ticks: rule() });
const powers = [...Array(9).keys()].map((power) => 10 ** power);
const steps = powers.flatMap((power) => [1, 2, 5].map((n) => n * power));
const size = (box) => ({ width: box.clientWidth, height: 240 });
function draw(box, chart) {
  box.replaceChildren();
  const plot = new uPlot({
    ...size(box),
    scales: { x: { time: false }, y: chart.isLogarithmic ? { distr: 3 } : {} },
    axes: [{ ...axis(), incrs: steps }, { ...axis(), size: 76, values: (u, ticks) => ticks.map((tick) => tick == null ? "" : short(u, tick)) }],
    series: [{ label: "step" }, ...chart.curves.map((curve) => ({
      label: curve.label,
      value: short,
      spanGaps: true,
      ...looks[curve.look](color("curve-" + (curve.color % 5))),
    }))],
  }, [chart.x, ...chart.curves.map((curve) => curve.values)], box);
  plot.setLegend({ idx: chart.x.length - 1 });
  return () => plot.setSize(size(box));
}
const boxes = [...document.querySelectorAll(".chart")];
let fits = [];
const drawAll = () => { fits = boxes.map((box, i) => draw(box, charts[i])); };
drawAll();
addEventListener("resize", () => fits.forEach((fit) => fit()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
`;
