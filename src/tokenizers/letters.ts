import { isRecord } from "../narrow.js";
import type { Json } from "./pipeline/json.js";
import { booleanOr, fault, stringOr } from "./pipeline/json.js";
import { type SpecialTokens, tokenText } from "./special_tokens.js";

/** How frames that each say a letter, or a blank, are read. */
export interface LetterRules {
  /** What a frame says that says no letter: the padding token. */
  readonly blank: string | undefined;
  /** The token between words, and how it is written. */
  readonly delimiter: string;
  readonly space: string;
  /** Texts are upper case inside of the model, and lower case outside of it. */
  readonly isLower: boolean;
}

/** A letter that was heard, or a word. `start`, `end`: frames. */
export interface Heard {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

/** @default the word delimiter is "|", and becomes a space */
export function letterRules(config: Json, { pad }: SpecialTokens): LetterRules {
  return {
    blank: pad,
    delimiter: tokenText(config["word_delimiter_token"]) ?? "|",
    space: stringOr(config["replace_word_delimiter_char"], " "),
    isLower: booleanOr(config["do_lower_case"], false),
  };
}

/**
 * A vocabulary of characters, vocab.json of CTC: every character is a token, a space is the word delimiter.
 * Tokens of more than one character ("[PAD]") are found in texts with the spaces around them. Reference:
 * models/wav2vec2/tokenization_wav2vec2.py
 */
export function fromLetters(json: Json, config: Json, special: SpecialTokens, file: string): Json {
  const vocab = ofLanguage(json, config, file);
  const { delimiter, isLower } = letterRules(config, special);
  const named = new Set(Object.values(special));
  const long = Object.entries(vocab).filter(([token]) => [...token].length > 1);
  return {
    added_tokens: long.map(([content, id]) => ({
      ...{ id, content, special: named.has(content) },
      ...{ lstrip: true, rstrip: true, single_word: false, normalized: false },
    })),
    normalizer: {
      type: "Sequence",
      normalizers: [
        ...(isLower ? [{ type: "Uppercase" }] : []),
        { type: "Replace", pattern: { String: " " }, content: delimiter },
      ],
    },
    pre_tokenizer: { type: "Split", pattern: { Regex: "[\\s\\S]" }, behavior: "Isolated" },
    post_processor: null,
    decoder: null,
    model: { type: "WordLevel", vocab, unk_token: special.unk ?? special.pad ?? "" },
  };
}

/** vocab.json of models for many languages has one vocabulary for each: `target_lang` says which. */
function ofLanguage(json: Json, config: Json, file: string): Json {
  if (!Object.values(json).some(isRecord)) return json;
  const language = stringOr(config["target_lang"], "");
  const own = json[language];
  if (isRecord(own)) return own;
  const known = Object.keys(json).slice(0, 8).join(", ");
  return fault(
    `${file}: target_lang ${JSON.stringify(language)}`,
    `is none of its languages (${known}, ...)`,
  );
}

/** The configuration without its word delimiter, which is a letter like others, and no special token. */
export function withoutDelimiter(config: Json): Json {
  const { word_delimiter_token: delimiter = "|", replace_word_delimiter_char: _, ...others } = config;
  const added = isRecord(config["added_tokens_decoder"]) ? config["added_tokens_decoder"] : {};
  const kept = Object.entries(added).filter(([, token]) => tokenText(token) !== tokenText(delimiter));
  return { ...others, added_tokens_decoder: Object.fromEntries(kept) };
}

/**
 * The letters that frames say: equal ones side by side are one, blanks are none.
 * @param isGrouped whether equal neighbours are one
 */
export function heardLetters(
  frames: readonly string[],
  { blank, delimiter, space, isLower }: LetterRules,
  isGrouped = true,
): Heard[] {
  const heard: Heard[] = [];
  for (let start = 0, end = 0; start < frames.length; start = end) {
    const token = frames[start] ?? "";
    end = start + 1;
    while (isGrouped && frames[end] === token) end++;
    if (token === blank) continue;
    const text = token === delimiter ? space : isLower ? token.toLowerCase() : token;
    heard.push({ text, start, end });
  }
  return heard;
}

/** The text that letters are. */
export function textOfLetters(letters: readonly Heard[]): string {
  return letters
    .map(({ text }) => text)
    .join("")
    .trim();
}

/** The words that letters are: from the first frame of the first letter to the last one of the last. */
export function heardWords(letters: readonly Heard[], { space }: Pick<LetterRules, "space">): Heard[] {
  const words: Heard[] = [];
  let last: Heard | undefined; // the word that goes on
  for (const letter of letters) {
    const isSpace = letter.text === space;
    const goesOn = !isSpace && last !== undefined;
    if (goesOn) words.pop();
    if (isSpace) last = undefined;
    else last = last === undefined ? letter : { ...last, text: last.text + letter.text, end: letter.end };
    if (last !== undefined) words.push(last);
  }
  return words;
}
