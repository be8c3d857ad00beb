import { PeftError } from "../errors.js";
import type { Decoding } from "./resolve.js";
import type { Rule } from "./rule.js";
import type { Stepper } from "./stepper.js";
import type { Stops } from "./stop.js";
import type { TokenStreamer } from "./streamer.js";

/** Everything one call of generate() works with; rows are repeated as the Stepper repeats them. */
export interface Run {
  stepper: Stepper;
  decoding: Decoding;
  rules: Rule[];
  stops: Stops;
  prompts: Int32Array[];
  /** Padding in front of each row. */
  padding: number[];
  seed: number;
  streamer: TokenStreamer | undefined;
  signal: AbortSignal | undefined;
}

/** What generate() gives back. */
export interface Generated {
  /** Prompt (or start tokens) and what followed, one row per answer, all of one length. */
  sequences: Int32Array[];
  /** Beams: score of each row, log-probability / new tokens ** lengthPenalty. */
  scores?: Float32Array;
}

/** Stops between tokens when the caller's signal says so. Codes: aborted. */
export function checkAbort(
  run: Pick<Run, "signal"> & { decoding: Pick<Decoding, "promptLength"> },
  length: number,
): void {
  if (!run.signal?.aborted) return;
  throw new PeftError("aborted", {
    what: `Generation was stopped after ${length - run.decoding.promptLength} tokens.`,
    why: "its AbortSignal was aborted.",
    fix: "call generate again for a whole answer.",
    cause: run.signal.reason,
  });
}
