import { PeftError } from "../errors.js";
import { AutoTokenizer, type TokenizerOptions } from "../tokenizers/auto.js";
import { tokenizerFromFiles } from "../tokenizers/files.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { TaskType } from "./batch.js";
import { dataTaskOf } from "./tasks/registry.js";

/** A tokenizer without words, for models that read no text. */
const WORDLESS = JSON.stringify({
  model: { type: "WordLevel", vocab: { "[UNK]": 0 }, unk_token: "[UNK]" },
  added_tokens: [],
});

/**
 * The tokenizer of a model, as AutoTokenizer gives it; one without words where the task reads no text and
 * the folder has none. Throws "tokenizer", "hub".
 */
export async function tokenizerFor(
  task: TaskType,
  name: string,
  options: TokenizerOptions = {},
): Promise<Tokenizer> {
  try {
    return await AutoTokenizer.fromPretrained(name, options);
  } catch (error) {
    if (dataTaskOf(task).readsText !== false) throw error;
    if (!(error instanceof PeftError) || error.code !== "tokenizer") throw error;
    return tokenizerFromFiles(async (file) => (file === "tokenizer.json" ? WORDLESS : undefined));
  }
}
