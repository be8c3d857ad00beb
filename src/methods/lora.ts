import { PeftError } from "../errors.js";
import type { InputSet } from "../graph/inputs.js";
import type { EmbeddingSite, LinearSite } from "../graph/module.js";
import type { Tensor } from "../graph/ops.js";
import { option, words } from "../words.js";
import { invokedTokens } from "./alora.js";
import { doraOutput, mergeDora } from "./dora.js";
import { perRow } from "./gate.js";
import { kaiming, ZERO } from "./initial.js";
import { blocksOf, wholeOf } from "./lora_blocks.js";
import { LoraConfig } from "./lora_config.js";
import { conv } from "./lora_conv.js";
import { expertTargets, refuseBeside, stack } from "./lora_experts.js";
import { loraApproximation } from "./lora_factors.js";
import { loraMixing } from "./lora_mix.js";
import { noiseParameters, noisy } from "./lora_noise.js";
import { rankOf, scaleOf } from "./lora_rank.js";
import type { Pair, Start } from "./lora_start.js";
import {
  magnitude,
  mica,
  olora,
  orthogonal,
  pissa,
  residual,
  untouched,
  withoutSmallest,
} from "./lora_start.js";
import { compressed, veloraParameters } from "./lora_velora.js";
import type {
  Adapted,
  Initial,
  Merging,
  Method,
  ParameterSpec,
  Prepared,
  SiteMethod,
  StoredFields,
} from "./method.js";
import { byPattern } from "./pattern.js";

export type { LoraOptions } from "./lora_config.js";
export { LoraConfig } from "./lora_config.js";

const fromBase: Initial = { kind: "prepared" };

/** Starts that need the base's weight, or each other. */
function isPrepared(c: LoraConfig): boolean {
  const init = c.initLoraWeights;
  return init === false ? c.useDora : init !== true && init !== "gaussian" && init !== "eva";
}

function magnitudeSpec(c: LoraConfig, outDim: number): ParameterSpec[] {
  return c.useDora ? [{ key: "lora_magnitude_vector", shape: [outDim], initial: fromBase }] : [];
}

function linearParameters(c: LoraConfig, site: LinearSite): ParameterSpec[] {
  const { inDim, outDim } = site;
  if (site.parameter !== undefined) refuseBeside(c, site.parameter);
  const r = rankOf(c, site);
  const init = c.initLoraWeights;
  const start = (otherwise: Initial): Initial => (isPrepared(c) ? fromBase : otherwise);
  const a: Initial = init === "gaussian" ? { kind: "normal", std: 1 / r } : kaiming(inDim);
  const b: Initial = init === false ? kaiming(r) : ZERO;
  const bias: ParameterSpec = { key: "lora_B.bias", shape: [outDim], initial: b };
  const frozen = init === "mica" ? ({ frozen: "saved counted" } as const) : {};
  const blocks = blocksOf(c.useBdlora, site, r);
  const width = {
    a: inDim,
    b: r,
    ...(blocks && { [blocks.factor]: { a: inDim, b: r }[blocks.factor] / blocks.count }),
  };
  const isVariant = blocks !== undefined || c.montecloraConfig !== undefined || c.kasaConfig !== undefined;
  const free = (axis: number): Pick<ParameterSpec, "free"> => (isVariant ? {} : { free: [axis] });
  const inBlocks: Initial = { kind: "uniform", bound: Math.sqrt(6 / width.a) };
  return [
    {
      ...{ key: "lora_A.weight", shape: [r, width.a], ...free(0) },
      initial: start(blocks?.factor === "a" ? inBlocks : a),
    },
    { key: "lora_B.weight", shape: [outDim, width.b], initial: start(b), ...free(1), ...frozen },
    ...(c.loraBias ? [bias] : []),
    ...(c.kasaConfig === undefined ? [] : [diagonal(r)]),
    ...noiseParameters(c.montecloraConfig, r),
    ...veloraParameters(c.veloraConfig, site),
    ...magnitudeSpec(c, outDim),
  ];
}

/** KaSA's factors of the ranks. */
function diagonal(r: number): ParameterSpec {
  return { key: "lora_diag", shape: [r], initial: { kind: "normal", std: 1 } };
}

/** A [r, in] and B [out, r], as they are multiplied: of their blocks, and KaSA's with its factors in A. */
function factorsOf(
  { g, p, site }: Pick<Adapted<LinearSite>, "g" | "p" | "site">,
  c: LoraConfig,
): { A: Tensor; B: Tensor } {
  const [A, B] = [p("lora_A.weight"), p("lora_B.weight")];
  const r = rankOf(c, site);
  const blocks = blocksOf(c.useBdlora, site, r);
  if (blocks?.factor === "a") return { A: wholeOf(g, A, [r, site.inDim / blocks.count], blocks.count), B };
  if (blocks?.factor === "b") return { A, B: wholeOf(g, B, [site.outDim, r / blocks.count], blocks.count) };
  return c.kasaConfig === undefined ? { A, B } : { A: g.mul(A, g.unsqueeze(p("lora_diag"), -1)), B };
}

/** y + s B(A(dropout(x))) */
function linearForward(a: Adapted<LinearSite>, x: Tensor, c: LoraConfig): Tensor {
  const { g, site } = a;
  const { A, B } = factorsOf(a, c);
  const dropped = a.dropout(x, c.loraDropout);
  const scale = scaleAt(a, x, c);
  const noise = noisy(a, A, c.montecloraConfig, [rankOf(c, site), site.inDim]);
  const first = compressed(a, dropped, noise, c.veloraConfig);
  const low = g.linear(g.mul(first, scale), B); // [..., r] -> [..., out]
  const y = a.next(x);
  if (c.useDora) {
    const factors = { weight: a.weight(), a: A, b: B, transposed: site.transposed };
    const bias = a.bias();
    // Where elements are dropped, the base's product sees the dropped input too.
    const wx =
      dropped !== x
        ? g.linear(dropped, factors.weight, site.transposed)
        : bias === undefined
          ? y
          : g.sub(y, bias);
    return doraOutput(a, factors, { y, wx, low });
  }
  return c.loraBias ? g.add(g.add(y, low), g.mul(a.p("lora_B.bias"), scale)) : g.add(y, low);
}

/** s, and of an activated LoRA zero at tokens before its invocation. */
function scaleAt({ g, scale, input }: Adapted<LinearSite>, x: Tensor, c: LoraConfig): Tensor {
  const plain = perRow(g, scale, x);
  if (c.aloraInvocationTokens === undefined) return plain;
  const invoked = input("invoked");
  // a row as a whole, as in a pooler, counts where the adapter was invoked at all
  return g.mul(x.shape.length === 2 ? g.amax(invoked, -1, true) : g.unsqueeze(invoked, -1), plain);
}

function linearMerge(m: Merging<LinearSite>, c: LoraConfig): { weight: Tensor; bias?: Tensor } {
  const { g, site } = m;
  const { A, B: unscaled } = factorsOf(m, c);
  const B = g.mul(unscaled, m.scale);
  const delta = site.transposed ? g.matmul(A, B, { transA: true, transB: true }) : g.matmul(B, A);
  const weight = g.add(m.weight, delta);
  if (c.useDora) return { weight: mergeDora(m, weight, site.transposed) };
  if (!c.loraBias) return { weight };
  if (m.bias === undefined) {
    throw new PeftError("adapter-config", {
      what: words`${site.path} cannot be merged with ${option("loraBias", true)}.`,
      why: "the layer has no bias that could take the adapter's.",
      fix: words`keep the adapter apart, or train without ${option("loraBias")}.`,
    });
  }
  return { weight, bias: g.add(m.bias, g.mul(m.p("lora_B.bias"), m.scale)) };
}

function decomposed(c: LoraConfig, start: Start): Pair | undefined {
  const init = c.initLoraWeights;
  if (init === "orthogonal") return orthogonal(start);
  if (init === "mica") return mica(start);
  if (typeof init !== "string" || init === "gaussian") return undefined;
  return init === "olora" ? olora(start) : pissa(start);
}

function linearPrepare(
  c: LoraConfig,
  site: LinearSite,
  weight: Float32Array,
  random: () => number,
): Prepared | undefined {
  const { inDim, outDim, transposed, path } = site;
  const start: Start = {
    weight,
    inDim,
    outDim,
    transposed,
    r: rankOf(c, site),
    scale: scaleOf(c, site),
    random,
  };
  if (c.kasaConfig !== undefined) return { parameters: {}, weight: withoutSmallest(start) };
  if (!isPrepared(c)) {
    return c.useDora ? { parameters: { lora_magnitude_vector: magnitude(start) } } : undefined;
  }
  const reduces = c.initLoraWeights !== "orthogonal" && c.initLoraWeights !== false;
  const keepsBase = c.initLoraWeights === "mica";
  if (reduces && start.r > Math.min(inDim, outDim)) {
    throw new PeftError("adapter-config", {
      what: words`${option("r")} is ${start.r} at ${path} with ${option("initLoraWeights", c.initLoraWeights)}.`,
      why: `the layer's weight [${outDim}, ${inDim}] has no more than ${Math.min(inDim, outDim)} directions.`,
      fix: words`${option("r", Math.min(inDim, outDim))}, or ${option("initLoraWeights", true)}.`,
    });
  }
  const pair = decomposed(c, start) ?? untouched(start, "linear");
  return {
    parameters: {
      "lora_A.weight": pair.a,
      "lora_B.weight": pair.b,
      ...(c.useDora ? { lora_magnitude_vector: magnitude(start, reduces ? undefined : pair) } : {}),
    },
    ...(reduces && !keepsBase ? { weight: residual(start, pair) } : {}),
  };
}

function variantOf(c: LoraConfig): string {
  const { useBdlora, kasaConfig, montecloraConfig, veloraConfig, aloraInvocationTokens } = c;
  const given = { useBdlora, kasaConfig, montecloraConfig, veloraConfig, aloraInvocationTokens };
  return JSON.stringify(given).slice(1, -1);
}

const linear: SiteMethod<LoraConfig, LinearSite> = {
  parameters: linearParameters,
  forward: linearForward,
  scale: scaleOf,
  merge: linearMerge,
  merges: (c) => c.aloraInvocationTokens === undefined,
  prepare: linearPrepare,
  structure: (c) =>
    `dropout ${c.loraDropout}${c.useDora ? " dora" : ""}${c.loraBias ? " bias" : ""}${variantOf(c)}`,
};

function embeddingParameters(c: LoraConfig, { path, vocab, dim }: EmbeddingSite): ParameterSpec[] {
  if (c.loraBias) {
    throw new PeftError("adapter-config", {
      what: words`${option("loraBias")} is true and ${path} is a target.`,
      why: "an embedding has no bias, and Python's PEFT allows none here.",
      fix: words`take ${path} out of ${option("targetModules")}, or leave ${option("loraBias")} out.`,
    });
  }
  const r = byPattern(c, "rankPattern", path) ?? c.r;
  const normal: Initial = { kind: "normal", std: 1 };
  const drawn = c.initLoraWeights === false;
  const start = (otherwise: Initial): Initial => (drawn && c.useDora ? fromBase : otherwise);
  return [
    { key: "lora_embedding_A", shape: [r, vocab], initial: start(drawn ? normal : ZERO), free: [0] },
    { key: "lora_embedding_B", shape: [dim, r], initial: start(normal), free: [1] },
    ...magnitudeSpec(c, dim),
  ];
}

/** y + s A^T[ids] B^T */
function embeddingForward(a: Adapted<EmbeddingSite>, ids: Tensor, c: LoraConfig): Tensor {
  const { g } = a;
  const [A, B] = [a.p("lora_embedding_A"), a.p("lora_embedding_B")];
  const y = a.next(ids);
  const rows = g.gather(A, ids, 1); // [r, vocab] -> [r, batch, seq]
  const last = g.transpose(rows, [...ids.shape.map((_, i) => i + 1), 0]); // [batch, seq, r]
  const low = g.linear(g.mul(last, perRow(g, a.scale, last)), B); // [batch, seq, dim]
  if (!c.useDora) return g.add(y, low);
  // A table [vocab, dim] is a transposed weight of a layer from vocab to dim.
  return doraOutput(a, { weight: a.weight(), a: A, b: B, transposed: true }, { y, wx: y, low });
}

function embeddingMerge(m: Merging<EmbeddingSite>, c: LoraConfig): { weight: Tensor } {
  const { g } = m;
  const [A, B] = [m.p("lora_embedding_A"), g.mul(m.p("lora_embedding_B"), m.scale)];
  const weight = g.add(m.weight, g.matmul(A, B, { transA: true, transB: true })); // [vocab, dim]
  return { weight: c.useDora ? mergeDora(m, weight, true) : weight };
}

function embeddingPrepare(
  c: LoraConfig,
  site: EmbeddingSite,
  weight: Float32Array,
  random: () => number,
): Prepared | undefined {
  if (!c.useDora) return undefined;
  const [inDim, outDim] = [site.vocab, site.dim];
  const start: Start = {
    ...{ weight, inDim, outDim, random },
    transposed: true,
    r: rankOf(c, site),
    scale: scaleOf(c, site),
  };
  const pair = c.initLoraWeights === false ? untouched(start, "embedding") : undefined;
  return {
    parameters: {
      ...(pair === undefined ? {} : { lora_embedding_A: pair.a, lora_embedding_B: pair.b }),
      lora_magnitude_vector: magnitude(start, pair),
    },
  };
}

const embedding: SiteMethod<LoraConfig, EmbeddingSite> = {
  parameters: embeddingParameters,
  forward: embeddingForward,
  scale: scaleOf,
  merge: embeddingMerge,
  prepare: embeddingPrepare,
  structure: (c) => (c.useDora ? "dora" : ""),
};

function trainedTokens(c: LoraConfig): ReadonlyMap<string | undefined, readonly number[]> | undefined {
  const indices = c.trainableTokenIndices;
  if (indices === undefined) return undefined;
  if (Array.isArray(indices)) return new Map([[undefined, indices]]);
  return new Map(Object.entries(indices as Readonly<Record<string, readonly number[]>>));
}

/** Starts that need data, or a base that is not at hand: a trained adapter's tensors are there already. */
const TRAINED_STARTS = ["lora_ga", "corda", "loftq"];
/** Of these, those that change the base's weights where the adapter is made. */
const CHANGED_BASES: Readonly<Record<string, string>> = {
  lora_ga: "without the adapter's first product",
  corda: "without the adapter's first product",
  loftq: "rounded to loftq_bits bits",
};

function fromStored(fields: Readonly<Record<string, unknown>>): StoredFields {
  const start = String(fields["init_lora_weights"]).toLowerCase();
  // made already; Python fills the config of the start in where a file has none
  if (start === "eva") return { fields: { ...fields, eva_config: fields["eva_config"] ?? {} }, notes: [] };
  if (!TRAINED_STARTS.includes(start)) return { fields, notes: [] };
  const changed = CHANGED_BASES[start];
  const notes =
    changed === undefined
      ? []
      : [
          `init_lora_weights is "${start}": the adapter was trained on a base ${changed}. The base is taken as it is.`,
        ];
  return { fields: { ...fields, init_lora_weights: true }, notes };
}

/**
 * Low-rank adaptation: y = W x + b + s B A x, A [r, in], B [out, r], s = alpha / r. arXiv 2106.09685;
 * DoRA 2402.09353.
 * Reference: peft/tuners/lora/layer.py
 */
export const lora: Method<LoraConfig> = {
  name: "lora",
  config: LoraConfig,
  fromFile: fromStored,
  tasks: (c) => (c.aloraInvocationTokens === undefined ? undefined : ["CAUSAL_LM"]),
  inputs: (c): InputSet =>
    c.aloraInvocationTokens === undefined ? {} : { invoked: invokedTokens(c.aloraInvocationTokens) },
  wholeRows: (c) => c.aloraInvocationTokens !== undefined,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear,
    embedding,
    conv,
    parameters: (c) => c.targetParameters ?? [],
    stack,
    resolve: expertTargets,
    bias: (c) => c.bias,
    mixing: loraMixing,
    approximation: loraApproximation,
    swaps: {
      ranks: ["r", "loraAlpha", "rankPattern", "alphaPattern", "useRslora"],
      same: [
        "useDora",
        "loraBias",
        "useBdlora",
        "kasaConfig",
        "montecloraConfig",
        "veloraConfig",
        "aloraInvocationTokens",
      ],
    },
    tokens: trainedTokens,
  },
};
