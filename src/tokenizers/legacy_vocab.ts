import type { TokenizerClass } from "./classes.js";
import type { Json } from "./pipeline/json.js";
import { booleanOr } from "./pipeline/json.js";
import type { SpecialTokens } from "./special_tokens.js";

/** A tokenizer.json made in memory, from the files that older repositories have in its place. */

/** BERT's vocab.txt: one token a line. Reference: models/bert/tokenization_bert.py */
export function fromVocabTxt(text: string, config: Json, special: SpecialTokens): Json {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const vocab = Object.fromEntries(lines.map((line, id) => [line.trimEnd(), id]));
  return {
    added_tokens: [],
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: booleanOr(config["tokenize_chinese_chars"], true),
      strip_accents: booleanOr(config["strip_accents"], null),
      lowercase: booleanOr(config["do_lower_case"], true),
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: null,
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: { type: "WordPiece", unk_token: special.unk ?? "[UNK]", continuing_subword_prefix: "##", vocab },
  };
}

/** Byte-level BPE from vocab.json and merges.txt. Reference: models/gpt2/tokenization_gpt2.py */
export function fromVocabAndMerges(vocab: Json, mergesTxt: string, config: Json): Json {
  const merges = mergesTxt
    .split("\n")
    .map((line) => line.replace(/\r$/, ""))
    .filter((line) => line !== "" && !line.startsWith("#version"))
    .map((line) => line.split(" "));
  return {
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: booleanOr(config["add_prefix_space"], false) },
    post_processor: null,
    decoder: { type: "ByteLevel" },
    model: { type: "BPE", vocab, merges },
  };
}

/** The post-processor that a class puts up once the ids of its special tokens are known. */
export function legacyPostProcessor(
  kind: NonNullable<TokenizerClass["legacy"]>,
  config: Json,
  special: SpecialTokens,
  idOf: (token: string) => number | undefined,
): Json | null {
  const pair = (token: string | undefined): [string, number] => [token ?? "", idOf(token ?? "") ?? 0];
  if (kind === "letters") return null;
  if (kind === "gpt2") return beginEnd(config, special, idOf);
  const cls = pair(special.cls);
  const sep = pair(special.sep);
  if (kind === "bert") return { type: "BertProcessing", cls, sep };
  const trim = booleanOr(config["trim_offsets"], true);
  const space = booleanOr(config["add_prefix_space"], false);
  return { type: "RobertaProcessing", cls, sep, trim_offsets: trim, add_prefix_space: space };
}

/** `add_bos_token` and `add_eos_token`, as TokenizersBackend.update_post_processor writes them. */
function beginEnd(
  config: Json,
  special: SpecialTokens,
  idOf: (token: string) => number | undefined,
): Json | null {
  const begin = booleanOr(config["add_bos_token"], false) ? special.bos : undefined;
  const end = booleanOr(config["add_eos_token"], false) ? special.eos : undefined;
  if (begin === undefined && end === undefined) return null;
  const around = (text: "$A" | "$B", type: number): TemplatePart[] =>
    [begin, text, end].flatMap((one) => (one === undefined ? [] : [[one, type]]));
  return templateOf(around("$A", 0), [...around("$A", 0), ...around("$B", 1)], idOf);
}

/** A special token or a text ("$A", "$B"), and its token type. */
export type TemplatePart = readonly [token: string, type: number];

/** The post-processor that puts special tokens around one text, and around two. */
export function templateOf(
  single: readonly TemplatePart[],
  pair: readonly TemplatePart[],
  idOf: (token: string) => number | undefined,
): Json {
  const isText = (part: string): boolean => part === "$A" || part === "$B";
  const write = ([part, type_id]: TemplatePart): Json =>
    isText(part) ? { Sequence: { id: part.slice(1), type_id } } : { SpecialToken: { id: part, type_id } };
  const tokens = [...new Set([...single, ...pair].map(([part]) => part))].filter((part) => !isText(part));
  return {
    type: "TemplateProcessing",
    single: single.map(write),
    pair: pair.map(write),
    special_tokens: Object.fromEntries(
      tokens.map((token) => [token, { id: token, ids: [idOf(token) ?? 0], tokens: [token] }]),
    ),
  };
}
