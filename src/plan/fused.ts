import { gradients } from "../autodiff/gradient.js";
import { inputsOf, toProgram } from "../engine/program.js";
import { fused as inOnePiece } from "../engine/schedule.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import type { Planned, Wanted } from "./planned.js";

/** Forward and backward in one session, weights bound once. */
export function fused(name: string, g: Graph, { outputs, loss, trained }: Wanted): Planned {
  const found = loss === undefined ? [] : gradients(g, loss, trained);
  const all: Record<string, Tensor> = { ...outputs };
  const named: string[] = [];
  for (const [i, slope] of found.entries()) {
    if (slope === undefined) continue;
    const { name } = at(trained, i).attrs;
    all[`gradient:${name}`] = slope;
    named.push(name);
  }
  const program = toProgram(all);
  return {
    schedule: inOnePiece(name, program, loss === undefined),
    inputs: new Set(inputsOf(program)),
    gradients: named,
  };
}
