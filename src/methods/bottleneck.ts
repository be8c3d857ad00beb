import { PeftError } from "../errors.js";
import { activate, activationNames } from "../graph/activations.js";
import { dimAt } from "../graph/dims.js";
import type { Graph } from "../graph/graph.js";
import type { SublayerSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { normal } from "../random.js";
import { option, words } from "../words.js";
import type { BottleneckOptions } from "./bottleneck_config.js";
import { BottleneckConfig, factorAt } from "./bottleneck_config.js";
import { perRow } from "./gate.js";
import { kaiming, ONE, ZERO } from "./initial.js";
import type {
  Initial,
  Method,
  OutputMethod,
  ParameterSpec,
  Place,
  SublayerMethod,
  SublayerPlace,
} from "./method.js";
import type { PhmSite } from "./phm.js";
import { phm, phmParameters, phmShared } from "./phm.js";

export type { BottleneckOptions };
export { BottleneckConfig };

/** What stands before the keys of a place's tensors; in files the adapter's name follows it. */
const AT = "adapters.";
/** torch's LayerNorm */
const EPS = 1e-5;

/** torch's trunc_normal_ with std 0.01, cut at two of them */
const TRUNCATED: Initial = {
  kind: "made",
  make: (data, next) => {
    for (let i = 0; i < data.length; i++) {
      let x = normal(next);
      while (Math.abs(x) > 2) x = normal(next);
      data[i] = 0.01 * x;
    }
  },
};
const BERT: Initial = { kind: "normal", std: 0.02 };

/** The widths of a bottleneck's layers. */
function widthAt(c: BottleneckConfig, { layer, hidden, path }: SublayerSite): number {
  const factor = factorAt(c, layer);
  if (factor === undefined)
    throw new PeftError("adapter-config", {
      what: words`${option("reductionFactor")} ${JSON.stringify(c.reductionFactor)} says nothing of layer ${layer}, where ${path} is.`,
      why: "every layer with adapters has a factor: its own, or the default.",
      fix: words`add a default: ${option("reductionFactor", { ...Object(c.reductionFactor), default: 16 })}.`,
    });
  const width = Math.max(1, Math.floor(hidden / factor));
  if (c.phmLayer && (hidden % c.phmDim > 0 || width % c.phmDim > 0))
    throw new PeftError("adapter-config", {
      what: words`${option("phmDim")} is ${c.phmDim} at ${path}, whose widths are ${hidden} and ${width}.`,
      why: words`${option("phmLayer")} cuts both into that many parts.`,
      fix: words`choose another ${option("reductionFactor")}, or ${option("phmDim", 1)}.`,
    });
  return width;
}

function phmSite(c: BottleneckConfig, site: SublayerSite, end: PhmSite["end"]): PhmSite {
  const [hidden, width] = [site.hidden, widthAt(c, site)];
  const [inDim, outDim] = end === "down" ? [hidden, width] : [width, hidden];
  return { end, prefix: `${AT}${end === "down" ? downKey(c) : "adapter_up"}.`, inDim, outDim };
}

/** Python's list of modules has the norm first. */
function downKey(c: BottleneckConfig): string {
  return `adapter_down.${c.lnBefore ? 1 : 0}`;
}

function normAt(key: string, hidden: number, also?: string): ParameterSpec[] {
  return [
    { key: `${key}.weight`, shape: [hidden], initial: ONE, ...(also && { also: `${also}.weight` }) },
    { key: `${key}.bias`, shape: [hidden], initial: ZERO, ...(also && { also: `${also}.bias` }) },
  ];
}

function linearAt(key: string, shape: [outDim: number, inDim: number], initial: Initial): ParameterSpec[] {
  return [
    { key: `${key}.weight`, shape, initial },
    { key: `${key}.bias`, shape: [shape[0]], initial: ZERO },
  ];
}

function bottleneckLayers(c: BottleneckConfig, site: SublayerSite): ParameterSpec[] {
  if (c.phmLayer)
    return [...phmParameters(c, phmSite(c, site, "down")), ...phmParameters(c, phmSite(c, site, "up"))];
  const [{ hidden }, width] = [site, widthAt(c, site)];
  const [down, up] = {
    bert: [BERT, BERT] as const,
    mam_adapter: [kaiming(hidden), ZERO] as const,
    houlsby: [TRUNCATED, TRUNCATED] as const,
  }[c.initWeights];
  return [
    ...linearAt(`${AT}${downKey(c)}`, [width, hidden], down),
    ...linearAt(`${AT}adapter_up`, [hidden, width], up),
  ];
}

function parameters(c: BottleneckConfig, site: SublayerSite): ParameterSpec[] {
  const { hidden, path, isNormed } = site;
  if (c.residualBeforeLn === "post_add" && !c.isParallel && !isNormed)
    throw new PeftError("adapter-config", {
      what: words`${option("residualBeforeLn", "post_add")} cannot be at ${path}.`,
      why: "the model has no norm behind the sum there, before which the residual would be taken.",
      fix: words`${option("residualBeforeLn", true)}.`,
    });
  const gate = c.initWeights === "houlsby" ? kaiming(hidden) : BERT;
  return [
    ...(c.lnBefore ? normAt(`${AT}adapter_norm_before`, hidden, `${AT}adapter_down.0`) : []),
    ...bottleneckLayers(c, site),
    ...(c.lnAfter ? normAt(`${AT}adapter_norm_after`, hidden) : []),
    ...(c.useGating ? linearAt(`${AT}gate`, [1, hidden], gate) : []),
    ...(typeof c.scaling === "number"
      ? []
      : [{ key: `${AT}scaling`, shape: [c.scaling === "channel" ? hidden : 1], initial: ONE }]),
  ];
}

function shared(c: BottleneckConfig, sites: readonly SublayerSite[]): ParameterSpec[] {
  const [first] = sites;
  if (!c.phmLayer || first === undefined) return [];
  const widths = new Set(sites.map((site) => widthAt(c, site)));
  if (c.sharedPhmW && widths.size > 1)
    throw new PeftError("adapter-config", {
      what: words`${option("sharedPhmW")} is on and ${option("reductionFactor")} differs by layer.`,
      why: "layers that share weights have one width.",
      fix: words`${option("reductionFactor", 16)}, or ${option("sharedPhmW", false)}.`,
    });
  return phmShared(c, first.hidden, widthAt(c, first));
}

function activated(g: Graph, name: string, x: Tensor): Tensor {
  const known = activationNames.find((other) => other === name);
  if (known !== undefined) return activate(g, known, x);
  return g.sub(g.relu(x), g.mul(g.relu(g.neg(x)), 0.01)); // leakyrelu
}

function norm({ g, p }: Place, key: string, x: Tensor): Tensor {
  return g.layerNorm(x, p(`${AT}${key}.weight`), p(`${AT}${key}.bias`), EPS);
}

function linear({ g, p }: Pick<Place, "g" | "p">, key: string, x: Tensor): Tensor {
  return g.add(g.linear(x, p(`${key}.weight`)), p(`${key}.bias`));
}

type At = SublayerPlace & { readonly site: SublayerSite };

/** scaling up(act(down(x))), gated: [batch, seq, hidden] */
function bottleneckOf(a: At, x: Tensor, c: BottleneckConfig): Tensor {
  const { g, p, site } = a;
  const layer = (end: PhmSite["end"], key: string, x: Tensor): Tensor =>
    c.phmLayer ? phm(a, x, phmSite(c, site, end), c) : linear(a, `${AT}${key}`, x);
  const read = c.lnBefore ? norm(a, "adapter_norm_before", x) : x;
  const raw = layer("up", "adapter_up", activated(g, c.nonLinearity, layer("down", downKey(c), read)));
  const up = c.isParallel ? raw : dropRows(a, raw, c.stochasticDepth);
  const factor = typeof c.scaling === "number" ? c.scaling : p(`${AT}scaling`);
  const out = a.dropout(g.mul(up, factor), c.dropout);
  if (!c.useGating) return out;
  return g.mul(out, g.mean(g.sigmoid(linear(a, `${AT}gate`, x)), 1, true)); // [batch, 1, 1]
}

/** Zeroes whole rows of a batch in training mode. */
function dropRows({ g, dropout }: At, x: Tensor, p: number): Tensor {
  return p === 0 ? x : g.mul(x, dropout(g.expand(g.scalar(1), [dimAt(x.shape, 0), 1, 1]), p));
}

/**
 * Of the sublayer's result h: norm(sum(h + A(x))), where x is h (Houlsby), norm(sum(h)) (Pfeiffer) or what
 * the sublayer read (parallel). Several adapters stand one behind another: each changes h, and the model's
 * sum and norm follow the last.
 */
function forward(a: At, h: Tensor, c: BottleneckConfig): Tensor {
  const { g } = a;
  const sum = a.sum(h);
  const met = a.norm === undefined ? sum : a.norm(sum);
  const x = c.isParallel ? a.residual : c.originalLnBefore ? met : h;
  const u = bottleneckOf(a, x, c);
  const after = (y: Tensor): Tensor => (c.lnAfter ? norm(a, "adapter_norm_after", y) : y);
  const onOff = (y: Tensor): Tensor => g.mul(y, perRow(g, a.gate, y));
  const residual =
    c.isParallel || c.residualBeforeLn === true ? h : c.residualBeforeLn === "post_add" ? sum : x;
  const isInside = c.adapterResidualBeforeLn && !c.isParallel;
  if (c.originalLnAfter && residual === h && !isInside) return a.next(g.add(h, onOff(after(u))));
  const y = isInside ? after(g.add(u, residual)) : g.add(after(u), residual);
  if (c.originalLnAfter) return a.next(g.add(h, onOff(g.sub(y, h))));
  const off = a.next(h);
  return g.add(off, onOff(g.sub(y, off)));
}

const FORM = [
  ...[
    "originalLnBefore",
    "originalLnAfter",
    "lnBefore",
    "lnAfter",
    "residualBeforeLn",
    "adapterResidualBeforeLn",
  ],
  ...[
    "isParallel",
    "nonLinearity",
    "scaling",
    "useGating",
    "dropout",
    "stochasticDepth",
    "phmLayer",
    "phmDim",
  ],
  ...["phmBias", "sharedPhmRule", "factorizedPhmRule", "factorizedPhmW", "sharedPhmW"],
] as readonly (keyof BottleneckConfig)[];

const sublayers: SublayerMethod<BottleneckConfig> = {
  select: (c, { does, layer }) => {
    const on = { attention: c.mhAdapter, crossAttention: c.crossAdapter, feedForward: c.outputAdapter };
    return on[does] && !c.leaveOut.includes(layer);
  },
  parameters,
  shared,
  forward,
  structure: (c) => FORM.map((key) => c[key]).join(" "),
};

/** NICE: y1 = x1 + F(x2), y2 = x2 + G(y1), of the halves of an embedding. arXiv 1410.8516 */
const invertible: OutputMethod<BottleneckConfig> = {
  select: (c, { isEmbedded }) => c.invAdapter !== null && c.invAdapter !== undefined && isEmbedded === true,
  parameters: (c, { dim }) => {
    const [first, second] = [Math.floor(dim / 2), dim - Math.floor(dim / 2)];
    const subnet = (name: string, from: number, to: number): ParameterSpec[] => {
      const width = Math.max(1, Math.floor(from / (c.invAdapterReductionFactor ?? 2)));
      return [...linearAt(`${name}.0`, [width, from], BERT), ...linearAt(`${name}.2`, [to, width], BERT)];
    };
    return [...subnet("F", second, first), ...subnet("G", first, second)];
  },
  structure: (c) => `nice ${c.nonLinearity}`,
  forward: (a, x, c) => {
    const { g } = a;
    const { dim } = a.site;
    const half = Math.floor(dim / 2);
    const [x1, x2] = [g.slice(x, -1, 0, half), g.slice(x, -1, half, dim)];
    const subnet = (name: string, x: Tensor): Tensor =>
      linear(a, `${name}.2`, activated(g, c.nonLinearity, linear(a, `${name}.0`, x)));
    const onOff = (y: Tensor): Tensor => g.mul(y, perRow(g, a.gate, y));
    const y1 = g.add(x1, onOff(subnet("F", x2)));
    const y2 = g.add(x2, onOff(subnet("G", y1)));
    return a.next(g.concat([y1, y2], -1));
  },
};

/** Small networks behind sublayers. Reference: adapters/methods/bottleneck.py, modeling.py */
export const bottleneck: Method<BottleneckConfig> = {
  name: "bottleneck",
  config: BottleneckConfig,
  learningRate: { value: 1e-4, from: "the guide of the library adapters" },
  files: "adapters",
  wholeRows: (c) => c.useGating || c.stochasticDepth > 0,
  sublayers,
  outputs: invertible,
};
