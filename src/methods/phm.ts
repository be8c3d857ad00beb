import type { Graph } from "../graph/graph.js";
import type { Tensor } from "../graph/ops.js";
import type { BottleneckConfig } from "./bottleneck_config.js";
import { ZERO } from "./initial.js";
import type { Initial, ParameterSpec, Place } from "./method.js";

/** Compacter's layers, arXiv 2106.04647: W = sum_i kron(rule_i, factor_i), y = x W + b. */

/** Which of a bottleneck's layers it is. */
export type End = "down" | "up";

/** A layer's sizes, and what its keys begin with. */
export interface PhmSite {
  readonly end: End;
  readonly prefix: string;
  readonly inDim: number;
  readonly outDim: number;
}

/** xavier_normal_ of a matrix [rows, columns] */
function xavier(rows: number, columns: number): Initial {
  return { kind: "normal", std: Math.sqrt(2 / (rows + columns)) };
}

/**
 * The rules, [n, n, n] or as [n, n, 1] x [n, 1, n]; Python starts those that layers share with a spread of
 * their own.
 */
function rules(c: BottleneckConfig, prefix: string): ParameterSpec[] {
  const { phmDim: n, sharedPhmRule: shared } = c;
  const spread = shared ? { uniform: 1, std: c.phmInitRange } : { uniform: 0.01, std: 0.01 };
  const initial: Initial =
    c.phmCInit === "normal"
      ? { kind: "normal", std: spread.std }
      : { kind: "uniform", bound: spread.uniform };
  const frozen = c.learnPhm ? {} : { frozen: "saved" as const };
  if (!c.factorizedPhmRule) return [{ key: `${prefix}phm_rule`, shape: [n, n, n], initial, ...frozen }];
  return [
    { key: `${prefix}phm_rule_left`, shape: [n, n, 1], initial, ...frozen },
    { key: `${prefix}phm_rule_right`, shape: [n, 1, n], initial, ...frozen },
  ];
}

/** The right factors, [n, in / n, out / n] or as products of a rank. */
function factors(c: BottleneckConfig, name: string, inDim: number, outDim: number): ParameterSpec[] {
  const { phmDim: n, phmRank: r } = c;
  const [rows, columns] = [inDim / n, outDim / n];
  if (!c.factorizedPhmW) return [{ key: name, shape: [n, rows, columns], initial: xavier(rows, columns) }];
  return [
    { key: `${name}_left`, shape: [n, rows, r], initial: xavier(rows, r) },
    { key: `${name}_right`, shape: [n, r, columns], initial: xavier(r, columns) },
  ];
}

/** What a layer has of its own. */
export function phmParameters(c: BottleneckConfig, site: PhmSite): ParameterSpec[] {
  const { prefix, inDim, outDim } = site;
  return [
    ...(c.sharedPhmW ? [] : factors(c, `${prefix}W`, inDim, outDim)),
    ...(c.phmBias ? [{ key: `${prefix}b`, shape: [outDim], initial: ZERO }] : []),
    ...(c.sharedPhmRule ? [] : rules(c, prefix)),
  ];
}

/** What all layers share: of bottlenecks of one width. */
export function phmShared(c: BottleneckConfig, hidden: number, width: number): ParameterSpec[] {
  return [
    ...(c.sharedPhmRule ? rules(c, "") : []),
    ...(c.sharedPhmW ? [...factors(c, "W_down", hidden, width), ...factors(c, "W_up", width, hidden)] : []),
  ];
}

/** x [..., in] -> [..., out] */
export function phm(
  place: Pick<Place, "g" | "p" | "shared">,
  x: Tensor,
  site: PhmSite,
  c: BottleneckConfig,
): Tensor {
  const { g, p, shared } = place;
  const { end, prefix, inDim, outDim } = site;
  const product = (name: string, isFactorized: boolean, at: (key: string) => Tensor): Tensor =>
    isFactorized ? g.matmul(at(`${name}_left`), at(`${name}_right`)) : at(name);
  const own = (key: string): Tensor => p(`${prefix}${key}`);
  const rule = product("phm_rule", c.factorizedPhmRule, c.sharedPhmRule ? shared : own);
  const factor = c.sharedPhmW
    ? product(`W_${end}`, c.factorizedPhmW, shared)
    : product("W", c.factorizedPhmW, own);
  const y = g.matmul(x, krons(g, rule, factor, inDim, outDim));
  return c.phmBias ? g.add(y, own("b")) : y;
}

/** sum_i kron(a_i, b_i), of a [n, n, n] and b [n, in / n, out / n] */
function krons(g: Graph, a: Tensor, b: Tensor, inDim: number, outDim: number): Tensor {
  const n = a.shape[0] as number;
  // [n, n, in / n, n, out / n]
  const products = g.mul(g.reshape(a, [n, n, 1, n, 1]), g.reshape(b, [n, 1, inDim / n, 1, outDim / n]));
  return g.reshape(g.sum(products, 0), [inDim, outDim]);
}
