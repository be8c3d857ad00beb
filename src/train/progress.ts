import type { SingleBar } from "cli-progress";
import { refuseUnknown } from "../arguments.js";
import { printable } from "../printable.js";
import type { EndEvent, StartEvent, StepEvent, TrainEvent } from "./events.js";

/** Where progress is drawn; process.stderr is one. */
export type ProgressStream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };

/** Where and how a run is drawn. */
export interface ProgressOptions {
  /** Where to: process.stderr. */
  stream: ProgressStream;
  /** Gives the time, in milliseconds. @default Date.now */
  clock?: () => number;
  /** Whether to draw a bar, which moves the cursor. @default where the stream is a terminal */
  bar?: boolean;
  /** Where there is no bar: a line for a step at most this often, in seconds. @default 10 */
  everySeconds?: number;
}

/** Draws events as they come. */
export interface Progress {
  /** Shows an event. */
  draw(event: TrainEvent): void;
  /** A line of one's own, above the bar. */
  note(text: string): void;
  /** Leaves the terminal as it was; call it in a `finally`, a drawn bar keeps Node running. */
  stop(): void;
}

/**
 * Draws a run as one bar on a terminal, and as a line now and then elsewhere.
 * @example
 * ```ts
 * import { createProgress, Trainer } from "peft.js";
 *
 * const progress = createProgress({ stream: process.stderr });
 * try {
 *   for await (const event of new Trainer({ model, tokenizer, train: rows }).run()) progress.draw(event);
 * } finally {
 *   progress.stop();
 * }
 * ```
 */
export function createProgress(options: ProgressOptions): Progress {
  refuseUnknown("createProgress", options, { stream: {}, bar: {}, clock: {}, everySeconds: {} });
  const { stream, bar: hasBar = stream.isTTY === true, clock = Date.now, everySeconds = 10 } = options;
  const line = (text: string): void => void stream.write(`${printable(text)}\n`);
  const plain = lines(line, clock, everySeconds * 1000);
  return hasBar ? bar(stream, line, plain) : plain;
}

/** @param plain draws the steps where cli-progress is not at hand, as in a bundle without it */
function bar(stream: ProgressStream, line: (text: string) => void, plain: Progress): Progress {
  let last: StepEvent | undefined;
  let drawn: SingleBar | undefined;
  let library: typeof import("cli-progress") | "loading" | "absent" | undefined;
  const load = async (): Promise<void> => {
    library = "loading";
    library = await import("cli-progress").catch(() => "absent");
    if (last) start(last);
  };
  const start = (step: StepEvent): void => {
    if (library === undefined) void load();
    if (library === "absent") plain.draw(step);
    if (typeof library !== "object") return;
    drawn = new library.SingleBar({
      stream,
      format: (_, { progress, maxWidth }, payload: { step: StepEvent }) =>
        barLine(payload.step, progress, maxWidth),
      clearOnComplete: true,
      gracefulExit: false, // Ctrl-C belongs to the Trainer: stop after the step
      linewrap: true, // trims, and leaves no terminal mode behind
    });
    drawn.start(step.totalSteps, step.step, { step });
  };
  const erase = (): void => {
    drawn?.stop();
    drawn = undefined;
  };
  /** Messages stand above the bar. */
  const above = (texts: readonly string[]): void => {
    erase();
    for (const text of texts) line(text);
    if (last && library !== "absent") start(last);
  };
  return {
    draw: (event) => {
      if (event.type !== "step") {
        if (event.type === "end") last = undefined;
        above(describeEvent(event));
        return;
      }
      last = event;
      if (drawn) drawn.update(event.step, { step: event });
      else start(event);
    },
    note: (text) => above([text]),
    stop: () => {
      last = undefined;
      erase();
    },
  };
}

function lines(line: (text: string) => void, clock: () => number, every: number): Progress {
  let next = Number.NEGATIVE_INFINITY;
  return {
    draw: (event) => {
      if (event.type === "step") {
        if (clock() < next && event.step < event.totalSteps) return;
        next = clock() + every;
        line(`step ${event.step}/${event.totalSteps} | ${describeStep(event).join(" | ")}`);
        return;
      }
      for (const text of describeEvent(event)) line(text);
    },
    note: line,
    stop: () => {},
  };
}

function barLine(event: StepEvent, progress: number, width: number): string {
  const facts = [`${event.step}/${event.totalSteps}`, ...describeStep(event)].join(" | ");
  const size = Math.min(30, width - facts.length - 7);
  const percent = `${Math.floor(progress * 100)}%`.padStart(4);
  if (size < 5) return `${percent} ${facts}`;
  const full = Math.round(size * progress);
  return `${"█".repeat(full)}${"░".repeat(size - full)} ${percent} ${facts}`;
}

function describeStep({ loss, tokensPerSecond, memoryBytes, secondsLeft }: StepEvent): string[] {
  const speed = `${count(Math.round(tokensPerSecond))} tok/s`;
  return [`loss ${loss.toFixed(4)}`, speed, formatBytes(memoryBytes), `${formatDuration(secondsLeft)} left`];
}

/** What an event says, in lines. */
function describeEvent(event: Exclude<TrainEvent, StepEvent>): string[] {
  switch (event.type) {
    case "start":
      return [describeStart(event)];
    case "evaluation":
      return [`evaluation at step ${event.step}: ${numbers({ loss: event.loss, ...event.metrics })}`];
    case "checkpoint":
      return [`checkpoint: ${event.path}${event.best ? " (best so far)" : ""}`];
    case "sample":
      return [
        `sample at step ${event.step}: ${JSON.stringify(event.prompt)}`,
        `  -> ${JSON.stringify(event.output)}${expected(event.expected)}`,
      ];
    case "warning":
      return [`warning: ${event.message}`];
    case "end":
      return [describeEnd(event)];
  }
}

function describeStart(e: StartEvent): string {
  const share = ((100 * e.trainableParameters) / e.allParameters).toFixed(2);
  const resumed = e.step > 0 ? `, from step ${e.step}` : "";
  return (
    `Training ${count(e.trainableParameters)} of ${count(e.allParameters)} parameters (${share} %) on ` +
    `${count(e.rows)} rows: ${e.epochs} epochs, ${count(e.totalSteps)} steps${resumed}.`
  );
}

function describeEnd(e: EndEvent): string {
  const how = { finished: "Finished", "stopped-early": "Stopped early", aborted: "Stopped by you" }[e.reason];
  const best = e.best ? ` Best ${e.best.metric} ${short(e.best.value)} at step ${e.best.step}.` : "";
  const speed = count(Math.round(e.tokens / Math.max(e.seconds, 1e-9)));
  const { estimatedMemory: expected } = e;
  const estimate = expected ? ` (${formatBytes(expected.bytes)} expected, plan ${expected.plan})` : "";
  const isOver = e.reason !== "aborted" || e.checkpoint === undefined;
  const resume = isOver ? "" : ` It can go on from ${e.checkpoint}.`;
  return (
    `${how} after ${count(e.step)} steps and ${formatDuration(e.seconds)}: loss ${e.loss.toFixed(4)}, ` +
    `${speed} tok/s, peak memory ${formatBytes(e.peakMemoryBytes)}${estimate}.${best}${resume}`
  );
}

function numbers(values: Readonly<Record<string, number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${short(value)}`)
    .join(", ");
}

function expected(text: string | undefined): string {
  return text === undefined ? "" : ` (expected ${JSON.stringify(text)})`;
}

function short(value: number): string {
  return String(Number(value.toPrecision(4)));
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** 32 KB, 812 MB, 1.2 GB: powers of ten, as disks and downloads are measured. */
export function formatBytes(bytes: number): string {
  if (bytes < 999.5e3) return `${Math.ceil(bytes / 1e3)} KB`;
  if (bytes < 999.5e6) return `${Math.round(bytes / 1e6)} MB`;
  return `${(bytes / 1e9).toFixed(1)} GB`;
}

/** 0:42, 12:03, 1:02:03; "?" while it is unknown. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "?";
  const total = Math.round(seconds);
  const two = (value: number): string => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  return `${hours > 0 ? `${hours}:${two(minutes)}` : minutes}:${two(total % 60)}`;
}
