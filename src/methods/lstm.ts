import { lengthAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { ParameterSpec } from "./method.js";

/** A bidirectional LSTM as torch.nn.LSTM lays it out. */
export interface LstmSizes {
  readonly inDim: number;
  readonly hidden: number;
  readonly layers: number;
  /** Rate of dropout between layers. */
  readonly dropout: number;
}

/** Both directions of every layer, by torch's names of their parameters. */
function cells({
  inDim,
  hidden,
  layers,
}: LstmSizes): { layer: number; suffix: string; inDim: number; back: boolean }[] {
  return Array.from({ length: layers }, (_, layer) =>
    [false, true].map((back) => ({
      layer,
      back,
      suffix: `l${layer}${back ? "_reverse" : ""}`,
      inDim: layer === 0 ? inDim : 2 * hidden,
    })),
  ).flat();
}

/**
 * weight_ih [4 hidden, in], weight_hh [4 hidden, hidden], biases [4 hidden], all U(-1/sqrt(hidden),
 * 1/sqrt(hidden)).
 */
export function lstmSpecs(name: string, sizes: LstmSizes): ParameterSpec[] {
  const initial = { kind: "uniform", bound: 1 / Math.sqrt(sizes.hidden) } as const;
  const four = 4 * sizes.hidden;
  return cells(sizes).flatMap(({ suffix, inDim }) => [
    { key: `${name}.weight_ih_${suffix}`, shape: [four, inDim], initial },
    { key: `${name}.weight_hh_${suffix}`, shape: [four, sizes.hidden], initial },
    { key: `${name}.bias_ih_${suffix}`, shape: [four], initial },
    { key: `${name}.bias_hh_${suffix}`, shape: [four], initial },
  ]);
}

/**
 * One direction over rows [steps, in] -> hidden states by step, each [1, hidden]. Gates in torch's order:
 * i f g o.
 */
function run(
  g: Graph,
  p: (kind: string) => Tensor,
  x: Tensor,
  { hidden, back }: { hidden: number; back: boolean },
): Tensor[] {
  const steps = lengthAt(x.shape, 0);
  const bias = g.add(p("bias_ih"), p("bias_hh"));
  const fromInput = g.add(g.linear(x, p("weight_ih")), bias); // [steps, 4 hidden]
  const states: Tensor[] = [];
  let h: Tensor | undefined;
  let c: Tensor | undefined;
  for (let step = 0; step < steps; step++) {
    const at = back ? steps - 1 - step : step;
    const row = g.slice(fromInput, 0, at, at + 1); // [1, 4 hidden]
    const gates = h === undefined ? row : g.add(row, g.linear(h, p("weight_hh")));
    const [i, f, cell, o] = g.split(gates, 1, [hidden, hidden, hidden, hidden]);
    const fresh = g.mul(g.sigmoid(i), g.tanh(cell));
    c = c === undefined ? fresh : g.add(g.mul(g.sigmoid(f), c), fresh);
    h = g.mul(g.sigmoid(o), g.tanh(c));
    states[at] = h;
  }
  return states;
}

/** x [steps, in] -> [steps, 2 hidden], unrolled: the number of steps is a number of the config. */
export function lstm(
  g: Graph,
  p: (key: string) => Tensor,
  x: Tensor,
  { name, dropout, ...sizes }: LstmSizes & { readonly name: string },
  drop?: (x: Tensor, p: number) => Tensor,
): Tensor {
  const all = cells({ ...sizes, dropout });
  let y = x;
  for (let layer = 0; layer < sizes.layers; layer++) {
    const input = layer === 0 || drop === undefined ? y : drop(y, dropout);
    const directions = all.filter((cell) => cell.layer === layer);
    const states = directions.map(({ suffix, back }) =>
      g.concat(
        run(g, (kind) => p(`${name}.${kind}_${suffix}`), input, { hidden: sizes.hidden, back }),
        0,
      ),
    );
    y = g.concat(states, 1);
  }
  return y;
}
