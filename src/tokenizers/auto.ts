import { expectName, type NamesOf, refuseUnknown } from "../arguments.js";
import { nodeFiles } from "../hub/files.js";
import type { ResolveOptions } from "../hub/resolve.js";
import { resolveFolder, resolveNames } from "../hub/resolve.js";
import { refuseStandIn } from "../hub/tensors/stand_in.js";
import { type FileName, tokenizerFileNames, tokenizerFromFiles } from "./files.js";
import type { ReadBytes, ReadText } from "./saved_files.js";
import type { Tokenizer } from "./tokenizer.js";

/** Where to look for a tokenizer; see resolveFolder. */
export type TokenizerOptions = Omit<ResolveOptions, "files"> & {
  /**
   * An adapter's folder or Hub id: the tokenizer that lies beside it is taken, or its chat template alone.
   */
  readonly adapter?: string | undefined;
};

const { files: _, ...whereNames } = resolveNames;
const tokenizerNames: NamesOf<TokenizerOptions> = { ...whereNames, adapter: {} };

/** Tokenizers by Hub id or folder. */
export const AutoTokenizer: {
  /**
   * The tokenizer of a Hub repository or a local folder, as transformers' AutoTokenizer gives it. It differs
   * in this: tokenizer.json counts as it stands, where transformers 5 builds parts of it anew for some
   * classes.
   * Reference: transformers/models/auto/tokenization_auto.py
   * @throws "tokenizer" where the folder has none that can be read here, "hub" where there is no such folder
   *   or repository
   * @example
   * ```ts
   * import { AutoTokenizer } from "peft.js";
   *
   * const tokenizer = await AutoTokenizer.fromPretrained("google/flan-t5-base");
   * const { inputIds, attentionMask } = tokenizer(["a text", "a longer text"], { padding: true });
   * ```
   */
  fromPretrained(nameOrFolder: string, options?: TokenizerOptions): Promise<Tokenizer>;
} = {
  async fromPretrained(nameOrFolder, options = {}) {
    expectName("AutoTokenizer.fromPretrained", nameOrFolder);
    refuseUnknown("AutoTokenizer.fromPretrained", options, tokenizerNames);
    const { adapter, ...where } = options;
    const readIn = async (place: string, from: typeof where): Promise<Folder> => {
      const folder = await resolveFolder(place, { ...from, files: tokenizerFileNames });
      const read: ReadText = async (name) => {
        const path = nodeFiles.join(folder, name);
        if (!(await nodeFiles.exists(path))) return undefined;
        const text = await nodeFiles.text(path);
        refuseStandIn(path, text);
        return text;
      };
      const readBytes = async (name: string): Promise<Uint8Array | undefined> => {
        const path = nodeFiles.join(folder, name);
        return (await nodeFiles.exists(path))
          ? await nodeFiles.read(path, 0, await nodeFiles.size(path))
          : undefined;
      };
      return { read, readBytes, at: (name) => JSON.stringify(nodeFiles.join(folder, name)) };
    };
    const base = await readIn(nameOrFolder, where);
    const own = adapter === undefined ? base : await readIn(adapter, { ...where, revision: undefined });
    const { read, at, readBytes } = own === base ? base : await beside(own, base);
    return tokenizerFromFiles(read, at, readBytes);
  },
};

interface Folder {
  readonly read: ReadText;
  readonly at: FileName;
  readonly readBytes: ReadBytes;
}

/**
 * Files of an adapter's folder over those of its base: a tokenizer is taken whole, so that no two are mixed.
 */
async function beside(own: Folder, base: Folder): Promise<Folder> {
  const has = async (name: string): Promise<boolean> => (await own.read(name)) !== undefined;
  const isWhole = (await Promise.all(["tokenizer.json", "vocab.json", "vocab.txt"].map(has))).some(Boolean);
  const templates = tokenizerFileNames.filter((name) => name.startsWith("chat_template"));
  const isOwn = await Promise.all(templates.map(has));
  const taken = isWhole
    ? tokenizerFileNames.filter((name) => name !== "config.json")
    : templates.filter((_, i) => isOwn[i]);
  const from = (name: string): Folder => (taken.includes(name) ? own : base);
  return {
    read: (name) => from(name).read(name),
    at: (name) => from(name).at(name),
    readBytes: (name) => from(name).readBytes(name),
  };
}
