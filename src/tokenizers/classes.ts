import type { BoxRules } from "./boxes.js";
import { boxesAtOrigin } from "./boxes.js";
import type { SpecialTokens } from "./special_tokens.js";

/**
 * What a tokenizer class of transformers brings besides its files. Reference:
 * transformers/models/<model>/tokenization_*.py
 */
export type TokenizerClass = {
  readonly special: SpecialTokens;
  readonly paddingSide: "left" | "right";
  readonly tokenTypeIds: boolean;
  /**
   * How to build it from `vocab.json` + `merges.txt`, from `vocab.txt`, or from `vocab.json` alone (letters);
   * undefined where we do not know.
   */
  readonly legacy?: "gpt2" | "roberta" | "bert" | "letters";
  /** How it is built from a SentencePiece file; undefined: as the file itself says. */
  readonly pieces?: "t5" | "llama" | "gemma" | "xlmRoberta" | "albert";
  /** Boxes of its special tokens, on documents. @default those of LayoutLM */
  readonly boxes?: BoxRules;
};

const bert: TokenizerClass = {
  special: { unk: "[UNK]", sep: "[SEP]", pad: "[PAD]", cls: "[CLS]", mask: "[MASK]" },
  paddingSide: "right",
  tokenTypeIds: true,
  legacy: "bert",
};
const gpt2: TokenizerClass = {
  special: { bos: "<|endoftext|>", eos: "<|endoftext|>", unk: "<|endoftext|>" },
  paddingSide: "right",
  tokenTypeIds: false,
  legacy: "gpt2",
};
const roberta: TokenizerClass = {
  special: { bos: "<s>", eos: "</s>", unk: "<unk>", sep: "</s>", pad: "<pad>", cls: "<s>", mask: "<mask>" },
  paddingSide: "right",
  tokenTypeIds: false,
  legacy: "roberta",
};
const t5: TokenizerClass = {
  special: { eos: "</s>", unk: "<unk>", pad: "<pad>" },
  paddingSide: "right",
  tokenTypeIds: false,
  pieces: "t5",
};
const llama: TokenizerClass = {
  special: { bos: "<s>", eos: "</s>", unk: "<unk>" },
  paddingSide: "left",
  tokenTypeIds: false,
  pieces: "llama",
};
const gemma: TokenizerClass = {
  special: { bos: "<bos>", eos: "<eos>", unk: "<unk>", pad: "<pad>", mask: "<mask>" },
  paddingSide: "left",
  tokenTypeIds: false,
  pieces: "gemma",
};
const xlmRoberta: TokenizerClass = {
  special: { bos: "<s>", eos: "</s>", unk: "<unk>", sep: "</s>", pad: "<pad>", cls: "<s>", mask: "<mask>" },
  paddingSide: "right",
  tokenTypeIds: false,
  pieces: "xlmRoberta",
};
const albert: TokenizerClass = {
  special: {
    ...{ bos: "[CLS]", eos: "[SEP]", unk: "<unk>", sep: "[SEP]" },
    ...{ pad: "<pad>", cls: "[CLS]", mask: "[MASK]" },
  },
  paddingSide: "right",
  tokenTypeIds: true,
  pieces: "albert",
};
const letters: TokenizerClass = {
  special: { bos: "<s>", eos: "</s>", unk: "<unk>", pad: "<pad>" },
  paddingSide: "right",
  tokenTypeIds: false,
  legacy: "letters",
};
const plain: TokenizerClass = { special: {}, paddingSide: "right", tokenTypeIds: false };

const byName: ReadonlyMap<string, TokenizerClass> = new Map(
  Object.entries({
    BertTokenizer: bert,
    DistilBertTokenizer: { ...bert, tokenTypeIds: false },
    ElectraTokenizer: bert,
    GPT2Tokenizer: gpt2,
    RobertaTokenizer: roberta,
    BartTokenizer: roberta,
    T5Tokenizer: t5,
    LlamaTokenizer: llama,
    GemmaTokenizer: gemma,
    XLMRobertaTokenizer: xlmRoberta,
    AlbertTokenizer: albert,
    LayoutLMTokenizer: bert,
    LayoutLMv3Tokenizer: { ...roberta, boxes: boxesAtOrigin },
    LayoutXLMTokenizer: xlmRoberta,
    Wav2Vec2CTCTokenizer: letters,
    Wav2Vec2Tokenizer: letters,
  }),
);

const byModelType: ReadonlyMap<string, string> = new Map(
  Object.entries({
    bert: "BertTokenizer",
    distilbert: "BertTokenizer",
    electra: "BertTokenizer",
    gpt2: "GPT2Tokenizer",
    gpt_neo: "GPT2Tokenizer",
    gptj: "GPT2Tokenizer",
    opt: "GPT2Tokenizer",
    phi: "GPT2Tokenizer",
    roberta: "RobertaTokenizer",
    bart: "RobertaTokenizer",
    longformer: "RobertaTokenizer",
    t5: "T5Tokenizer",
    mt5: "T5Tokenizer",
    llama: "LlamaTokenizer",
    gemma: "GemmaTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    albert: "AlbertTokenizer",
    layoutlm: "BertTokenizer",
    layoutlmv3: "LayoutLMv3Tokenizer",
    lilt: "LayoutLMv3Tokenizer",
    wav2vec2: "Wav2Vec2CTCTokenizer",
    hubert: "Wav2Vec2CTCTokenizer",
    wavlm: "Wav2Vec2CTCTokenizer",
  }),
);

/**
 * The class that a folder's tokenizer_class names, or else its model_type; a plain one where neither is
 * known.
 */
export function tokenizerClass(name: string | undefined, modelType: string | undefined): TokenizerClass {
  const found = name ?? byModelType.get(modelType ?? "") ?? "";
  return byName.get(found.replace(/Fast$/, "")) ?? plain;
}
