import { digitsOf } from "./english_numbers.js";
import type { NormalizeText } from "./error_rates.js";

/** Letters that no accent can be taken from. */
const LETTERS: Readonly<Record<string, string>> = {
  ...{ œ: "oe", Œ: "OE", ø: "o", Ø: "O", æ: "ae", Æ: "AE", ß: "ss", ẞ: "SS", đ: "d", Đ: "D" },
  ...{ ð: "d", Ð: "D", þ: "th", Þ: "th", ł: "l", Ł: "L" },
};

/** Contractions and titles, in the order in which they are written out. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  ...pairs({
    "won't": "will not",
    "can't": "can not",
    "let's": "let us",
    "ain't": "aint",
    "y'all": "you all",
  }),
  ...pairs({ wanna: "want to", gotta: "got to", gonna: "going to", "i'ma": "i am going to" }),
  ...pairs({ imma: "i am going to", woulda: "would have", coulda: "could have", shoulda: "should have" }),
  ...pairs({
    "ma'am": "madam",
    mr: "mister ",
    mrs: "missus ",
    st: "saint ",
    dr: "doctor ",
    prof: "professor ",
  }),
  ...pairs({ capt: "captain ", gov: "governor ", ald: "alderman ", gen: "general ", sen: "senator " }),
  ...pairs({ rep: "representative ", pres: "president ", rev: "reverend ", hon: "honorable " }),
  ...pairs({ asst: "assistant ", assoc: "associate ", lt: "lieutenant ", col: "colonel ", jr: "junior " }),
  ...pairs({ sr: "senior ", esq: "esquire " }),
  ...pairs(
    { "'d been": " had been", "'s been": " has been", "'d gone": " had gone", "'s gone": " has gone" },
    "",
  ),
  ...pairs({ "'d done": " had done", "'s got": " has got", "n't": " not", "'re": " are", "'s": " is" }, ""),
  ...pairs({ "'d": " would", "'ll": " will", "'t": " not", "'ve": " have", "'m": " am" }, ""),
];

/** A word as a whole, or its end. */
function pairs(table: Readonly<Record<string, string>>, before = "\\b"): [RegExp, string][] {
  return Object.entries(table).map(([word, text]) => [new RegExp(`${before}${word}\\b`, "g"), text]);
}

/** Without what stands in brackets. */
function withoutAsides(text: string): string {
  return text.replace(/[<[][^>\]]*[>\]]/g, "").replace(/\([^)]+?\)/g, "");
}

function withoutSymbols(text: string): string {
  return text.normalize("NFKC").replace(/[\p{M}\p{S}\p{P}]/gu, " ");
}

function withoutAccents(text: string, keep = ""): string {
  return Array.from(text.normalize("NFKD"), (c) => {
    if (keep.includes(c)) return c;
    if (Object.hasOwn(LETTERS, c)) return LETTERS[c] ?? c;
    if (/\p{Mn}/u.test(c)) return "";
    return /[\p{M}\p{S}\p{P}]/u.test(c) ? " " : c;
  }).join("");
}

/**
 * Whisper's normalizer of texts in any language: lower case, without what stands in brackets, symbols as
 * spaces.
 * Reference: transformers/models/whisper/english_normalizer.py, BasicTextNormalizer
 */
export function normalizeBasic(
  text: string,
  { removeDiacritics = false }: { readonly removeDiacritics?: boolean | undefined } = {},
): string {
  const bare = withoutAsides(text.toLowerCase());
  const clean = removeDiacritics ? withoutAccents(bare) : withoutSymbols(bare);
  return clean.toLowerCase().replace(/\s+/g, " ");
}

/**
 * Whisper's normalizer of English: contractions and titles written out, numbers as digits, American spelling.
 * Reference: transformers/models/whisper/english_normalizer.py, EnglishTextNormalizer
 * @param spelling British spellings and the American ones: normalizer.json of a model
 */
export function englishNormalizer(spelling: Readonly<Record<string, string>> = {}): NormalizeText {
  return (text) => {
    let said = withoutAsides(text.toLowerCase())
      .replace(/\b(hmm|mm|mhm|mmm|uh|um)\b/g, "")
      .replace(/\s+'/g, "'");
    for (const [pattern, written] of WORDS) said = said.replace(pattern, written);
    said = said.replace(/(\d),(\d)/g, "$1$2").replace(/\.([^0-9]|$)/g, " $1");
    const words = digitsOf(withoutAccents(said, ".%$¢€£"))
      .split(/\s+/)
      .filter((word) => word !== "");
    return words
      .map((word) => (Object.hasOwn(spelling, word) ? spelling[word] : word))
      .join(" ")
      .replace(/[.$¢€£]([^0-9])/g, " $1")
      .replace(/([^0-9])%/g, "$1 ")
      .replace(/\s+/g, " ");
  };
}
