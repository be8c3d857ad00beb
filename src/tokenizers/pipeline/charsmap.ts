import type { Aligned, Change } from "./aligned.js";
import { transform } from "./aligned.js";
import { fault } from "./json.js";

/**
 * SentencePiece's compiled normalization rules: a Darts double-array trie and the replacements it points
 * at.
 */
export type Charsmap = (chunk: string) => string | undefined;

const encoder = new TextEncoder();
/** The longest replacement, in bytes; NFKC's takes 33. */
const LONGEST = 256;

/** Reads `precompiled_charsmap` (base64). Reference: the spm_precompiled crate. */
export function parseCharsmap(base64: string, where: string): Charsmap {
  const bytes = fromBase64(base64, where);
  if (bytes.length === 0) return () => undefined;
  const view = new DataView(bytes.buffer);
  const size = bytes.length >= 4 ? view.getUint32(0, true) : 0;
  if (size % 4 !== 0 || size + 4 > bytes.length) fault(where, "is cut short");
  const units = Uint32Array.from({ length: size / 4 }, (_, i) => view.getUint32(4 + 4 * i, true));
  const replacements = bytes.subarray(4 + size);
  const decoder = new TextDecoder();
  return (chunk) => {
    const at = shortestPrefix(units, encoder.encode(chunk));
    if (at === undefined || at >= replacements.length) return undefined;
    const rest = replacements.subarray(at, at + LONGEST + 1);
    const end = rest.indexOf(0);
    if (end < 0 && rest.length > LONGEST) fault(where, `replaces a character by more than ${LONGEST} bytes`);
    return decoder.decode(end < 0 ? rest : rest.subarray(0, end));
  };
}

function fromBase64(text: string, where: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return fault(where, "is not base64");
  }
}

/** The value of the shortest key that starts the chunk: Rust takes the first match, so ids depend on it. */
function shortestPrefix(units: Uint32Array, key: Uint8Array): number | undefined {
  let node = offset(units[0] ?? 0);
  for (const byte of key) {
    if (byte === 0) return undefined;
    node ^= byte;
    const unit = units[node];
    if (unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return undefined;
    node ^= offset(unit);
    if ((unit >>> 8) & 1) {
      const leaf = units[node];
      return leaf === undefined ? undefined : leaf & 0x7fffffff;
    }
  }
  return undefined;
}

function offset(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

/** The Precompiled normalizer: whole graphemes of under 6 bytes first, then single characters. */
export function precompiled(map: Charsmap): (a: Aligned) => Aligned {
  const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
  return (a) => {
    const changes: Change[] = [];
    let modified = false;
    const replace = (part: string, by: string): void => {
      modified = true;
      pushReplacement(changes, [...part].length, [...by]);
    };
    for (const { segment } of graphemes.segment(a.text)) {
      const whole = encoder.encode(segment).length < 6 ? map(segment) : undefined;
      if (whole !== undefined) {
        replace(segment, whole);
        continue;
      }
      for (const char of segment) {
        const by = map(char);
        if (by === undefined) changes.push([char, 0]);
        else replace(char, by);
      }
    }
    return modified ? transform(a, changes) : a;
  };
}

/** Extra characters at the end count as added; missing ones are charged to the last character written. */
function pushReplacement(changes: Change[], removed: number, by: string[]): void {
  for (const [i, char] of by.entries()) changes.push([char, i < removed ? 0 : 1]);
  if (by.length >= removed) return;
  const last = changes.pop();
  if (last) changes.push([last[0], last[1] + by.length - removed]);
}
