import { below, type Random } from "../../src/random.js";

/** Numbers, names and texts at which parsers break. */
const NUMBERS = [
  "0",
  "-1",
  "1",
  "1e9",
  "2147483648",
  "9007199254740993",
  "1e400",
  "-0",
  "0.5",
  "NaN",
  "1e-400",
];
const VALUES = ["null", "true", "[]", "{}", '""', '"\\u0000"', '"\\ud800"', '"__proto__"', '"constructor"'];
const TEXTS = [
  "__proto__",
  "toString",
  "\ufeff",
  "\u202e",
  "\u001b[2J",
  "\r\n",
  "'",
  '"',
  "{{",
  "{%",
  "((a+)+)+$",
  "\0",
];

/** One seeded, structured damage of a file after the other, up to four; `others` are spliced in. */
export function mutate(seed: Uint8Array, others: readonly Uint8Array[], next: Random): Uint8Array {
  let bytes = seed;
  for (let left = 1 + below(next, 4); left > 0; left--)
    bytes = MUTATIONS[below(next, MUTATIONS.length)]!(bytes, others, next);
  return bytes.subarray(0, MOST_BYTES);
}

const MOST_BYTES = 1 << 20;

type Mutation = (bytes: Uint8Array, others: readonly Uint8Array[], next: Random) => Uint8Array;

const at = (bytes: Uint8Array, next: Random): number => below(next, bytes.length + 1);

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

const flipBit: Mutation = (bytes, _, next) => {
  if (bytes.length === 0) return bytes;
  const copy = bytes.slice();
  copy[below(next, bytes.length)]! ^= 1 << below(next, 8);
  return copy;
};

const setByte: Mutation = (bytes, _, next) => {
  if (bytes.length === 0) return bytes;
  const copy = bytes.slice();
  const special = [0, 255, 127, 128, 10, 34, 92, 123];
  copy[below(next, bytes.length)] = below(next, 2) === 0 ? special[below(next, 8)]! : below(next, 256);
  return copy;
};

/** Little-endian 64-bit sizes: headers of safetensors, zip, Parquet. */
const setSize: Mutation = (bytes, _, next) => {
  if (bytes.length < 8) return bytes;
  const copy = bytes.slice();
  const sizes = [
    0n,
    1n,
    1n << 31n,
    1n << 32n,
    1n << 53n,
    (1n << 63n) - 1n,
    BigInt(bytes.length),
    100_000_000n,
  ];
  const view = new DataView(copy.buffer);
  const place = below(next, 3) === 0 ? 0 : below(next, bytes.length - 7);
  view.setBigUint64(place, sizes[below(next, sizes.length)]!, true);
  return copy;
};

const cut: Mutation = (bytes, _, next) => bytes.slice(0, at(bytes, next));

const remove: Mutation = (bytes, _, next) => {
  const [a, b] = [at(bytes, next), at(bytes, next)].sort((x, y) => x - y) as [number, number];
  return joined(bytes.subarray(0, a), bytes.subarray(Math.min(b, a + 64)));
};

const repeat: Mutation = (bytes, _, next) => {
  const [a, b] = [at(bytes, next), at(bytes, next)].sort((x, y) => x - y) as [number, number];
  const part = bytes.subarray(a, Math.min(b, a + 256));
  return joined(
    bytes.subarray(0, a),
    ...Array.from({ length: 1 + below(next, 32) }, () => part),
    bytes.subarray(a),
  );
};

const splice: Mutation = (bytes, others, next) => {
  const other = others[below(next, others.length)] ?? bytes;
  return joined(bytes.subarray(0, at(bytes, next)), other.subarray(at(other, next)));
};

const insertText: Mutation = (bytes, _, next) => {
  const text = new TextEncoder().encode(TEXTS[below(next, TEXTS.length)]);
  const place = at(bytes, next);
  return joined(bytes.subarray(0, place), text, bytes.subarray(place));
};

/**
 * Replaces one number, text or list of a text format, which leaves the rest sound: damage gets past the
 * syntax.
 */
const replaceToken: Mutation = (bytes, _, next) => {
  const text = Buffer.from(bytes).toString("latin1");
  const tokens = [
    ...text
      .slice(0, 1 << 17)
      .matchAll(/-?\d+(\.\d+)?([eE][+-]?\d+)?|"[^"\n]{0,200}"|\[[^[\]]{0,200}\]|true|false|null/g),
  ];
  const token = tokens[below(next, Math.max(tokens.length, 1))];
  if (token === undefined) return bytes;
  const isNumber = /^-?\d/.test(token[0]);
  const list = below(next, 4) === 0 ? VALUES : isNumber ? NUMBERS : VALUES;
  const value =
    below(next, 6) === 0 ? (tokens[below(next, tokens.length)]?.[0] ?? "") : list[below(next, list.length)]!;
  const place = token.index;
  return new Uint8Array(
    Buffer.from(text.slice(0, place) + value + text.slice(place + token[0].length), "latin1"),
  );
};

const deepen: Mutation = (bytes, _, next) => {
  const [open, close] = [
    ["[", "]"],
    ["{", "}"],
    ["(", ")"],
    ['{"a":', "}"],
  ][below(next, 4)] as [string, string];
  const depth = 1 + below(next, 2000);
  const place = at(bytes, next);
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text.repeat(depth));
  return joined(bytes.subarray(0, place), encode(open), encode(close), bytes.subarray(place));
};

const MUTATIONS: readonly Mutation[] = [
  flipBit,
  setByte,
  setSize,
  cut,
  remove,
  repeat,
  splice,
  insertText,
  replaceToken,
  replaceToken,
  replaceToken,
  deepen,
];
