import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadDataset, type RowStream, rowsFrom } from "../src/index.js";

/** Memory while rows are streamed: what a million rows took, and ten million. */

/** Walks rows and says what memory was after each tenth of them, in MB. */
async function walk(name: string, rows: RowStream, count: number): Promise<void> {
  const marks: number[] = [];
  let seen = 0;
  for await (const _ of rows)
    if (++seen % (count / 10) === 0) marks.push(Math.round(process.memoryUsage.rss() / 1e6));
  console.log(`${name}: ${seen} rows, resident after each tenth: ${marks.join(" ")} MB`);
}

/**
 * Small rows of a function, and a file of `gigabytes` of JSONL that is made for it; with a model, training on
 * that file.
 */
export async function benchRows(count: number, gigabytes: number, model?: string): Promise<void> {
  const labels = ["a", "b", "c"];
  const small = rowsFrom(
    async function* () {
      for (let i = 0; i < count; i++) yield { text: `ticket ${i}`, label: labels[i % 3] };
    },
    { labels },
  );
  await walk("a function", small, count);
  const folder = mkdtempSync(join(tmpdir(), "peft-rows-"));
  try {
    const file = join(folder, "rows.jsonl");
    const lines = await writeLines(file, gigabytes * 1e9);
    await walk(
      `JSONL of ${(statSync(file).size / 1e9).toFixed(1)} GB`,
      await loadDataset(file, { streaming: true }),
      lines,
    );
    if (model !== undefined) await benchTraining(file, model, join(folder, "out"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const STEPS = 5;
const SAMPLE_MS = 500;

/**
 * A few steps of `peft train --streaming`, a process of its own; its resident memory by Linux's /proc, in ten
 * parts of the time.
 */
async function benchTraining(file: string, model: string, output: string): Promise<void> {
  const peft = fileURLToPath(new URL("../bin/peft.js", import.meta.url));
  const rows = ["--data", file, "--streaming", "--validation", "none", "--max-steps", `${STEPS}`];
  const where = ["--model", model, "--output", output, "--max-length", "256", "--batch-size", "2"];
  const run = spawn(process.execPath, [peft, "train", ...where, ...rows], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  const marks: number[] = [];
  const timer = setInterval(() => {
    try {
      const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${run.pid}/status`, "utf8"))?.[1];
      if (kilobytes !== undefined) marks.push(Math.round(Number(kilobytes) / 1e3));
    } catch {} // it has ended
  }, SAMPLE_MS);
  const [code] = await once(run, "exit");
  clearInterval(timer);
  const tenths = Array.from({ length: 10 }, (_, i) => marks[Math.floor((i * marks.length) / 10)]);
  console.log(`peft train, ${STEPS} steps: exit ${code}, resident over the time: ${tenths.join(" ")} MB`);
}

async function writeLines(file: string, bytes: number): Promise<number> {
  const out = createWriteStream(file);
  const text = "word ".repeat(200);
  let [written, lines] = [0, 0];
  while (written < bytes || lines % 10 > 0) {
    const line = `${JSON.stringify({ prompt: text, completion: String(lines++) })}\n`;
    written += line.length;
    if (!out.write(line)) await once(out, "drain");
  }
  out.end();
  await once(out, "close");
  return lines;
}
