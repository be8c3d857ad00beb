import { refuseUnknown } from "../arguments.js";
import type { TokenDecoder } from "./stepper.js";

/** Gets tokens as they are chosen. */
export interface TokenStreamer {
  /** Before the first token, with the settings' stop strings. */
  begin(stopStrings: readonly string[]): void;
  /** One token, of the one row. */
  put(tokens: Int32Array): void;
  /** After the last one, also when generation failed; the error itself comes from generate(). */
  end(): void;
}

/** What of an answer is text. */
export interface TextStreamerOptions {
  /** Whether special tokens are left out. @default true */
  skipSpecialTokens?: boolean;
  /** Whether a stop string that ends the answer is part of the text. @default false */
  keepStop?: boolean;
}

/** No character takes more tokens than this; after so many, broken bytes are passed on as they are. */
const PATIENCE = 16;
const BROKEN = "\ufffd";

/**
 * The text of an answer while it is made: an async iterator of pieces whose sum is the whole text.
 * A piece never ends within a character, and never holds the beginning of a stop string that then completes.
 * @example
 * ```ts
 * import { TextStreamer } from "peft.js";
 *
 * const stream = new TextStreamer(tokenizer);
 * const answer = model.generate(tokenizer("Once upon a time"), { streamer: stream });
 * for await (const piece of stream) process.stdout.write(piece);
 * await answer;
 * ```
 */
export class TextStreamer implements TokenStreamer, AsyncIterable<string> {
  readonly #tokenizer: TokenDecoder;
  readonly #skipSpecialTokens: boolean;
  readonly #keepStop: boolean;
  #stops: readonly string[] = [];
  #ids: number[] = [];
  /** Decoding starts at `from` so that the tokens since `read` see what stood before them. */
  #from = 0;
  #read = 0;
  /** Text that may be the beginning of a stop string. */
  #held = "";
  #stopped = false;
  #ended = false;
  #pieces: string[] = [];
  #wake: () => void = () => {};

  constructor(tokenizer: TokenDecoder, options: TextStreamerOptions = {}) {
    refuseUnknown("new TextStreamer", options, { skipSpecialTokens: {}, keepStop: {} });
    this.#tokenizer = tokenizer;
    this.#skipSpecialTokens = options.skipSpecialTokens ?? true;
    this.#keepStop = options.keepStop ?? false;
  }

  begin(stopStrings: readonly string[]): void {
    this.#stops = stopStrings;
  }

  put(tokens: Int32Array): void {
    this.#ids.push(...tokens);
    this.#take(this.#newText(false));
  }

  end(): void {
    if (this.#ended) return;
    this.#take(this.#newText(true));
    if (!this.#stopped) this.#emit(this.#held);
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void> {
    for (;;) {
      for (let piece = this.#pieces.shift(); piece !== undefined; piece = this.#pieces.shift()) yield piece;
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What the tokens since the last piece add, once it ends with a whole character. */
  #newText(last: boolean): string {
    const before = this.#decode(this.#ids.slice(this.#from, this.#read));
    const text = this.#decode(this.#ids.slice(this.#from));
    const waiting = text.endsWith(BROKEN) && this.#ids.length - this.#read < PATIENCE && !last;
    if (text.length <= before.length || waiting) return "";
    this.#from = this.#read;
    this.#read = this.#ids.length;
    return text.slice(before.length);
  }

  #decode(ids: number[]): string {
    if (ids.length === 0) return "";
    return this.#tokenizer.decode(ids, { skipSpecialTokens: this.#skipSpecialTokens });
  }

  #take(text: string): void {
    if (this.#stopped || text === "") return;
    const held = this.#held + text;
    const stop = firstStop(held, this.#stops);
    if (stop) {
      this.#stopped = true;
      this.#emit(held.slice(0, this.#keepStop ? stop.end : stop.start));
      return;
    }
    const begun = begunStop(held, this.#stops);
    this.#held = held.slice(held.length - begun);
    this.#emit(held.slice(0, held.length - begun));
  }

  #emit(text: string): void {
    if (text === "") return;
    this.#pieces.push(text);
    this.#wake();
  }
}

/**
 * Runs a generation and yields its text; leaving the loop early stops the generation, and its errors are
 * thrown here.
 * `start` gets the streamer and the signal to hand to generate().
 */
export async function* streamText(
  tokenizer: TokenDecoder,
  start: (streamer: TextStreamer, signal: AbortSignal) => Promise<unknown>,
  options: TextStreamerOptions = {},
): AsyncGenerator<string, void> {
  const streamer = new TextStreamer(tokenizer, options);
  const control = new AbortController();
  let left = true;
  const answer = start(streamer, control.signal).finally(() => streamer.end());
  answer.catch(() => {}); // thrown below, or of no interest to one who left
  try {
    yield* streamer;
    left = false;
  } finally {
    if (left) control.abort();
  }
  await answer;
}

/** The stop string that comes first. */
function firstStop(text: string, stops: readonly string[]): { start: number; end: number } | undefined {
  const found = stops
    .map((stop) => ({ start: text.indexOf(stop), end: text.indexOf(stop) + stop.length }))
    .filter(({ start }) => start !== -1);
  return found.sort((a, b) => a.start - b.start)[0];
}

/** Length of the longest end of the text with which a stop string begins. */
function begunStop(text: string, stops: readonly string[]): number {
  for (
    let length = Math.min(text.length, Math.max(0, ...stops.map((s) => s.length - 1)));
    length > 0;
    length--
  ) {
    const tail = text.slice(-length);
    if (stops.some((stop) => stop.startsWith(tail))) return length;
  }
  return 0;
}
