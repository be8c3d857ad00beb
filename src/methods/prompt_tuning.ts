import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { below } from "../random.js";
import { option, words } from "../words.js";
import { configClass, withFields } from "./config.js";
import type { PromptTuningOptions, PromptTuningValues } from "./config_types.js";
import type { ConfigClass, Method, MethodTable, SayFault } from "./method.js";
import { type PromptSizes, promptShape, promptSizes, resolveSizes, tableSpec } from "./prompt.js";
import { saving } from "./shared_options.js";
export type PromptTuningInit = "RANDOM" | "SAMPLE_VOCAB" | "TEXT";

/** Of methods whose rows may start as a text's tokens. */
export const textStart: MethodTable = {
  promptTuningInitText: { kind: "text", otherwise: "none", means: "that text, cut or repeated to length" },
  tokenizerNameOrPath: {
    kind: "text",
    otherwise: "none",
    means: "the tokenizer of that text: a Hub id or a folder",
  },
  tokenizerKwargs: {
    kind: "json",
    otherwise: "none",
    means: "options of that tokenizer, as Python's AutoTokenizer takes them",
  },
};

const options: MethodTable = {
  ...saving,
  ...promptSizes,
  promptTuningInit: {
    kind: "text",
    choices: ["RANDOM", "SAMPLE_VOCAB", "TEXT"],
    byDefault: "RANDOM",
    means: "how the rows start: at random, as random tokens of the vocabulary, or as a text's tokens",
  },
  ...textStart,
};

/** What of a config says how its rows start. */
type TextStart = PromptSizes &
  Pick<PromptTuningValues, "promptTuningInitText" | "tokenizerNameOrPath" | "tokenizerKwargs"> & {
    readonly promptTuningInit: string;
  };

export type { PromptTuningOptions };
export type PromptTuningConfig = PromptTuningValues;
/**
 * Config of prompt tuning (arXiv 2104.08691). Reference: peft/tuners/prompt_tuning/config.py
 * @throws "adapter-config"
 * @example
 * ```ts
 * import { getPeftModel, PromptTuningConfig } from "peft.js";
 *
 * const adapted = getPeftModel(base, new PromptTuningConfig({ numVirtualTokens: 20 }));
 * ```
 */
export const PromptTuningConfig: ConfigClass<PromptTuningValues, PromptTuningOptions> = configClass(
  "PROMPT_TUNING",
  "PromptTuningConfig",
  {
    options,
    check: (c, fault) => checkText(c, fault),
  },
);

export function checkText(c: TextStart, fault: SayFault): void {
  if (c.promptTuningInit !== "TEXT") {
    if (Object.keys(c.tokenizerKwargs ?? {}).length === 0) return;
    fault(
      words`${option("tokenizerKwargs")} is given with ${option("promptTuningInit", c.promptTuningInit)}.`,
      "only a text needs a tokenizer.",
      words`${option("promptTuningInit", "TEXT")}, or leave ${option("tokenizerKwargs")} out.`,
    );
    return;
  }
  for (const key of ["promptTuningInitText", "tokenizerNameOrPath"] as const) {
    if (c[key]) continue;
    fault(
      words`${option("promptTuningInit")} is "TEXT" and ${option(key)} is not given.`,
      "the rows start as a text's tokens.",
      words`${option(key, key === "tokenizerNameOrPath" ? "t5-base" : "Is this tweet a complaint?")}.`,
    );
  }
}

/** Reference: peft/tuners/prompt_tuning/model.py */
export function initialTokens(
  c: TextStart,
  vocabSize: number,
  random: () => number,
  tokenize?: (text: string) => readonly number[],
): readonly number[] | undefined {
  const [rows] = promptShape(c);
  if (c.promptTuningInit === "SAMPLE_VOCAB")
    return Array.from({ length: rows }, () => below(random, vocabSize));
  if (c.promptTuningInit !== "TEXT") return undefined;
  const ids = tokenize?.(c.promptTuningInitText ?? "") ?? [];
  if (ids.length > 0) return Array.from({ length: rows }, (_, i) => at(ids, i % ids.length));
  throw new PeftError("tokenizer", {
    what: words`${option("promptTuningInitText")} ${JSON.stringify(c.promptTuningInitText)} has no tokens.`,
    why:
      tokenize === undefined
        ? `the tokenizer "${c.tokenizerNameOrPath}" is not at hand.`
        : `"${c.tokenizerNameOrPath}" makes none of it.`,
    fix: words`give another text, or a ${option("tokenizerNameOrPath")} that can be loaded.`,
  });
}

/** Virtual tokens before the embeddings, learnt as they are. arXiv 2104.08691. */
export const promptTuning: Method<PromptTuningConfig> = {
  name: "prompt-tuning",
  config: PromptTuningConfig,
  learningRate: { value: 3e-2, from: "PEFT's example of it" },
  prompt: {
    place: "input",
    tokens: (c) => c.numVirtualTokens,
    resolve: (c, shape) => withFields(c, resolveSizes(c, shape)),
    parameters: (c) => [tableSpec(...promptShape(c))],
    encode: (_, p) => p("embedding.weight"),
    shape: promptShape,
    tables: () => ["embedding.weight"],
    initialTokens,
  },
};
