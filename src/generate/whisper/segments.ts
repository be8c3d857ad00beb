import { at } from "../../present.js";

/** A part of what was said. */
export interface SpeechSegment {
  /** Seconds. */
  readonly start: number;
  readonly end: number;
  /** Its tokens, times included. */
  readonly tokens: readonly number[];
}

/** Seconds of a timestamp's step, and of a mel frame. */
const STEP = 0.02;
const FRAME = 0.01;
/** Mel frames of a timestamp's step. */
const STRIDE = 2;

/**
 * Parts of what was written for one window, and how many frames of it are done: up to the end of the last
 * pair of times, or all of them where it ends with a single time or has no pair.
 * Reference: transformers/models/whisper/generation_whisper.py, _retrieve_segment
 * @param begin the first timestamp's id
 * @param seek frames before the window
 * @param frames frames of sound in it
 */
export function segmentsOf(
  tokens: readonly number[],
  begin: number,
  seek: number,
  frames: number,
): { segments: SpeechSegment[]; done: number } {
  const offset = (seek * STEP) / STRIDE;
  const isTime = (i: number): boolean => (tokens[i] ?? -1) >= begin;
  const ends = tokens.flatMap((_, i) => (isTime(i) && isTime(i + 1) ? [i + 1] : []));
  if (ends.length === 0) return { segments: [whole(tokens, begin, offset, frames)], done: frames };
  const isSingle = isTime(tokens.length - 1) && !isTime(tokens.length - 2);
  if (isSingle) ends.push(tokens.length);
  else ends[ends.length - 1] = at(ends, -1) + 1; // the second time of the last pair shows that it was one
  const segments = ends.map((end, i) => {
    const part = tokens.slice(ends[i - 1] ?? 0, end);
    const closing = i < ends.length - 1 || isSingle ? -1 : -2;
    const time = (id: number): number => offset + (id - begin) * STEP;
    return { start: time(at(part, 0)), end: time(at(part, closing)), tokens: part };
  });
  return { segments, done: isSingle ? frames : (at(tokens, at(ends, -1) - 2) - begin) * STRIDE };
}

function whole(tokens: readonly number[], begin: number, offset: number, frames: number): SpeechSegment {
  const last = tokens.findLast((id) => id >= begin);
  const steps = last === undefined || last === begin ? Math.floor((frames * FRAME) / STEP) : last - begin;
  return { start: offset, end: offset + steps * STEP, tokens };
}
