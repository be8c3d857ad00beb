import { PeftError } from "../errors.js";
import { readPooling } from "../peft/embedding_files.js";
import { words } from "../words.js";

/** How a text's vector is made of those of its tokens. */
export interface FeatureExtractionOptions {
  /**
   * Their mean, the first one, or the last one.
   * @default as modules.json of sentence-transformers says, else "mean"
   */
  readonly pooling?: "mean" | "cls" | "last" | undefined;
  /** Whether it gets length 1, so that products are cosines. @default as modules.json says, else false */
  readonly normalize?: boolean | undefined;
  /**
   * Tokens that a text may have; the rest is cut.
   * @default as sentence-transformers' files say, else as many as the model reads
   */
  readonly maxLength?: number | undefined;
}

/** Files in which sentence-transformers writes how texts become vectors. */
export const sentenceFiles: readonly string[] = [
  "modules.json",
  "sentence_bert_config.json",
  "*_Pooling/config.json",
];

/**
 * What the first of these folders that is one of sentence-transformers says; {}: none is. Throws
 * "file-format".
 */
export async function sentenceTransformer(folders: readonly string[]): Promise<FeatureExtractionOptions> {
  for (const folder of folders) {
    const found = await readPooling(folder, (message) => {
      throw new PeftError("file-format", {
        what: `"${folder}" makes vectors in a way that is not known.`,
        why: words`${message}`,
        fix: "use a model that pools by the mean, the first or the last token.",
      });
    });
    if (found === undefined) continue;
    const { tokens, normalize, maxLength } = found;
    return { pooling: tokens, normalize, ...(maxLength === undefined ? {} : { maxLength }) };
  }
  return {};
}
