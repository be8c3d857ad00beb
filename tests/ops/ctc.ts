import { at, build, type Value } from "./arrays.js";

/** Every path's emissions, and the states that it is in. */
function paths(
  emissions: Value,
  skips: Value,
  ends: Value,
  mask: Value,
  row: number,
): { weight: number; states: readonly (readonly [frame: number, state: number])[] }[] {
  const [, frames, states] = emissions.shape as [number, number, number];
  const counted = Array.from({ length: frames }, (_, t) => t).filter((t) => at(mask, [row, t]) > 0);
  const found: ReturnType<typeof paths> = [];
  const walk = (i: number, state: number, weight: number, seen: readonly [number, number][]): void => {
    const frame = counted[i];
    if (frame === undefined) {
      if (at(ends, [row, state]) > 0) found.push({ weight, states: seen });
      return;
    }
    for (const step of [0, 1, 2]) {
      const to = state + step;
      if (to >= states || (step === 2 && at(skips, [row, to]) === 0)) continue;
      walk(i + 1, to, weight + at(emissions, [row, frame, to]), [...seen, [frame, to]]);
    }
  };
  walk(0, 0, 0, []);
  return found;
}

/** By its definition: all paths, one after another. */
export function ctc([emissions, skips, ends, mask]: readonly Value[]): Value[] {
  const rows = emissions!.shape[0]!;
  const all = Array.from({ length: rows }, (_, row) => paths(emissions!, skips!, ends!, mask!, row));
  const totals = all.map((found) => found.reduce((sum, { weight }) => sum + Math.exp(weight), 0));
  return [
    build([rows], ([row = 0]) => -Math.log(totals[row]!)),
    build(emissions!.shape, ([row = 0, frame, state]) => {
      const through = all[row]!.filter(({ states }) => states.some(([t, s]) => t === frame && s === state));
      const sum = through.reduce((sum, { weight }) => sum + Math.exp(weight), 0);
      return sum === 0 ? 0 : -sum / totals[row]!;
    }),
  ];
}
