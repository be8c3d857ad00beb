import { expect, it } from "vitest";
import { cer, wer, wordErrors } from "./error_rates.js";
import { englishNormalizer, normalizeBasic } from "./normalize_speech.js";

// The numbers are jiwer's, the texts transformers' normalizers'.
it("counts words that are wrong, missing and added", () => {
  expect(wordErrors(["one too three four"], ["one two three"])).toEqual({
    ...{ hits: 2, substitutions: 1, deletions: 0, insertions: 1 },
    ...{ wer: 2 / 3, mer: 0.5, wil: 1 - (2 / 3) * (2 / 4) },
  });
  expect(wer(["b c d"], ["a"])).toBe(3);
  expect(wer([""], ["it is so"])).toBe(1);
  expect(wer(["hello world", "the cat sat on mat"], ["hello world", "the cat sat on the mat"])).toBe(1 / 8);
  expect(cer(["naive café"], ["naïve café"])).toBe(0.1);
  expect(() => wer(["a"], [])).toThrow("1 texts beside 0 references");
});

it("writes texts of any language alike", () => {
  expect(normalizeBasic("it's 5 o'clock (noise) [laughs]")).toBe("it s 5 o clock ");
  expect(normalizeBasic("Ärger über Öl — straße")).toBe("ärger über öl straße");
  expect(normalizeBasic("Ärger über Öl — straße", { removeDiacritics: true })).toBe("arger uber ol strasse");
});

it("writes English with words for contractions, digits for numbers, American spelling", () => {
  const english = englishNormalizer({ colour: "color" });
  const seen = {
    "Mr. Smith paid $20.50 for 1,000 colour prints in the 1990s":
      "mister smith paid $20.50 for 1000 color prints in the 1990s",
    "I won't, you'll, we've; can't": "i will not you will we have can not",
    "twenty one hundred and five": "2105",
    "one oh one": "101",
    "two and a half million dollars": "$2500000",
    "the twenty third of nineteen ninety nine": "the 23rd of 1999",
    "minus five percent": "-5%",
    "double seven one": "771",
    "hmm, one thing": "one thing",
  };
  for (const [text, written] of Object.entries(seen)) expect(english(text).trim()).toBe(written);
});
