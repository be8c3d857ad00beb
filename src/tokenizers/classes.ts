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
   * How to build it from `vocab.json` + `merges.txt` or from `vocab.txt`; undefined where we do not know.
   */
  readonly legacy?: "gpt2" | "roberta" | "bert";
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
};
const llama: TokenizerClass = {
  special: { bos: "<s>", eos: "</s>", unk: "<unk>" },
  paddingSide: "left",
  tokenTypeIds: false,
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
