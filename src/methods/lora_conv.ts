import { PeftError } from "../errors.js";
import type { ConvSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { asLinear, asMatrix, kernelShape } from "./conv_layers.js";
import { perRow } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import type { LoraConfig } from "./lora_config.js";
import { rankOf, scaleOf } from "./lora_rank.js";
import { magnitude } from "./lora_start.js";
import type { Adapted, Initial, Merging, ParameterSpec, Prepared, SiteMethod } from "./method.js";

/** Starts and variants that are about the matrices of linear layers. Throws "adapter-config". */
function refuseVariants(c: LoraConfig, { path, groups }: ConvSite, r: number): void {
  const { useBdlora, kasaConfig, montecloraConfig, veloraConfig, aloraInvocationTokens } = c;
  const given = { useBdlora, kasaConfig, montecloraConfig, veloraConfig, aloraInvocationTokens };
  const variant = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
  const init = c.initLoraWeights;
  const ofMatrix = typeof init === "string" && init !== "gaussian";
  const isWhole = r % groups === 0;
  if (variant === undefined && !ofMatrix && isWhole && !(init === false && c.useDora)) return;
  const name = variant ?? (isWhole ? "initLoraWeights" : "r");
  throw new PeftError("adapter-config", {
    what: words`${option(name, isWhole ? undefined : r)} does not go with the convolution ${path}.`,
    why: isWhole
      ? "it is about the matrices of linear layers."
      : `its channels are in ${groups} groups, which divide the rank, as in Python's PEFT.`,
    fix: isWhole
      ? words`leave it out, or take ${path} out of ${option("targetModules")}.`
      : words`${option("r", groups)}, or take ${path} out of ${option("targetModules")}.`,
  });
}

/** A [r, in, ...kernel], B [out, r / groups, 1, ...] */
function parameters(c: LoraConfig, site: ConvSite): ParameterSpec[] {
  const r = rankOf(c, site);
  refuseVariants(c, site, r);
  const { inChannels, outChannels, groups, kernel } = site;
  const ones = kernel.map(() => 1);
  const fan = inChannels * kernel.reduce((a, b) => a * b, 1);
  const init = c.initLoraWeights;
  const a: Initial = init === "gaussian" ? { kind: "normal", std: 1 / r } : kaiming(fan);
  const b: Initial = init === false ? kaiming(r / groups) : ZERO;
  const free = (axis: number): Pick<ParameterSpec, "free"> => (groups === 1 ? { free: [axis] } : {});
  return [
    { key: "lora_A.weight", shape: [r, inChannels, ...kernel], initial: a, ...free(0) },
    { key: "lora_B.weight", shape: [outChannels, r / groups, ...ones], initial: b, ...free(1) },
    ...(c.loraBias ? [{ key: "lora_B.bias", shape: [outChannels], initial: b }] : []),
    ...(c.useDora
      ? [{ key: "lora_magnitude_vector", shape: [1, outChannels, ...ones], initial: PREPARED }]
      : []),
  ];
}

const PREPARED: Initial = { kind: "prepared" };

/** B A as a change of the kernel. */
function product({ g, p, site }: Pick<Adapted<ConvSite>, "g" | "p" | "site">): Tensor {
  const [A, B] = [p("lora_A.weight"), p("lora_B.weight")];
  const r = A.shape[0] ?? 1;
  const rows = g.reshape(A, [r, asLinear({ ...site, groups: 1 }).inDim]);
  return g.reshape(g.matmul(g.reshape(B, [site.outChannels, r]), rows), kernelShape(site));
}

/** ||V|| of each output: [out, 1, ...] */
function lengths({ g, site }: Pick<Adapted<ConvSite>, "g" | "site">, kernel: Tensor): Tensor {
  const rows = g.sqrt(g.sum(g.square(asMatrix(g, site, kernel)), 1));
  return g.reshape(rows, [site.outChannels, ...site.kernel.map(() => 1)]);
}

/** y + s B(A(dropout(x))): A moves as the base's kernel does, B sees one place. */
function forward(a: Adapted<ConvSite>, x: Tensor, c: LoraConfig): Tensor {
  const { g, p, site } = a;
  const { stride, padding, groups, kernel } = site;
  const each = (value: number): number[] => kernel.map(() => value);
  const [one, none] = [each(1), each(0)];
  const dropped = a.dropout(x, c.loraDropout);
  const scale = perRow(g, a.scale, x);
  const inner = g.conv(dropped, p("lora_A.weight"), { stride, padding, dilation: one, groups: 1 });
  const low = g.conv(g.mul(inner, scale), p("lora_B.weight"), {
    ...{ stride: one, padding: none, dilation: one, groups },
  });
  const y = a.next(x);
  const alike = [site.outChannels, ...one];
  if (c.useDora) {
    const kernel = g.add(a.weight(), g.mul(product(a), a.scale));
    const ratio = g.div(g.reshape(p("lora_magnitude_vector"), alike), g.detach(lengths(a, kernel)));
    const bias = a.bias();
    const plain = bias === undefined ? y : g.sub(y, g.reshape(bias, alike));
    const wx = dropped === x ? plain : g.conv(dropped, a.weight(), site);
    const change = g.add(g.mul(g.sub(ratio, 1), wx), g.mul(ratio, low));
    return g.add(y, g.mul(perRow(g, a.gate, y), change));
  }
  if (!c.loraBias) return g.add(y, low);
  return g.add(g.add(y, low), g.mul(g.reshape(p("lora_B.bias"), alike), scale));
}

function merge(m: Merging<ConvSite>, c: LoraConfig): { weight: Tensor; bias?: Tensor } {
  const { g, site, p } = m;
  const weight = g.add(m.weight, g.mul(product(m), m.scale));
  if (c.useDora) {
    const alike = [site.outChannels, ...site.kernel.map(() => 1)];
    const ratio = g.div(g.reshape(p("lora_magnitude_vector"), alike), lengths(m, weight));
    return { weight: g.mul(g.unsqueeze(ratio, 1), weight) };
  }
  if (!c.loraBias || m.bias === undefined) return { weight };
  return { weight, bias: g.add(m.bias, g.mul(p("lora_B.bias"), m.scale)) };
}

function prepare(
  c: LoraConfig,
  site: ConvSite,
  weight: Float32Array,
  random: () => number,
): Prepared | undefined {
  if (!c.useDora) return undefined;
  const { inDim, outDim, transposed } = asLinear(site);
  const start = { weight, inDim, outDim, transposed, r: rankOf(c, site), scale: scaleOf(c, site), random };
  return { parameters: { lora_magnitude_vector: magnitude(start) } };
}

/**
 * LoRA on a convolution. The base's groups are B's; Python's PEFT does not merge such a one, and gives A no
 * dilation. Reference: peft/tuners/lora/layer.py, _ConvNd
 */
export const conv: SiteMethod<LoraConfig, ConvSite> = {
  parameters,
  forward,
  scale: scaleOf,
  merge,
  merges: (c, site) =>
    site.groups === 1 && site.dilation.every((d) => d === 1) && !(c.loraBias && site.bias === undefined),
  prepare,
  structure: (c) => `dropout ${c.loraDropout}${c.useDora ? " dora" : ""}${c.loraBias ? " bias" : ""}`,
};
