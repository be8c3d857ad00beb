import { internal } from "../errors.js";
import type { HostTensor } from "./messages.js";

/** Floats with their shape. */
export interface FloatTensor {
  /** Row-major, f32. */
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

/** A result of a run that is floats. */
export function floatsOf(outputs: Readonly<Record<string, HostTensor>>, name: string): FloatTensor {
  const { data, shape } = outputs[name] ?? internal(`no output "${name}"`);
  return data instanceof Float32Array ? { data, shape } : internal(`the output "${name}" is not f32`);
}
