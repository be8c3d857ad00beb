// Trains a few steps in a process of its own and says what memory they took:
//   node step.mjs DIST FOLDER TASK BATCH SEQ TARGET STEPS LOAD_OPTIONS
// Peak is the highest anonymous memory; `mapped` what the process touched of its weight files.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [dist, folder, task, batch, seq, target, steps, options] = process.argv.slice(2);
const { getPeftModel, LoraConfig, PreTrainedModel, AdamW } = await import(pathToFileURL(`${dist}/index.js`));

const MB = 1 << 20;
const status = () => {
  const text = readFileSync("/proc/self/status", "utf8");
  return Number(/RssAnon:\s+(\d+) kB/.exec(text)[1]) * 1024;
};
let peak = 0;
const look = () => {
  peak = Math.max(peak, status());
};
const timer = setInterval(look, 2);
const atStart = status();
const config = { dropout_rate: 0, dropout: 0, attention_dropout: 0, hidden_dropout_prob: 0 };
const base = await PreTrainedModel.load(task, folder, { config, ...JSON.parse(options) });
const model = getPeftModel(base, new LoraConfig({ r: 8, loraAlpha: 32 }));
const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-4 });
const x = fakeBatch(Number(batch), Number(seq), Number(target));
const perStep = [];
for (let i = 0; i < Number(steps); i++) {
  await model.forwardBackward(x);
  await optimizer.step();
  look();
  perStep.push(Math.round(peak / MB));
}
clearInterval(timer);
const mapped = mappedBytes();
await base.close();
console.log(JSON.stringify({ peak, mapped, atStart, perStep }));
process.exit(0);

function fakeBatch(rows, columns, targets) {
  const { vocabSize, numLabels } = base.config;
  const ids = (r, c) => ({
    data: Int32Array.from({ length: r * c }, (_, i) => 4 + ((i * 7919) % (vocabSize - 4))),
    shape: [r, c],
  });
  const inputIds = ids(rows, columns);
  const attentionMask = { data: new Int32Array(rows * columns).fill(1), shape: inputIds.shape };
  const classes = { data: Int32Array.from({ length: rows }, (_, i) => i % numLabels), shape: [rows, 1] };
  const labels =
    task === "SEQ_2_SEQ_LM"
      ? ids(rows, targets)
      : task === "CAUSAL_LM"
        ? lastOnly(inputIds, targets)
        : classes;
  return { task, inputIds, attentionMask, labels };
}

/** Labels at the last `targets` tokens of each row. */
function lastOnly({ data, shape }, targets) {
  const [, columns] = shape;
  return { data: data.map((id, i) => (i % columns < columns - targets ? -100 : id)), shape };
}

/** What this process has touched of weight files; parts of a file that several sessions mapped count once. */
function mappedBytes() {
  const ranges = [];
  let range;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \S+\s+(.*)$/.exec(line);
    if (head !== null) {
      const [from, to, offset] = head.slice(1, 4).map((x) => Number.parseInt(x, 16));
      range = { path: head[4], start: offset, end: offset + to - from };
    } else if (/\.(safetensors|bin|weights)$/.test(range?.path) && line.startsWith("Rss:"))
      ranges.push({ ...range, bytes: Number(/\d+/.exec(line)[0]) * 1024 });
  }
  const seen = [];
  let total = 0;
  for (const r of ranges.sort((a, b) => b.bytes - a.bytes)) {
    const shared = (s) => Math.min(s.end, r.end) - Math.max(s.start, r.start);
    if (seen.some((s) => s.path === r.path && 2 * shared(s) > r.end - r.start)) continue;
    seen.push(r);
    total += r.bytes;
  }
  return total;
}
