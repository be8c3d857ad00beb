import { internal } from "../errors.js";
import { sameShape } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { OpName, Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { joinSlices } from "./join_slices.js";
import { rules } from "./rules.js";
import { noGradient } from "./vjp.js";

/**
 * d loss / d x for each x in `by`, added to the same graph. loss: f32 []. Undefined where the loss does not
 * depend on it. Reverse mode, only along paths from the loss to `by`.
 */
export function gradients(g: Graph, loss: Tensor, by: readonly Tensor[]): (Tensor | undefined)[] {
  if (loss.shape.length !== 0) internal(`a loss is a scalar, not [${loss.shape}]`);
  return vjp(g, [loss], [g.scalar(1)], by);
}

/**
 * The sum over i of d ys[i] / d x * dys[i] for each x in `by`: what a block needs whose gradient comes from
 * outside. ys, dys: f32, pairwise of one shape.
 */
export function vjp(
  g: Graph,
  ys: readonly Tensor[],
  dys: readonly Tensor[],
  by: readonly Tensor[],
): (Tensor | undefined)[] {
  const last = ys.reduce((id, y) => Math.max(id, y.id), -1);
  const leads = leadsTo(g, by, last);
  const parts = new Map<number, Tensor[]>(); // what each consumer contributes, by node id
  const totals = new Map<number, Tensor>();
  const contribute = (x: Tensor, dx: Tensor): void => {
    if (x.dtype !== "f32") internal(`a gradient by the ${x.dtype} result of ${x.op}`);
    if (!sameShape(x.shape, dx.shape)) internal(`gradient [${dx.shape}] of ${x.op} [${x.shape}]`);
    const known = parts.get(x.id);
    if (known === undefined) parts.set(x.id, [dx]);
    else known.push(dx);
  };
  for (const [i, y] of ys.entries()) contribute(y, at(dys, i));
  for (let id = last; id >= 0; id--) {
    const own = parts.get(id);
    if (own === undefined || !leads[id]) continue;
    parts.delete(id);
    const y = at(g.nodes, id);
    const dy = joinSlices(g, own).reduce((total, part) => g.add(total, part));
    totals.set(id, dy);
    const wants = y.inputs.map((x) => leads[x.id] === true);
    if (!wants.includes(true) || rules[y.op] === noGradient) continue;
    const dxs = inputGradients(g, y, dy, wants);
    y.inputs.forEach((x, i) => {
      const dx = dxs[i];
      if (wants[i] && dx !== undefined) contribute(x, dx);
    });
  }
  return by.map((x) => totals.get(x.id));
}

function inputGradients<K extends OpName>(
  g: Graph,
  y: Tensor<K>,
  dy: Tensor,
  wants: readonly boolean[],
): readonly (Tensor | undefined)[] {
  return rules[y.op](g, y, dy, y.inputs, wants);
}

/** For each node up to `last`: does its value depend, differentiably, on something in `by`? */
export function leadsTo(g: Graph, by: readonly Tensor[], last: number): boolean[] {
  const ids = new Set(by.map((x) => x.id));
  const leads: boolean[] = [];
  for (let id = 0; id <= last; id++) {
    const y = at(g.nodes, id);
    const flows = y.dtype === "f32" && rules[y.op] !== noGradient && y.inputs.some((x) => leads[x.id]);
    leads.push(flows || ids.has(id));
  }
  return leads;
}
