import { tokenizerFromFiles } from "../tokenizers/files.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import type { Row } from "./row.js";

/**
 * A tokenizer of the letters that texts have, for models that have none: the blank ([PAD]) first, where
 * wav2vec2's configs expect it, the letters in the order of their code points, spaces as "|", [UNK].
 */
export function lettersOfRows(rows: readonly Row[]): Promise<Tokenizer> {
  const texts = rows.map((row) => (row.kind === "speech" ? row.text : ""));
  const letters = new Set(texts.flatMap((text) => [...text.replaceAll(" ", "|")]));
  const ordered = [...letters].sort((a, b) => (a.codePointAt(0) ?? 0) - (b.codePointAt(0) ?? 0));
  const tokens = new Set(["[PAD]", ...ordered, "|", "[UNK]"]);
  const files: Readonly<Record<string, unknown>> = {
    "vocab.json": Object.fromEntries([...tokens].map((token, id) => [token, id])),
    "tokenizer_config.json": {
      ...{ tokenizer_class: "Wav2Vec2CTCTokenizer", word_delimiter_token: "|", do_lower_case: false },
      ...{ pad_token: "[PAD]", unk_token: "[UNK]", bos_token: null, eos_token: null },
    },
  };
  return tokenizerFromFiles(async (name) =>
    files[name] === undefined ? undefined : JSON.stringify(files[name], undefined, 2),
  );
}
