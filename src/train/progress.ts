import { refuseUnknown } from "../arguments.js";
import { printable } from "../printable.js";
import { inCode, type ShowOption, Words } from "../words.js";
import { describeEvent, describeProgress, describeStep } from "./describe.js";
import type { EvaluationProgress, StepEvent, TrainEvent } from "./events.js";

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
  /** How messages name options. @default as code does */
  show?: ShowOption;
}

/** Draws events as they come. */
export interface Progress {
  /** Shows an event, or how far an evaluation has come. */
  draw(event: TrainEvent | EvaluationProgress): void;
  /** A line of one's own, above the bar. */
  note(text: string): void;
  /** Leaves the terminal as it was; call it in a `finally`. */
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
  const known = { stream: {}, bar: {}, clock: {}, everySeconds: {}, show: {} };
  refuseUnknown("createProgress", options, known);
  const { stream, bar: hasBar = stream.isTTY === true, clock = Date.now, everySeconds = 10 } = options;
  const show = options.show ?? inCode;
  const line = (text: string | Words): void =>
    void stream.write(`${printable(text instanceof Words ? text.shown(show) : text)}\n`);
  return hasBar ? bar(stream, line, clock) : lines(line, clock, everySeconds * 1000);
}

type WriteLine = (text: string | Words) => void;

/** A bar is drawn at most this often, in milliseconds. */
const REDRAW = 100;
/** Goes to the beginning of the line and clears it. */
const CLEAR = "\r\u001b[K";

function bar(stream: ProgressStream, line: WriteLine, clock: () => number): Progress {
  let shown = "";
  /** What belongs there, also where it was too early to draw it. */
  let latest = "";
  let next = Number.NEGATIVE_INFINITY;
  const put = (text: string): void => {
    const changed = text === shown ? "" : `${CLEAR}${text}`;
    shown = text;
    if (changed !== "") stream.write(changed);
  };
  /** Messages stand above the bar. */
  const above = (texts: readonly (string | Words)[]): void => {
    put("");
    for (const text of texts) line(text);
    put(latest);
  };
  const width = (): number => (stream.columns ?? 80) - 1;
  return {
    draw: (event) => {
      if (event.type !== "step" && event.type !== "progress") {
        if (event.type === "end") latest = "";
        above(describeEvent(event));
        return;
      }
      const text = event.type === "step" ? barLine(event, width()) : describeProgress(event);
      latest = printable(text).slice(0, width());
      if (clock() < next && !isLast(event)) return;
      next = clock() + REDRAW;
      put(latest);
    },
    note: (text) => above([text]),
    stop: () => {
      latest = "";
      put("");
    },
  };
}

function lines(line: WriteLine, clock: () => number, every: number): Progress {
  let next = Number.NEGATIVE_INFINITY;
  let nextProgress = Number.NEGATIVE_INFINITY;
  return {
    draw: (event) => {
      if (event.type === "progress") {
        if (event.done === 0) nextProgress = clock() + every;
        const isQuiet = event.done === 0 ? event.what === "evaluation" : clock() < nextProgress;
        if (isQuiet || event.done === event.total) return;
        nextProgress = clock() + every;
        line(describeProgress(event));
        return;
      }
      if (event.type === "step") {
        if (clock() < next && !isLast(event)) return;
        next = clock() + every;
      }
      for (const text of describeEvent(event)) line(text);
    },
    note: line,
    stop: () => {},
  };
}

function isLast(event: StepEvent | EvaluationProgress): boolean {
  return event.type === "step" && event.step === event.totalSteps;
}

function barLine(event: StepEvent, width: number): string {
  const progress = event.step / event.totalSteps;
  const facts = [`${event.step}/${event.totalSteps}`, ...describeStep(event)].join(" | ");
  const size = Math.min(30, width - facts.length - 7);
  const percent = `${Math.floor(progress * 100)}%`.padStart(4);
  if (size < 5) return `${percent} ${facts}`;
  const full = Math.round(size * progress);
  return `${"█".repeat(full)}${"░".repeat(size - full)} ${percent} ${facts}`;
}
