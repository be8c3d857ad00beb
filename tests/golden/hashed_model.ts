import type { MakeStepper } from "../../src/generate/stepper.js";

/** Score of token c after tokens a, b, in [-4, 4): the model of tools/golden/generate.py. */
export function hashed(a: number, b: number, c: number): number {
  let h = Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca77) ^ Math.imul(c, 0xc2b2ae3d);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  h ^= h >>> 15;
  return (h >>> 8) / 2 ** 21 - 4;
}

/** What a Stepper was asked to do. */
export interface Calls {
  started: number;
  steps: number;
  ended: number;
  expand: number;
}

/** A Stepper on the hashed model; its "cache" is the last two tokens, so a wrong order gives wrong scores. */
export function hashedStepper(
  prompts: number[][],
  vocabSize: number,
  calls: Calls = { started: 0, steps: 0, ended: 0, expand: 0 },
): MakeStepper {
  return async (expand) => {
    calls.expand = expand;
    let cache = prompts.flatMap(
      (ids) => new Array(expand).fill([ids.at(-2) ?? 0, ids.at(-1)!]) as number[][],
    );
    const scores = () => {
      const rows = new Float32Array(cache.length * vocabSize);
      return rows.map((_, i) => {
        const [a, b] = cache[Math.floor(i / vocabSize)]!;
        return hashed(a!, b!, i % vocabSize);
      });
    };
    return {
      vocabSize,
      start: async () => {
        calls.started++;
        return scores();
      },
      next: async (tokens, order) => {
        calls.steps++;
        cache = Array.from(tokens, (token, row) => [cache[order?.[row] ?? row]![1]!, token]);
        return scores();
      },
      end: async () => {
        calls.ended++;
      },
    };
  };
}

/** Everything that an async iterator gives. */
export async function collectAll<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of source) all.push(value);
  return all;
}
