import { expectName, refuseUnknown } from "../arguments.js";
import { nodeFiles } from "../hub/files.js";
import type { ResolveOptions } from "../hub/resolve.js";
import { resolveFolder, resolveNames } from "../hub/resolve.js";
import { tokenizerFileNames, tokenizerFromFiles } from "./files.js";
import type { Tokenizer } from "./tokenizer.js";

/** Where to look for a tokenizer; see resolveFolder. */
export type TokenizerOptions = Omit<ResolveOptions, "files">;

const { files: _, ...tokenizerNames } = resolveNames;

/** Tokenizers by Hub id or folder. */
export const AutoTokenizer: {
  fromPretrained(nameOrFolder: string, options?: TokenizerOptions): Promise<Tokenizer>;
} = {
  /**
   * The tokenizer of a Hub repository or a local folder, as transformers' AutoTokenizer gives it. Throws
   * `tokenizer` where the folder has none that can be read here, `hub` where there is no such folder or
   * repository. Reference: transformers/models/auto/tokenization_auto.py. Differs: tokenizer.json counts as
   * it stands, where transformers 5 builds parts of it anew for some classes.
   */
  async fromPretrained(nameOrFolder, options = {}) {
    expectName("AutoTokenizer.fromPretrained", nameOrFolder);
    refuseUnknown("AutoTokenizer.fromPretrained", options, tokenizerNames);
    const folder = await resolveFolder(nameOrFolder, { ...options, files: tokenizerFileNames });
    return tokenizerFromFiles(async (name) => {
      const path = nodeFiles.join(folder, name);
      return (await nodeFiles.exists(path)) ? nodeFiles.text(path) : undefined;
    });
  },
};
