import type { Initial } from "./method.js";

export const ZERO: Initial = { kind: "constant", value: 0 };
export const ONE: Initial = { kind: "constant", value: 1 };

/** torch's kaiming_uniform_ with a = sqrt(5), for `fan` inputs. */
export function kaiming(fan: number): Initial {
  return { kind: "uniform", bound: 1 / Math.sqrt(fan) };
}
