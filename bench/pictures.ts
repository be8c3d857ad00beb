import { readdirSync, writeFileSync } from "node:fs";
import {
  AdamW,
  AutoImageProcessor,
  AutoModelForImageClassification,
  batches,
  getPeftModel,
  LoraConfig,
  loadDataset,
  type Row,
} from "../src/index.js";
import { ColumnWorkers } from "../src/processors/column_workers.js";
import { runReference } from "./python.js";

// Pictures beside Python in the same run:
//   node --import tsx bench/pictures.ts read MODEL PHOTOS [COUNT]     pictures per second, two threads each
//   node --import tsx bench/pictures.ts train MODEL PHOTOS [STEPS]    losses of LoRA, seconds a step, memory
// MODEL is a Hub folder, PHOTOS a folder per class; Python is PEFT_PYTHON (torch, transformers, peft, Pillow).

const [what, model = "", photos = "", most] = process.argv.slice(2);
const WORKERS = 2;
const BATCH = 8;

async function picturesOf(count: number): Promise<Row[]> {
  const rows = await loadDataset(photos);
  const step = Math.max(1, Math.floor(rows.length / count));
  return rows.filter((_, i) => i % step === 0).slice(0, count);
}

async function reference(args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
  const found = await runReference("pictures_reference.py", args);
  if (found === undefined)
    throw new Error("name a Python with torch, transformers, peft and Pillow: PEFT_PYTHON");
  return found.json;
}

function pathOf(row: Row): string {
  return row.kind === "picture" ? String(row.image) : "";
}

async function read(count: number): Promise<void> {
  const processor = await AutoImageProcessor.fromPretrained(model);
  const rows = await picturesOf(count);
  const workers = new ColumnWorkers(WORKERS);
  const once = async (): Promise<void> => {
    const requests = [];
    for (let i = 0; i < rows.length; i += BATCH) {
      const references = rows.slice(i, i + BATCH).map((row) => ({ source: pathOf(row), at: row.at }));
      requests.push(workers.make({ ...processor.job, references }));
    }
    await Promise.all(requests);
  };
  await once(); // threads start, code is compiled
  const began = performance.now();
  await once();
  const ours = rows.length / ((performance.now() - began) / 1000);
  const list = "/tmp/bench-pictures.json";
  writeFileSync(list, JSON.stringify(rows.map(pathOf)));
  const json = await reference(["read", model, list, `${WORKERS}`]);
  const theirs = Number(json["rate"]);
  console.log(
    `${rows.length} pictures: ${ours.toFixed(0)} a second, Python ${theirs.toFixed(0)}: ${(ours / theirs).toFixed(2)} times as fast`,
  );
}

async function train(steps: number): Promise<void> {
  const processor = await AutoImageProcessor.fromPretrained(model);
  const rows = await picturesOf(steps * BATCH);
  const classes = readdirSync(photos).sort();
  const base = await AutoModelForImageClassification.fromPretrained(model, {
    warn: () => {},
    config: { num_labels: classes.length },
  });
  const adapted = getPeftModel(
    base,
    new LoraConfig({ r: 8, loraAlpha: 16, targetModules: ["query", "value"], modulesToSave: ["classifier"] }),
  );
  const start = "/tmp/bench-pictures-adapter";
  await adapted.savePretrained(start);
  const optimizer = new AdamW(adapted.trainableParameters(), { lr: 1e-3 });
  const [losses, order, times]: [number[], string[][], number[]] = [[], [], []];
  for await (const batch of batches(rows, { processor, model: adapted, batchSize: BATCH, seed: 0 })) {
    order.push([...batch.rows].map((row) => pathOf(rows[row]!)));
    const began = performance.now();
    losses.push((await adapted.forwardBackward(batch)).loss);
    await optimizer.step();
    times.push((performance.now() - began) / 1000);
  }
  const peak = process.resourceUsage().maxRSS / 1024;
  await base.close();
  const list = "/tmp/bench-pictures.json";
  const labels = Object.fromEntries(
    rows.map((row) => [pathOf(row), row.kind === "picture" ? row.labels[0] : 0]),
  );
  writeFileSync(list, JSON.stringify({ order, labels, classes: classes.length }));
  const json = await reference(["train", model, list, start]);
  const theirs = json["losses"] as number[];
  const apart = Math.max(...losses.map((loss, i) => Math.abs(loss - theirs[i]!)));
  const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? 0;
  for (const [i, loss] of losses.entries()) console.log(i + 1, loss.toFixed(6), theirs[i]!.toFixed(6));
  const [ours, other] = [median(times), median(json["times"] as number[])];
  console.log(
    `largest difference ${apart.toExponential(1)}; step ${ours.toFixed(2)} s, Python ${other.toFixed(2)} s (${(other / ours).toFixed(2)} times as fast); ` +
      `memory ${peak.toFixed(0)} MB, Python ${Number(json["peak"]).toFixed(0)} MB (${(peak / Number(json["peak"])).toFixed(2)})`,
  );
}

if (what === "train") await train(Number(most ?? 20));
else await read(Number(most ?? 200));
