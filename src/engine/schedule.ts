import type { Schedule } from "./messages.js";
import type { Program } from "./program.js";
import { inputsOf } from "./program.js";

/** All of a program in one session, its weights bound once. */
export function fused(name: string, program: Program, forwardOnly = false): Schedule {
  const same = (names: readonly string[]): Record<string, string> =>
    Object.fromEntries(names.map((n) => [n, n]));
  const results = same(program.outputs.map((y) => y.name));
  const inputs = same(inputsOf(program));
  const step = { program: name, inputs, weights: {}, outputs: results, free: [] };
  return { programs: [{ name, program, fed: undefined, forwardOnly }], steps: [step], results, dims: {} };
}
