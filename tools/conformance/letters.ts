import { join } from "node:path";
import { AutoTokenizer } from "../../src/tokenizers/auto.js";
import { type Heard, heardLetters, heardWords } from "../../src/tokenizers/letters.js";
import { json } from "./files.js";
import type { CaseResult } from "./result.js";
import { type Check, equal } from "./tensors.js";

// ctc/text.json of a media kit: what a tokenizer of characters makes of texts and of frames.

interface Offsets {
  readonly start_offset: number;
  readonly end_offset: number;
}

interface Decoded {
  readonly ids: readonly number[];
  readonly text: string;
  readonly skip_special: string;
  readonly ungrouped: string;
  readonly chars: readonly (Offsets & { readonly char: string })[];
  readonly words: readonly (Offsets & { readonly word: string })[];
}

interface LettersFile {
  readonly decode: Readonly<Record<string, Decoded>>;
  readonly encode: readonly { readonly text: string; readonly ids: readonly number[] }[];
}

export async function runLetters(kit: string): Promise<CaseResult> {
  const file = json<LettersFile>(kit, "ctc", "text.json");
  const tokenizer = await AutoTokenizer.fromPretrained(join(kit, "ctc", "tokenizer"));
  const { letters: rules } = tokenizer;
  if (rules === undefined) throw new Error("the kit's tokenizer is none of letters");
  const checks: Check[] = file.encode.map(({ text, ids }) =>
    equal(`encode ${JSON.stringify(text)}`, tokenizer.encode(text), ids),
  );
  for (const [name, { ids, text, skip_special, ungrouped, chars, words }] of Object.entries(file.decode)) {
    const frames = tokenizer.convertIdsToTokens(ids).map((token) => token ?? "");
    const letters = heardLetters(frames, rules);
    const parts = (heard: readonly Heard[]): unknown =>
      heard.map(({ text, start, end }) => [text, start, end]);
    checks.push(
      equal(`${name}.text`, tokenizer.decode(ids), text),
      equal(`${name}.skip_special`, tokenizer.decode(ids, { skipSpecialTokens: true }), skip_special),
      equal(`${name}.ungrouped`, tokenizer.decode(ids, { groupTokens: false }), ungrouped),
      equal(
        `${name}.chars`,
        parts(letters),
        chars.map((one) => [one.char, one.start_offset, one.end_offset]),
      ),
      equal(
        `${name}.words`,
        parts(heardWords(letters, rules)),
        words.map((one) => [one.word, one.start_offset, one.end_offset]),
      ),
    );
  }
  return { checks };
}
