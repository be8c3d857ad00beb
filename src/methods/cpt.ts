import type { Graph } from "../graph/graph.js";
import type { Column, ReadColumn } from "../graph/inputs.js";
import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import { configClass, withFields } from "./config.js";
import type { CPTOptions, CPTValues } from "./config_types.js";
import { ZERO } from "./initial.js";
import type {
  ConfigClass,
  Method,
  MethodTable,
  NamedTensor,
  ParameterSpec,
  PromptLabels,
  SayFault,
} from "./method.js";
import { known, promptShape, promptSizes, resolveSizes } from "./prompt.js";
import { common, saving } from "./shared_options.js";

const { numVirtualTokens, numTransformerSubmodules, ...sizes } = promptSizes;
const whole = { min: 1, fileOnly: true, kind: "whole" } as const;
const options: MethodTable = {
  ...saving,
  ...sizes,
  taskType: { ...common["taskType"], kind: "text", byDefault: "CAUSAL_LM", means: "what the model is for" },
  numVirtualTokens: { ...numVirtualTokens, ...whole, byDefault: 1, inFile: 1, means: "as many as ids" },
  numTransformerSubmodules: {
    ...numTransformerSubmodules,
    ...whole,
    max: 1,
    byDefault: 1,
    means: "one stack reads the prompt",
  },
  cptTokenIds: { kind: "ids", byDefault: [0], means: "token ids of the prompt: examples in their template" },
  cptMask: {
    kind: "ids",
    byDefault: [1],
    means: "1 for each of them; Python records it, and reads it nowhere",
  },
  cptTokensTypeMask: {
    kind: "ids",
    byDefault: [1],
    means:
      "what each of them is, modulo 4: 1 and 3 template, 2 input, 0 (from 4 on) label; counting on from example to example",
  },
  optWeightedLossType: {
    kind: "text",
    choices: ["none", "decay"],
    byDefault: "none",
    means: "whether labels further from the end weigh less",
  },
  optLossDecayFactor: {
    kind: "number",
    min: 0,
    byDefault: 1,
    float: true,
    means: "weight of each label group beside the one behind it, with decay",
  },
  optProjectionEpsilon: {
    kind: "number",
    min: 0,
    byDefault: 0.1,
    float: true,
    means: "most that an input token's row may move, times sqrt(width / 2048)",
  },
  optProjectionFormatEpsilon: {
    kind: "number",
    min: 0,
    byDefault: 0.1,
    float: true,
    means: "the same for tokens of the template",
  },
  tokenizerNameOrPath: {
    kind: "text",
    otherwise: "none",
    fileOnly: true,
    means: "the tokenizer of the ids, recorded",
  },
};

export type { CPTOptions };
export type CPTConfig = CPTValues;
/**
 * Config of context-aware prompt tuning (arXiv 2410.17222). Reference: peft/tuners/cpt/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { CPTConfig, getPeftModel } from "peft.js";
 *
 * const example = { cptTokenIds: [5, 17, 33, 8], cptTokensTypeMask: [1, 2, 3, 4] };
 * const adapted = getPeftModel(base, new CPTConfig(example));
 * ```
 */
export const CPTConfig: ConfigClass<CPTValues, CPTOptions> = configClass("CPT", "CPTConfig", {
  options,
  implied: ({ cptTokenIds }) => {
    if (!Array.isArray(cptTokenIds)) return {};
    const ones = cptTokenIds.map(() => 1);
    return { numVirtualTokens: ones.length, cptMask: ones, cptTokensTypeMask: ones };
  },
  check,
});

function check(c: CPTConfig, fault: SayFault): void {
  const count = c.cptTokenIds.length;
  for (const key of ["cptMask", "cptTokensTypeMask"] as const) {
    if (c[key].length === count) continue;
    fault(
      words`${option(key)} has ${c[key].length} numbers for ${count} of ${option("cptTokenIds")}.`,
      "it says something of each of them.",
      words`${option(
        key,
        c.cptTokenIds.map(() => 1),
      )}, or leave it out.`,
    );
  }
  if (c.numVirtualTokens !== count || count === 0)
    fault(
      words`${option("numVirtualTokens")} is ${c.numVirtualTokens} for ${count} of ${option("cptTokenIds")}.`,
      "each id is a virtual token.",
      words`leave ${option("numVirtualTokens")} out, and give the prompt's ids.`,
    );
}

const [FIXED, DELTA] = ["embedding.weight", "delta_embedding.weight"];

function parameters(c: CPTConfig): ParameterSpec[] {
  const shape = promptShape(c);
  return [
    { key: FIXED, shape, initial: ZERO, frozen: "counted" },
    { key: DELTA, shape, initial: ZERO },
  ];
}

/** How far each row may move: rows of labels, and those of no type, hardly. */
function limits(c: CPTConfig): number[] {
  const share = Math.sqrt(known(c, "tokenDim") / 2048);
  const [input, format] = [c.optProjectionEpsilon, c.optProjectionFormatEpsilon];
  return c.cptTokensTypeMask.map((type) =>
    Math.fround(at([1e-10, format * share, input * share, format * share], type % 4)),
  );
}

/** E + D, each row of D cut to its length; rows of labels have no gradient. */
function encode(g: Graph, p: (key: string) => Tensor, c: CPTConfig): Tensor {
  const delta = p(DELTA);
  const limit = g.constant(limits(c), [c.numVirtualTokens, 1]);
  const norm = g.sqrt(g.sum(g.square(delta), -1, true));
  const cut = g.mul(delta, g.detach(g.div(limit, g.max(norm, limit))));
  const trains = g.constant(
    c.cptTokensTypeMask.map((type) => (type % 4 === 0 ? 0 : 1)),
    [c.numVirtualTokens, 1],
  );
  const moved = g.add(g.mul(cut, trains), g.detach(g.mul(cut, g.sub(1, trains))));
  return g.add(p(FIXED), moved);
}

/** Cuts rows of D as `encode` does: Python cuts what it stores. */
function constrain(c: CPTConfig, tensors: readonly NamedTensor[]): void {
  const data = tensors.find(({ key }) => key.endsWith(DELTA))?.data ?? new Float32Array(0);
  const width = known(c, "tokenDim");
  for (const [i, limit] of limits(c).entries()) {
    const row = data.subarray(i * width, (i + 1) * width);
    const norm = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0));
    if (norm > limit) for (let j = 0; j < width; j++) row[j] = at(row, j) * (limit / norm);
  }
}

const isLabel = (type: number): boolean => type > 0 && type % 4 === 0;

/**
 * The prompt's labels are its own ids, where its types say so; the input's types go on counting after them.
 * Reference: peft/peft_model.py _cpt_forward, peft/tuners/cpt/model.py calculate_loss
 */
function labelsOf(c: CPTConfig, column: ReadColumn): PromptLabels | undefined {
  const own = column("labels");
  if (own === undefined) return undefined;
  const [rows = 0, length = 0] = own.shape;
  const inputTypes: Column | undefined = column("inputTypeMask") ?? column("input_type_mask");
  const last = Math.max(...c.cptTokensTypeMask);
  const total = c.numVirtualTokens + length;
  const labels = new Int32Array(rows * total).fill(-100);
  const weights = new Float32Array(rows * total).fill(1);
  for (let i = 0; i < rows; i++) {
    const given = Array.from({ length }, (_, j) => inputTypes?.data[i * length + j] ?? 4);
    const types = [...c.cptTokensTypeMask, ...given.map((type) => (type > 0 ? type + last : type))];
    const ids = [...c.cptTokenIds, ...own.data.subarray(i * length, (i + 1) * length)];
    const weightOf = weightsOf(types, c);
    for (const [j, type] of types.entries()) {
      if (!isLabel(type)) continue;
      labels[i * total + j] = at(ids, j);
      weights[i * total + j] = weightOf.get(type) ?? 1;
    }
  }
  const shape = [rows, total];
  return { labels: { data: labels, shape }, weights: { data: weights, shape } };
}

/** The last group of labels weighs 1, each before it less. What comes first has nothing that predicts it. */
function weightsOf(types: readonly number[], c: CPTConfig): ReadonlyMap<number, number> {
  if (c.optWeightedLossType === "none") return new Map();
  const groups = [...new Set(types.slice(1).filter(isLabel))].sort((a, b) => b - a);
  return new Map(groups.map((type, i) => [type, c.optLossDecayFactor ** i]));
}

/**
 * A prompt of examples that moves a little, each token by its part in them; its labels are learnt with the
 * batch's own. arXiv 2410.17222. Reference: peft/tuners/cpt/model.py
 */
export const cpt: Method<CPTConfig> = {
  name: "cpt",
  config: CPTConfig,
  tasks: () => ["CAUSAL_LM"],
  prompt: {
    place: "input",
    tokens: (c) => c.numVirtualTokens,
    resolve: (c, shape) => withFields(c, resolveSizes(c, shape)),
    parameters,
    encode,
    labels: labelsOf,
    constrain,
    shape: promptShape,
    tables: () => [FIXED],
    initialTokens: (c) => c.cptTokenIds,
  },
};
