import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Value, value } from "../../tests/ops/arrays.js";
import { evaluate, type Feeds } from "../../tests/ops/evaluate.js";
import { Graph } from "../graph/graph.js";
import type { EmbeddingSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { methods } from "./index.js";
import type {
  Adapted,
  AdapterConfig,
  Merging,
  Method,
  NamedTensor,
  ParameterSpec,
  Site,
  SiteMethod,
} from "./method.js";
import { RankAllocator, type RankSchedule } from "./rank_allocator.js";

interface Plain {
  shape: number[];
  data: number[];
}
interface Case {
  kind: "linear" | "conv1d" | "embedding" | "wide";
  options: Record<string, unknown>;
  base: { weight: Plain; bias: Plain | null };
  x: Plain;
  parameters: Record<string, Plain>;
  y: Plain;
  dropped?: { y: Plain; factor: Plain };
  merged: { weight: Plain; bias: Plain | null };
}
interface Ranks {
  schedule: Record<string, number>;
  tensors: Record<string, Plain>;
  steps: { gradients: Record<string, Plain>; left: Record<string, Plain> }[];
}
const golden = JSON.parse(
  readFileSync(new URL("../../tests/golden/adapters.json", import.meta.url), "utf8"),
) as { layers: Record<string, Case>; others: Record<string, Case>; ranks: Ranks };
const cases: Readonly<Record<string, Case>> = { ...golden.layers, ...golden.others };

/** The method of a case with its layer, its config and its numbers. */
function setUp(name: string): {
  c: Case;
  method: Method;
  config: AdapterConfig;
  at: SiteMethod<AdapterConfig, Site>;
  site: Site & LinearSite & EmbeddingSite;
  feeds: Feeds;
} {
  const c = cases[name]!;
  const method = methods.find((m) => m.name === name.replace(/^dora/, "lora").split("-")[0])!;
  const { options } = c;
  const config = method.config.create({ targetModules: ["layer"], ...options });
  const [first, second] = c.base.weight.shape as [number, number];
  const transposed = c.kind === "conv1d";
  const site = {
    ...{
      path: "layer",
      weight: "layer.weight",
      bias: c.base.bias === null ? undefined : "layer.bias",
      transposed,
    },
    ...{ inDim: transposed ? first : second, outDim: transposed ? second : first, vocab: first, dim: second },
  };
  const at = (c.kind === "embedding"
    ? method.layers?.embedding
    : method.layers?.linear) as unknown as SiteMethod<AdapterConfig, Site>;
  const feeds: Record<string, Value> = { x: value(c.x.data, c.x.shape) };
  for (const [key, p] of Object.entries(c.parameters)) feeds[key] = value(p.data, p.shape);
  for (const { key, shape, initial, frozen } of c.kind === "embedding" ? [] : specsOf(method, config, site)) {
    if (frozen !== "derived") continue;
    const made = new Float32Array(shape.reduce((a, b) => a * b, 1));
    if (initial.kind === "made") initial.make(made, () => 0);
    const start = (): Readonly<Record<string, Float32Array>> =>
      at.prepare!(config, site, Float32Array.from(c.base.weight.data), () => 0, {
        bias: undefined,
        p: () => new Float32Array(0),
      })!.parameters;
    const data = initial.kind === "prepared" ? start()[key]! : made;
    feeds[key] = value([...data], shape);
  }
  feeds["layer.weight"] = value(c.base.weight.data, c.base.weight.shape);
  if (c.base.bias !== null) feeds["layer.bias"] = value(c.base.bias.data, c.base.bias.shape);
  return { c, method, config, at, site, feeds };
}

function specsOf({ layers }: Method, config: AdapterConfig, site: LinearSite): readonly ParameterSpec[] {
  return [...layers!.linear!.parameters(config, site), ...(layers!.shared?.(config, [site]) ?? [])];
}

/** The layer's output and the base's, with `gate` a scalar or one number per row. */
function run(name: string, gate: number | number[], factor?: Plain): { y: Value; base: Value } {
  const { c, config, at, site, feeds } = setUp(name);
  const g = new Graph();
  const input = (key: string, shape: readonly number[] = feeds[key]!.shape): Tensor => g.input(key, shape);
  const weight = (): Tensor => g.weight("layer.weight", c.base.weight.shape);
  const bias = (): Tensor | undefined => (c.base.bias === null ? undefined : input("layer.bias"));
  const next = (x: Tensor): Tensor => {
    if (c.kind === "embedding") return g.gather(weight(), x);
    return g.add(g.linear(x, weight(), c.kind === "conv1d"), bias()!);
  };
  const shape = typeof gate === "number" ? [] : [gate.length, 1, 1];
  const on = g.input("gate", shape);
  const adapted: Adapted<Site> = {
    ...{ g, site, next, weight, bias, gate: on },
    p: (key) => input(key),
    shared: (key) => input(key),
    scale: g.mul(on, at.scale?.(config, site) ?? 1),
    dropout: (x) => (factor === undefined ? x : g.mul(x, input("factor", factor.shape))),
    isTraining: false,
    draw: () => undefined,
    normal: () => undefined,
    input: (name) => input(name),
    drawRows: () => undefined,
  };
  const x = g.input("x", c.x.shape, c.kind === "embedding" ? "i64" : "f32");
  const all: Record<string, Value> = { ...feeds, gate: value([gate].flat(), shape) };
  if (factor !== undefined) all.factor = value(factor.data, factor.shape);
  const [y, base] = evaluate(g, [at.forward(adapted, x, config), next(x)], all) as [Value, Value];
  return { y, base };
}

function expectClose(actual: Value, expected: Plain): void {
  expect(actual.shape).toEqual(expected.shape);
  const worst = Math.max(...expected.data.map((want, i) => Math.abs(want - actual.data[i]!)));
  expect(worst).toBeLessThan(1e-5);
}

describe.each(Object.keys(cases))("%s", (name) => {
  it("computes what Python computes", () => {
    expectClose(run(name, 1).y, cases[name]!.y);
  });

  it("is the base exactly where it is off", () => {
    const { y, base } = run(name, 0);
    expect([...y.data]).toEqual([...base.data]);
  });

  it("is on in some rows and off in others", () => {
    const { y, base } = run(name, [1, 0]);
    const half = y.data.length / 2;
    const wanted = cases[name]!.y.data.map((v, i) => (i < half ? v : base.data[i]!));
    expectClose(y, { shape: [...y.shape], data: wanted });
  });

  it("merges as Python merges", () => {
    const { c, config, at, site, feeds } = setUp(name);
    const g = new Graph();
    const merging: Merging<Site> = {
      ...{ g, site, weight: g.weight("layer.weight", c.base.weight.shape) },
      bias: c.base.bias === null ? undefined : g.input("layer.bias", c.base.bias.shape),
      p: (key) => g.input(key, feeds[key]!.shape),
      shared: (key) => g.input(key, feeds[key]!.shape),
      scale: g.scalar(at.scale?.(config, site) ?? 1),
    };
    const merged = at.merge!(merging, config);
    const bias = merged.bias ?? merging.bias;
    const results = evaluate(g, bias === undefined ? [merged.weight] : [merged.weight, bias], feeds);
    expectClose(results[0]!, c.merged.weight);
    if (c.merged.bias !== null) expectClose(results[1]!, c.merged.bias);
  });

  it("has the parameters that Python saves", () => {
    const { c, method, config, at, site } = setUp(name);
    const all = c.kind === "embedding" ? at.parameters(config, site) : specsOf(method, config, site);
    const saved = all.filter(({ frozen }) => frozen !== "derived" && frozen !== "counted");
    const specs = saved.map((spec) => [spec.key, spec.shape]);
    expect(Object.fromEntries(specs)).toEqual(
      Object.fromEntries(Object.entries(c.parameters).map(([key, p]) => [key, p.shape])),
    );
  });
});

it.each(["lora-dropout", "dora-dropout"])("%s drops the adapter's input as Python does", (name) => {
  const { y, factor } = golden.layers[name]!.dropped!;
  const { y: actual } = run(name, 1, factor);
  expectClose(actual, y);
});

it("scales a pooler's [batch, hidden] by row", () => {
  const { config, at, site, feeds, c } = setUp("lora");
  const g = new Graph();
  const weight = (): Tensor => g.weight("layer.weight", c.base.weight.shape);
  const gate = g.input("gate", [2, 1, 1]);
  const adapted: Adapted<Site> = {
    ...{
      g,
      site,
      weight,
      gate,
      next: (x) => g.linear(x, weight()),
      bias: () => undefined,
      dropout: (x) => x,
      isTraining: false,
      draw: () => undefined,
      normal: () => undefined,
      input: () => gate,
      drawRows: () => undefined,
    },
    p: (key) => g.input(key, feeds[key]!.shape),
    shared: (key) => g.input(key, feeds[key]!.shape),
    scale: g.mul(gate, 1.5),
  };
  const x = g.input("x", [2, site.inDim]);
  const [y, base] = evaluate(g, [at.forward(adapted, x, config), adapted.next(x)], {
    ...feeds,
    x: value(c.x.data.slice(0, 2 * site.inDim), [2, site.inDim]),
    gate: value([1, 0], [2, 1, 1]),
  }) as [Value, Value];
  expect(y.shape).toEqual([2, site.outDim]);
  expect([...y.data.slice(site.outDim)]).toEqual([...base.data.slice(site.outDim)]);
  expect(y.data[0]).not.toBeCloseTo(base.data[0]!, 3);
});

it("takes AdaLoRA's ranks away as Python does", () => {
  const { schedule, tensors, steps } = golden.ranks;
  const all = Object.entries(tensors).map(
    ([key, { shape, data }]): NamedTensor => ({ key, shape, data: Float32Array.from(data) }),
  );
  const allocator = new RankAllocator(
    methods.find((m) => m.name === "adalora")!.config.create(schedule) as unknown as RankSchedule,
    all,
  );
  for (const [i, { gradients, left }] of steps.entries()) {
    const graded = all.map((t) => ({ ...t, gradient: Float32Array.from(gradients[t.key]!.data) }));
    allocator.update(i + 1, graded);
    for (const [key, { data }] of Object.entries(left))
      expect([key, i + 1, ...all.find((t) => t.key === key)!.data]).toEqual([
        key,
        i + 1,
        ...Float32Array.from(data),
      ]);
  }
});
