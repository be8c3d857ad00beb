import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { formatBytes, formatDuration } from "./describe.js";
import type { EndEvent, StepEvent, TrainEvent } from "./events.js";
import { createProgress, type ProgressStream } from "./progress.js";

const step = (n: number): StepEvent => ({
  type: "step",
  step: n,
  totalSteps: 8,
  epoch: n / 4,
  loss: 1 / n,
  lr: 1e-3,
  gradNorm: 2,
  tokens: 100 * n,
  tokensPerSecond: 1234.4,
  memoryBytes: 812e6,
  secondsLeft: 62,
});

const end: EndEvent = {
  type: "end",
  reason: "finished",
  step: 8,
  loss: 0.125,
  tokens: 5000,
  seconds: 10,
  peakMemoryBytes: 1.25e9,
  best: { step: 4, metric: "accuracy", value: 0.91 },
};

const run: TrainEvent[] = [
  {
    type: "start",
    step: 0,
    totalSteps: 8,
    epochs: 2,
    rows: 1032,
    trainableParameters: 2359296,
    allParameters: 1231940608,
    origin: {
      runId: "a",
      time: "2026-11-28T12:00:00.000Z",
      modelHash: "00ff",
      host: "h",
      processor: "p",
      system: "s",
      versions: {},
    },
    header: {
      model: "mt0-large",
      task: "SEQ_CLS",
      classes: [
        { label: "yes", rows: 700 },
        { label: "no", rows: 332 },
      ],
      rows: 1032,
      validationRows: 100,
      isValidationSplit: true,
      tokens: 40000,
      learntTokens: 1032,
      lengths: { median: 31, longest: 128, cut: 3, limit: 128, histogram: [[0, 1032]] },
      method: "LORA",
      rank: 8,
      targets: ["q", "v"],
      lr: 0.001,
      schedule: "linear",
      batchSize: 8,
      gradientAccumulationSteps: 1,
      memoryPlan: "fused",
      expectedBytes: 812e6,
      threads: 2,
      device: "cpu",
    },
  },
  ...[1, 2, 3, 4].map(step),
  { type: "evaluation", step: 4, loss: 0.31234567, metrics: { accuracy: 0.91 } },
  { type: "checkpoint", step: 4, path: "out/checkpoint-4", best: true },
  { type: "sample", step: 4, prompt: "late\u001b[2J again", output: "complaint", expected: "no complaint" },
  { type: "warning", message: "2 samples were cut" },
  ...[5, 6, 7, 8].map(step),
  end,
];

async function draw(
  terminal: boolean,
  columns: number,
  events: TrainEvent[],
  clock: () => number,
): Promise<string> {
  const chunks: string[] = [];
  const stream = new PassThrough().on("data", (chunk: Buffer) => chunks.push(chunk.toString()));
  const progress = createProgress({
    stream: Object.assign(stream, { isTTY: terminal, columns }) as ProgressStream,
    clock,
  });
  for (const event of events) progress.draw(event);
  progress.stop();
  stream.read();
  return chunks.join("");
}

/** A clock that goes on by a second whenever it is read. */
function later(): () => number {
  let now = 0;
  return () => (now += 1000);
}

describe("progress on no terminal", () => {
  it("prints plain lines: a step every ten seconds and the last, and all that happens besides", async () => {
    let now = 0;
    // the clock is read twice for a printed step
    const text = await draw(false, 80, run, () => (now += 1500));
    expect(text.split("\n")).toEqual([
      "model     mt0-large",
      "task      SEQ_CLS, 2 classes: yes 700, no 332",
      "rows      1,032 to learn, 100 to evaluate on, taken from the others by the seed (validation: false learns all)",
      "tokens    40,000, 1,032 labels learnt; a row has 31 (median), at most 128; 3 cut at 128",
      "method    LORA, rank 8 on q, v",
      "training  learning rate 0.001 (linear), batches of 8 rows",
      "engine    plan fused, about 812 MB with the longest batch; 2 threads on cpu",
      "Training 2,359,296 of 1,231,940,608 parameters (0.19 %) on 1,032 rows: 2 epochs, 8 steps.",
      "step 1/8 | loss 1.0000 | 1,234 tok/s | 812 MB | 1:02 left",
      "evaluation at step 4: loss 0.3123, accuracy 0.9100",
      "checkpoint: out/checkpoint-4 (best so far)",
      'sample at step 4: "late\\u001b[2J again"',
      '  -> "complaint" (expected "no complaint")',
      "warning: 2 samples were cut",
      "step 8/8 | loss 0.1250 | 1,234 tok/s | 812 MB | 1:02 left",
      "Finished after 8 steps and 0:10: loss 0.1250, 500 tok/s, peak memory 1.3 GB. Best accuracy 0.9100 at step 4.",
      "",
    ]);
  });

  it("says how to go on after a stop", async () => {
    const { best: _, ...plain } = end;
    const stopped: EndEvent = { ...plain, reason: "aborted", checkpoint: "out/checkpoints/checkpoint-8" };
    expect(await draw(false, 80, [stopped], Date.now)).toMatch(
      /^Stopped by you after 8 steps.* It can go on from out\/checkpoints\/checkpoint-8\.\n$/,
    );
  });

  it("prints steps again once the time has passed", async () => {
    let now = 0;
    const text = await draw(false, 80, [1, 2, 3, 4, 5].map(step), () => (now += 4000));
    expect(text.match(/step \d/g)).toEqual(["step 1", "step 4"]);
  });
});

describe("progress on a terminal", () => {
  it("draws one bar and writes messages above it", async () => {
    const text = await draw(true, 100, run, later());
    expect(text).toContain("███░░░░");
    expect(text).toContain("4/8 | loss 0.2500 | 1,234 tok/s | 812 MB | 1:02 left");
    expect(text).toContain("\r\u001b[Kwarning: 2 samples were cut\n"); // nothing of the bar stays before it
    expect(text.split("\n").at(-2)).toContain("Finished after 8 steps");
    // one line per message; the bar itself never ends in a new line
    expect(text.split("\n").length).toBe(15);
  });

  it("never writes a bar wider than the terminal", async () => {
    for (const columns of [30, 60, 80, 200]) {
      const text = await draw(true, columns, [step(1), step(2)], later());
      // biome-ignore lint/suspicious/noControlCharactersInRegex: what a terminal obeys has no width
      const bars = text.split(/\u001b(?:\[[?0-9;]*[A-Za-z]|[78])|\r/).filter(Boolean);
      expect(bars.length).toBeGreaterThan(1);
      for (const bar of bars) expect(bar.length).toBeLessThanOrEqual(columns);
    }
  });
});

describe("formats", () => {
  it("bytes and durations", () => {
    expect([0, 1, 32.2e3, 812.4e6, 999.6e6, 14.4e9].map(formatBytes)).toEqual([
      "0 KB",
      "1 KB",
      "33 KB",
      "812 MB",
      "1.0 GB",
      "14.4 GB",
    ]);
    expect([0.4, 59.6, 723, 3723, Number.POSITIVE_INFINITY].map(formatDuration)).toEqual([
      "0:00",
      "1:00",
      "12:03",
      "1:02:03",
      "?",
    ]);
  });
});
