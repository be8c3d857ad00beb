import { PeftError } from "../errors.js";
import { option, words } from "../words.js";
import type { Decoding } from "./resolve.js";
import type { TokenDecoder } from "./stepper.js";

/** Whether a sequence ends with `token` after `before`. */
export type Stops = (before: Int32Array, token: number) => boolean;

/**
 * End token, full length, or a stop string that the last token completed (it and its token stay in the
 * sequence).
 * Reference: generation/stopping_criteria.py
 */
export function makeStops(d: Decoding, tokenizer: TokenDecoder | undefined): Stops {
  const eos = new Set(d.eos);
  const text = d.stopStrings.length > 0 ? stopStrings(d.stopStrings, needTokenizer(d, tokenizer)) : undefined;
  return (before, token) =>
    eos.has(token) || before.length + 1 >= d.maxLength || (text?.(before, token) ?? false);
}

/**
 * A stop string counts if the last token completed it; one that stands whole in the text before does not.
 * Only as many tokens are decoded as the longest stop string has bytes, and a few, since a token may be a
 * byte.
 */
function stopStrings(stops: readonly string[], tokenizer: TokenDecoder): Stops {
  const bytes = Math.max(...stops.map((stop) => new TextEncoder().encode(stop).length));
  return (before, token) => {
    const window = [...before.subarray(Math.max(0, before.length - bytes - 8))];
    const old = tokenizer.decode(window, { skipSpecialTokens: false });
    const text = tokenizer.decode([...window, token], { skipSpecialTokens: false });
    const same = commonLength(old, text); // what the last token did not touch
    return stops.some((stop) => text.indexOf(stop, Math.max(0, same - stop.length + 1)) !== -1);
  };
}

/** How many characters both begin with. */
function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

function needTokenizer(d: Decoding, tokenizer: TokenDecoder | undefined): TokenDecoder {
  if (tokenizer) return tokenizer;
  throw new PeftError("generation", {
    what: words`${option("stopStrings", d.stopStrings)} without a tokenizer.`,
    why: "only a tokenizer can say which text the tokens make.",
    fix: words`pass { tokenizer } to generate, or use ${option("eosTokenId")}.`,
  });
}
