import type { SampleEvent } from "./events.js";

/** What the model says about a row, in words. */
export interface Prediction {
  /** The row's place in the data set. */
  readonly row: number;
  /** What the model read. */
  readonly prompt: string;
  /** The same turn by turn, where it is a chat. */
  readonly turns?: NonNullable<SampleEvent["turns"]>;
  /** What it said. */
  readonly output: string;
  /** What the row says. */
  readonly expected: string;
  /** An answer that was cut: the model had more to say than it may. */
  readonly isCut?: boolean;
}
