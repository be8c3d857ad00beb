import { expectArgument, type NamesOf, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import { at } from "../present.js";
import { toCode } from "../words.js";
import type { BoxRules } from "./boxes.js";
import type { ChatMessage, ChatOptions, ChatTemplates } from "./chat.js";
import { applyTemplate, chatNames, encodeChat } from "./chat.js";
import type { EncodeOptions, Encoding, Limit, Padding, Side } from "./encode.js";
import { encodeNames, encodeRow, layRows } from "./encode.js";
import { heardLetters, type LetterRules, textOfLetters } from "./letters.js";
import { type AddedToken, type AddTokensOptions, newToken } from "./pipeline/added_tokens.js";
import { cleanUp } from "./pipeline/decoders.js";
import type { Pipeline } from "./pipeline/pipeline.js";
import { type TokenizerFiles, writeFiles } from "./saved_files.js";
import type { SpecialName, SpecialTokens } from "./special_tokens.js";
import { specialNames } from "./special_tokens.js";
import { templateCache } from "./template.js";

/** Python's int(1e30) stands for "no limit"; anything above 1e20 is read so. */
export const noLimit: number = 1e30;
const largest = 1e20;

/** Special tokens and their ids: padToken, padTokenId, ... */
export type SpecialProperties = { [N in SpecialName as `${N}Token`]: string | undefined } & {
  readonly [N in SpecialName as `${N}TokenId`]: number | undefined;
};

/** A tokenizer as transformers has it; call it with a text or with a list of texts. */
export type Tokenizer = SpecialProperties & {
  (text: string | readonly string[], options?: EncodeOptions): Encoding;
  /** The ids of one text. */
  encode(text: string, options?: EncodeOptions): number[];
  decode(ids: Iterable<number | bigint>, options?: DecodeOptions): string;
  batchDecode(rows: Iterable<Iterable<number | bigint>>, options?: DecodeOptions): string[];
  /** An unknown token gets unkTokenId, undefined where there is none. */
  convertTokensToIds(token: string): number | undefined;
  convertTokensToIds(tokens: readonly string[]): (number | undefined)[];
  convertIdsToTokens(id: number): string | undefined;
  convertIdsToTokens(ids: readonly number[]): (string | undefined)[];
  /** Writes a chat as the model's own template has it; ids unless tokenize is false. */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatOptions & { tokenize: false }): string;
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatOptions): ChatEncoding;
  readonly allSpecialTokens: string[];
  readonly allSpecialIds: number[];
  /**
   * Adds tokens to the vocabulary: texts are searched for them before anything else. A model has rows for
   * them where it is loaded with `config: { vocab_size: tokenizer.length }`, and LoRA trains those by
   * `trainableTokenIndices`. Reference: transformers/tokenization_utils_base.py, add_tokens
   * @returns how many were not among the added tokens
   * @throws "option" for what is no text, or an empty one
   * @example
   * ```ts
   * import { AutoModelForCausalLM, AutoTokenizer } from "peft.js";
   *
   * const name = "HuggingFaceTB/SmolLM2-135M";
   * const tokenizer = await AutoTokenizer.fromPretrained(name);
   * tokenizer.addTokens(["<query>", "</query>"], { special: true });
   * const config = { vocab_size: tokenizer.length };
   * const base = await AutoModelForCausalLM.fromPretrained(name, { config });
   * ```
   */
  addTokens(tokens: string | readonly string[], options?: AddTokensOptions): number;
  /** Writes the files that make this tokenizer, with the tokens that were added. */
  savePretrained(folder: string): Promise<void>;
  /** Tokens added to the vocabulary, by id. */
  readonly addedTokens: ReadonlyMap<number, AddedToken>;
  /**
   * What tokens begin with that go on with a word: "##" of WordPiece; undefined where tokens do not show it.
   */
  readonly continuingSubwordPrefix: string | undefined;
  /** Entries of the vocabulary without added tokens. */
  readonly vocabSize: number;
  /** Entries with added tokens: Python's len(tokenizer). */
  readonly length: number;
  modelMaxLength: number;
  paddingSide: Side;
  truncationSide: Side;
  readonly chatTemplate: string | undefined;
  /** Boxes of tokens that are no words, on documents. */
  readonly boxes: BoxRules;
  /** How frames of letters are read, where its tokens are characters (CTC); undefined: they are not. */
  readonly letters: LetterRules | undefined;
  /** Special tokens that a post-processor adds to one text, or to a pair. */
  numSpecialTokensToAdd(pair?: boolean): number;
};

const addTokensNames: NamesOf<AddTokensOptions> = { special: { also: ["special_tokens"] } };

/** How ids become text. */
export type DecodeOptions = {
  skipSpecialTokens?: boolean;
  cleanUpTokenizationSpaces?: boolean;
  /** Of letters (CTC): equal ids side by side are one. @default true */
  groupTokens?: boolean;
};
const decodeNames: NamesOf<DecodeOptions> = {
  skipSpecialTokens: {},
  cleanUpTokenizationSpaces: {},
  groupTokens: {},
};

/** An encoded chat; assistantMask is 1 on the tokens the assistant writes, if it was asked for. */
export type ChatEncoding = Encoding & { assistantMask?: number[][] };

/** What a tokenizer is made of. */
export type TokenizerParts = {
  /** What it was made from. */
  readonly files: TokenizerFiles;
  readonly pipeline: Pipeline;
  readonly special: SpecialTokens;
  readonly extraSpecial: { readonly [name: string]: string };
  readonly templates: ChatTemplates;
  readonly modelMaxLength: number;
  readonly paddingSide: Side;
  readonly truncationSide: Side;
  readonly tokenTypeIds: boolean;
  readonly boxes: BoxRules;
  readonly letters: LetterRules | undefined;
  readonly cleanUpSpaces: boolean;
};

/** Joins the parts into the callable object that users hold. */
export function makeTokenizer(parts: TokenizerParts): Tokenizer {
  const call = (text: string | readonly string[], options: EncodeOptions = {}): Encoding =>
    encodeBatch(parts, tokenizer, text, options);
  const tokenizer = call as unknown as Tokenizer;
  for (const members of [
    specialMembers(parts),
    vocabularyMembers(parts, () => tokenizer),
    textMembers(parts, call),
  ]) {
    Object.defineProperties(tokenizer, Object.getOwnPropertyDescriptors(members));
  }
  return tokenizer;
}

/** padToken, padTokenId and so on: tokens can be set, ids follow. */
function specialMembers({ pipeline, special }: TokenizerParts): object {
  const current: SpecialTokens = { ...special };
  const members = {};
  for (const name of specialNames) {
    const set = (token: string | undefined): void => {
      if (token === undefined) delete current[name];
      else if (pipeline.idOf(token) === undefined) unknownToken(`${name}Token`, token);
      else current[name] = token;
    };
    const enumerable = true;
    Object.defineProperty(members, `${name}Token`, { get: () => current[name], set, enumerable });
    const id = (): number | undefined => {
      const token = current[name];
      return token === undefined ? undefined : pipeline.idOf(token);
    };
    Object.defineProperty(members, `${name}TokenId`, { get: id, enumerable });
  }
  return members;
}

function unknownToken(property: string, token: string): never {
  throw new PeftError("option", {
    what: `${property} cannot be ${JSON.stringify(token)}.`,
    why: "the vocabulary has no such token.",
    fix: "use one that it has, such as tokenizer.eosToken.",
  });
}

function vocabularyMembers(parts: TokenizerParts, self: () => Tokenizer): object {
  const { pipeline, extraSpecial, templates, boxes, letters } = parts;
  const idOf = (token: string): number | undefined => pipeline.idOf(token) ?? self().unkTokenId;
  return {
    addTokens: (tokens: string | readonly string[], options: AddTokensOptions = {}): number => {
      refuseUnknown("addTokens", options, addTokensNames);
      const contents = typeof tokens === "string" ? [tokens] : tokens;
      expectArgument("addTokens()", tokens, {
        is: Array.isArray(contents) && contents.every((one) => typeof one === "string" && one !== ""),
        wants: "a text or a list of texts",
        fix: 'write tokenizer.addTokens(["<query>", "</query>"]).',
      });
      return pipeline.add(contents.map((content) => newToken(content, options)));
    },
    savePretrained: (folder: string) => writeFiles(folder, parts.files, pipeline.added),
    convertTokensToIds: (tokens: string | readonly string[]) =>
      typeof tokens === "string" ? idOf(tokens) : tokens.map(idOf),
    convertIdsToTokens: (ids: number | readonly number[]) =>
      typeof ids === "number" ? pipeline.tokenOf(ids) : ids.map((id) => pipeline.tokenOf(id)),
    get allSpecialTokens(): string[] {
      const named = specialNames.map((name) => self()[`${name}Token`]).filter((token) => token !== undefined);
      return [...new Set([...named, ...Object.values(extraSpecial)])];
    },
    get allSpecialIds(): number[] {
      return self()
        .allSpecialTokens.map(idOf)
        .filter((id) => id !== undefined);
    },
    get addedTokens(): ReadonlyMap<number, AddedToken> {
      return new Map([...pipeline.added.values()].map((token) => [token.id, token]));
    },
    boxes,
    letters,
    continuingSubwordPrefix: pipeline.model.continuingPrefix,
    vocabSize: pipeline.model.vocab.size,
    get length(): number {
      const { vocab } = pipeline.model;
      return vocab.size + [...pipeline.added.keys()].filter((token) => !vocab.has(token)).length;
    },
    chatTemplate: templates.get("default")?.text,
    numSpecialTokensToAdd: (pair = false) => pipeline.post.added(pair),
  };
}

function textMembers(
  parts: TokenizerParts,
  call: (text: string | readonly string[], options?: EncodeOptions) => Encoding,
): object {
  const { pipeline, cleanUpSpaces, letters } = parts;
  const compile = templateCache();
  const decode = (ids: Iterable<number | bigint>, options: DecodeOptions = {}): string => {
    refuseUnknown("decode", options, decodeNames);
    const { skipSpecialTokens: skip = false, groupTokens } = options;
    const tokens = pipeline.tokensOf(Array.from(ids, Number), skip);
    const text =
      letters === undefined
        ? pipeline.decodeTokens(tokens)
        : textOfLetters(heardLetters(tokens, letters, groupTokens));
    // Python leaves BPE alone, whatever is asked: there the spaces are the text's own.
    const clean = (options.cleanUpTokenizationSpaces ?? cleanUpSpaces) && pipeline.model.type !== "BPE";
    return clean ? cleanUp(text) : text;
  };
  return {
    modelMaxLength: parts.modelMaxLength,
    paddingSide: parts.paddingSide,
    truncationSide: parts.truncationSide,
    encode: (text: string, options: EncodeOptions = {}) => at(call(text, options).inputIds, 0),
    decode,
    batchDecode: (rows: Iterable<Iterable<number | bigint>>, options: DecodeOptions = {}) =>
      Array.from(rows, (ids) => decode(ids, options)),
    applyChatTemplate(this: Tokenizer, messages: readonly ChatMessage[], options: ChatOptions = {}) {
      refuseUnknown("applyChatTemplate", options, chatNames);
      const variables = { ...parts.extraSpecial, ...namedTokens(this) };
      const chat = applyTemplate(parts.templates, messages, variables, options, compile);
      return options.tokenize === false ? chat.text : encodeChat(this, chat, options);
    },
  };
}

function namedTokens(tokenizer: Tokenizer): { [name: string]: string } {
  const out: { [name: string]: string } = {};
  for (const name of specialNames) {
    const token = tokenizer[`${name}Token`];
    if (token !== undefined) out[`${name}_token`] = token;
  }
  return out;
}

function encodeBatch(
  parts: TokenizerParts,
  self: Tokenizer,
  text: string | readonly string[],
  options: EncodeOptions,
): Encoding {
  refuseUnknown("tokenizer()", options, encodeNames);
  const texts = typeof text === "string" ? [text] : text;
  expectArgument("tokenizer()", text, {
    is: Array.isArray(texts) && texts.every((one) => typeof one === "string"),
    wants: "a text or a list of texts",
    fix: 'write tokenizer("Hello") or tokenizer(["Hello", "World"]); chats go through applyChatTemplate.',
  });
  const limit = readLimit(self, options);
  const rows = pairUp(text, options.textPair).map(([first, second]) =>
    encodeRow(parts.pipeline, first, second, limit, options.addSpecialTokens ?? true),
  );
  const tokens = rows.map((row) => row.tokens);
  const padding = readPadding(
    self,
    options,
    tokens.map((row) => row.length),
  );
  return layRows(tokens, rows.filter((row) => row.truncated).length, padding, {
    offsets: options.returnOffsets ?? false,
    tokenTypeIds: options.returnTokenTypeIds ?? parts.tokenTypeIds,
    wordIds: options.returnWordIds ?? false,
  });
}

function pairUp(
  text: string | readonly string[],
  pair: EncodeOptions["textPair"],
): [string, string | undefined][] {
  if (typeof text === "string") {
    if (pair !== undefined && typeof pair !== "string") return pairUp([text], pair);
    return [[text, pair || undefined]]; // an empty second text is no pair, as in Python
  }
  const second = typeof pair === "string" ? [pair] : pair;
  if (second && second.length !== text.length) {
    throw new PeftError("option", {
      what: `textPair holds ${second.length} texts for ${text.length}.`,
      why: "each text needs its own second text.",
      fix: "pass as many in textPair as there are texts.",
    });
  }
  return text.map((first, i) => [first, second?.[i]]);
}

function readLimit(self: Tokenizer, options: EncodeOptions): Limit | undefined {
  const asked = options.truncation ?? false;
  if (asked === false || asked === "do_not_truncate") return undefined;
  const maxLength = options.maxLength ?? self.modelMaxLength;
  if (maxLength > largest) return undefined;
  checkLength("maxLength", maxLength);
  const strategy = asked === true ? "longest_first" : asked;
  return { maxLength, strategy, side: options.truncationSide ?? self.truncationSide };
}

function checkLength(name: string, value: number): void {
  if (Number.isInteger(value) && value > 0) return;
  throw new PeftError("option", {
    what: `${name} cannot be ${value}.`,
    why: "it counts tokens.",
    fix: `use a whole number above 0, such as ${name}: 128.`,
  });
}

/** The longest row that a tokenizer_config.json may pad to by itself. */
const MOST_PADDING = 2 ** 20;

function tooLong(length: number): never {
  throw new PeftError("tokenizer", {
    what: `padding "max_length" would make rows of ${length} tokens.`,
    why: "that is the model_max_length of tokenizer_config.json.",
    fix: 'use padding: "longest", or pass maxLength, such as maxLength: 512.',
  });
}

function readPadding(
  self: Tokenizer,
  options: EncodeOptions,
  lengths: readonly number[],
): Padding | undefined {
  const asked = options.padding ?? false;
  if (asked === false || asked === "do_not_pad") return undefined;
  const fixed = options.maxLength ?? self.modelMaxLength;
  if (asked === "max_length" && fixed > largest) return undefined;
  if (asked === "max_length") checkLength("maxLength", fixed);
  if (asked === "max_length" && options.maxLength === undefined && fixed > MOST_PADDING) tooLong(fixed);
  const padId = self.padTokenId;
  if (padId === undefined) {
    throw new PeftError("tokenizer", {
      what: "Padding was asked for, but this tokenizer has no padding token.",
      why: "its configuration names none.",
      fix: toCode(
        "set one first: tokenizer.padToken = tokenizer.eosToken.",
        `write one into its tokenizer_config.json: "pad_token", or take one prompt at a time: --batch-size 1.`,
      ),
    });
  }
  const longest = lengths.reduce((max, length) => Math.max(max, length), 0);
  const length = asked === "max_length" ? fixed : longest;
  const multiple = options.padToMultipleOf ?? 1;
  checkLength("padToMultipleOf", multiple);
  return {
    length: Math.ceil(length / multiple) * multiple,
    side: options.paddingSide ?? self.paddingSide,
    padId,
  };
}
