import type { Tensor } from "../graph/ops.js";
import { at } from "../present.js";
import { option, words } from "../words.js";
import { configClass, withFields } from "./config.js";
import type { MultitaskPromptTuningOptions, MultitaskPromptTuningValues } from "./config_types.js";
import type {
  ConfigClass,
  Initial,
  Method,
  MethodTable,
  NamedTensor,
  ParameterSpec,
  PromptPlace,
  SayFault,
} from "./method.js";
import { known, promptShape, promptSizes, resolveSizes, tableSpec } from "./prompt.js";
import { checkText, initialTokens, textStart } from "./prompt_tuning.js";
import { saving } from "./shared_options.js";
import { taskIds } from "./task_ids.js";

const options: MethodTable = {
  ...saving,
  ...promptSizes,
  promptTuningInit: {
    kind: "text",
    choices: ["RANDOM", "TEXT", "AVERAGE_SOURCE_TASKS", "EXACT_SOURCE_TASK", "ONLY_SOURCE_SHARED"],
    byDefault: "RANDOM",
    means:
      "how it starts: at random, as a text's tokens, or as an adapter of several tasks: with the mean of its tasks, with one of them, or with what they share",
  },
  ...textStart,
  promptTuningInitStateDictPath: {
    kind: "text",
    otherwise: "none",
    means: "that adapter's adapter_model.safetensors",
  },
  promptTuningInitTask: { kind: "whole", min: 0, byDefault: 0, means: "the task of it to start from" },
  numRanks: { kind: "whole", min: 1, byDefault: 1, means: "rank of what a task changes" },
  numTasks: { kind: "whole", min: 1, byDefault: 1, means: "how many tasks there are" },
};

export type { MultitaskPromptTuningOptions };
export type MultitaskPromptTuningConfig = MultitaskPromptTuningValues;
/**
 * Config of multitask prompt tuning (arXiv 2303.02861). Reference:
 * peft/tuners/multitask_prompt_tuning/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, MultitaskPromptTuningConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new MultitaskPromptTuningConfig({ numVirtualTokens: 20, numTasks: 3 }));
 * ```
 */
export const MultitaskPromptTuningConfig: ConfigClass<
  MultitaskPromptTuningValues,
  MultitaskPromptTuningOptions
> = configClass("MULTITASK_PROMPT_TUNING", "MultitaskPromptTuningConfig", { options, check });

/** Starts from an adapter that was trained on several tasks. */
const SOURCES = ["AVERAGE_SOURCE_TASKS", "EXACT_SOURCE_TASK", "ONLY_SOURCE_SHARED"];

function check(c: MultitaskPromptTuningConfig, fault: SayFault): void {
  checkText(c, fault);
  const init = c.promptTuningInit;
  if (SOURCES.includes(init) && c.promptTuningInitStateDictPath === undefined)
    fault(
      words`${option("promptTuningInit")} is "${init}" and ${option("promptTuningInitStateDictPath")} is not given.`,
      "it starts as an adapter that was trained before.",
      words`${option("promptTuningInitStateDictPath", "out/adapter_model.safetensors")}.`,
    );
  if (SOURCES.slice(0, 2).includes(init) && c.numTasks !== 1)
    fault(
      words`${option("promptTuningInit")} is "${init}" and ${option("numTasks")} is ${c.numTasks}.`,
      "one task starts as that adapter's tasks.",
      words`${option("numTasks", 1)}, or ${option("promptTuningInit", "ONLY_SOURCE_SHARED")}.`,
    );
}

const COLS = "prefix_task_cols";
const ROWS = "prefix_task_rows";

function parameters(c: MultitaskPromptTuningConfig): ParameterSpec[] {
  const [rows, dim] = promptShape(c);
  const initial: Initial = { kind: "normal", std: 0.02 };
  return [
    tableSpec(rows, dim),
    { key: COLS, shape: [c.numTasks, rows, c.numRanks], initial },
    { key: ROWS, shape: [c.numTasks, c.numRanks, dim], initial },
  ];
}

/** E * (C[task] R[task]), element by element: [rows, dim] -> [batch, rows, dim] */
function perRow({ g, p, input }: PromptPlace, rows: Tensor): Tensor {
  const task = input("taskIds");
  return g.mul(rows, g.matmul(g.gather(p(COLS), task), g.gather(p(ROWS), task)));
}

/** An adapter's tensors as those that this one starts with. */
function fromSource(
  c: MultitaskPromptTuningConfig,
  source: ReadonlyMap<string, NamedTensor>,
): Readonly<Record<string, NamedTensor | undefined>> {
  const task = (key: string): NamedTensor | undefined => {
    const all = source.get(key);
    if (all === undefined || c.promptTuningInit === "ONLY_SOURCE_SHARED") return undefined;
    const [tasks = 1, ...shape] = all.shape;
    const size = all.data.length / tasks;
    const isMean = c.promptTuningInit === "AVERAGE_SOURCE_TASKS";
    const first = c.promptTuningInitTask;
    const data = isMean
      ? Float32Array.from({ length: size }, (_, i) => {
          let sum = 0;
          for (let t = 0; t < tasks; t++) sum += at(all.data, t * size + i);
          return sum / tasks;
        })
      : all.data.slice(first * size, (first + 1) * size);
    return { key, shape: [1, ...shape], data };
  };
  return { "embedding.weight": source.get("prompt_embeddings"), [COLS]: task(COLS), [ROWS]: task(ROWS) };
}

/**
 * Virtual tokens that tasks share, times a change of low rank that each task has of its own. A batch says the
 * task of each row: `columns: { taskIds }`. In an encoder-decoder they stand before the decoder's input too,
 * but not in generation, as in Python. arXiv 2303.02861. Reference:
 * peft/tuners/multitask_prompt_tuning/model.py
 */
export const multitaskPromptTuning: Method<MultitaskPromptTuningConfig> = {
  name: "multitask-prompt-tuning",
  config: MultitaskPromptTuningConfig,
  inputs: (c) => ({ taskIds: taskIds(c.numTasks) }),
  prompt: {
    place: "input",
    tokens: (c) => c.numVirtualTokens,
    decoderTokens: (c) => (known(c, "numTransformerSubmodules") - 1) * c.numVirtualTokens,
    resolve: (c, shape) => withFields(c, resolveSizes(c, shape)),
    parameters,
    encode: (_, p) => p("embedding.weight"),
    perRow,
    saved: [COLS, ROWS],
    shape: promptShape,
    tables: () => ["embedding.weight"],
    initialTokens,
    source: (c) => (SOURCES.includes(c.promptTuningInit) ? c.promptTuningInitStateDictPath : undefined),
    fromSource,
    structure: () => "",
  },
};
