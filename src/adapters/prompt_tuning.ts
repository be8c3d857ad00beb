import { PeftError } from "../errors.js";
import { below } from "../random.js";
import { OptionReader } from "./checks.js";
import type { AdapterConfig, Json, Method } from "./method.js";
import type { PromptOptions } from "./prompt.js";
import { PromptConfig, promptFields, promptShape, resolveSizes, tableSpec } from "./prompt.js";
import { withFields } from "./shared_options.js";

export type PromptTuningInit = "RANDOM" | "SAMPLE_VOCAB" | "TEXT";

/** Options of prompt tuning. */
export interface PromptTuningOptions extends PromptOptions {
  /** How the rows start: at random (default), as random tokens of the vocabulary, or as a text's tokens. */
  promptTuningInit?: PromptTuningInit | undefined;
  /** The text, cut or repeated to length. */
  promptTuningInitText?: string | undefined;
  /** The tokenizer of the text: a Hub id or a folder. */
  tokenizerNameOrPath?: string | undefined;
  /** Options of the tokenizer, as Python's AutoTokenizer takes them. */
  tokenizerKwargs?: Readonly<Record<string, Json>> | undefined;
}

const fields: Readonly<Record<string, Json>> = {
  ...promptFields("PROMPT_TUNING"),
  prompt_tuning_init: "RANDOM",
  prompt_tuning_init_text: null,
  tokenizer_name_or_path: null,
  tokenizer_kwargs: null,
};

/**
 * Config of prompt tuning (arXiv 2104.08691). Throws "adapter-config". Reference:
 * peft/tuners/prompt_tuning/config.py
 */
export class PromptTuningConfig extends PromptConfig implements AdapterConfig {
  readonly peftType = "PROMPT_TUNING";
  readonly promptTuningInit: PromptTuningInit;
  readonly promptTuningInitText: string | undefined;
  readonly tokenizerNameOrPath: string | undefined;
  readonly tokenizerKwargs: Readonly<Record<string, Json>> | undefined;

  constructor(options: PromptTuningOptions = {}) {
    const read = new OptionReader("PromptTuningConfig", options, fields);
    super(read);
    this.promptTuningInit = read.oneOf("promptTuningInit", ["RANDOM", "SAMPLE_VOCAB", "TEXT"], "RANDOM");
    this.promptTuningInitText = read.text("promptTuningInitText");
    this.tokenizerNameOrPath = read.text("tokenizerNameOrPath");
    this.tokenizerKwargs = read.object("tokenizerKwargs") as Readonly<Record<string, Json>> | undefined;
    checkText(read, this);
    read.done();
  }
}

function checkText(read: OptionReader, c: PromptTuningConfig): void {
  if (c.promptTuningInit !== "TEXT") {
    if (Object.keys(c.tokenizerKwargs ?? {}).length === 0) return;
    read.fault(
      `tokenizerKwargs is given with promptTuningInit: "${c.promptTuningInit}".`,
      "only a text needs a tokenizer.",
      { fix: 'promptTuningInit: "TEXT", or leave tokenizerKwargs out.' },
    );
    return;
  }
  for (const key of ["promptTuningInitText", "tokenizerNameOrPath"] as const) {
    if (c[key]) continue;
    read.fault(`promptTuningInit is "TEXT" and ${key} is not given.`, "the rows start as a text's tokens.", {
      fix: `${key}: "${key === "tokenizerNameOrPath" ? "t5-base" : "Is this tweet a complaint?"}".`,
    });
  }
}

/** Reference: peft/tuners/prompt_tuning/model.py */
function initialTokens(
  c: PromptTuningConfig,
  vocabSize: number,
  random: () => number,
  tokenize?: (text: string) => readonly number[],
): readonly number[] | undefined {
  const [rows] = promptShape(c);
  if (c.promptTuningInit === "RANDOM") return undefined;
  if (c.promptTuningInit === "SAMPLE_VOCAB")
    return Array.from({ length: rows }, () => below(random, vocabSize));
  const ids = tokenize?.(c.promptTuningInitText ?? "") ?? [];
  if (ids.length > 0) return Array.from({ length: rows }, (_, i) => ids[i % ids.length]!);
  throw new PeftError("tokenizer", {
    what: `promptTuningInitText ${JSON.stringify(c.promptTuningInitText)} has no tokens.`,
    why:
      tokenize === undefined
        ? `the tokenizer "${c.tokenizerNameOrPath}" is not at hand.`
        : `"${c.tokenizerNameOrPath}" makes none of it.`,
    fix: "give another text, or a tokenizerNameOrPath that can be loaded.",
  });
}

/** Virtual tokens before the embeddings, learnt as they are. arXiv 2104.08691. */
export const promptTuning: Method<PromptTuningConfig> = {
  peftType: "PROMPT_TUNING",
  name: "prompt-tuning",
  fields,
  floats: [],
  create: (options) => new PromptTuningConfig(options as PromptTuningOptions),
  prompt: {
    place: "input",
    tokens: (c) => c.numVirtualTokens,
    resolve: (c, shape) => withFields(c, resolveSizes(c, shape)),
    parameters: (c) => [tableSpec(...promptShape(c))],
    encode: (_, p) => p("embedding.weight"),
    shape: promptShape,
    table: () => "embedding.weight",
    initialTokens,
  },
};
