// Numbers in English words as digits: "twenty one hundred and five" is 2105, "one oh one" 101, "twenty
// dollars" $20.

const ONES = [
  ...["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
  ...["thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"],
];
const TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const POWERS = [
  ...["thousand", "million", "billion", "trillion", "quadrillion", "quintillion", "sextillion", "septillion"],
  ...["octillion", "nonillion", "decillion"],
];
const ORDINALS: Readonly<Record<string, string>> = {
  ...{ one: "first", two: "second", three: "third", five: "fifth", eight: "eighth", twelve: "twelfth" },
};

interface Numeral {
  /** A digit or a teen, a ten, a power of ten. */
  readonly kind: "zero" | "one" | "ten" | "power";
  readonly value: bigint;
  /** "s", "th", "nd": what makes it a plural or an ordinal. */
  readonly suffix: string;
}

const NUMERALS: ReadonlyMap<string, Numeral> = new Map(numerals());
const SIGNS: ReadonlyMap<string, string> = new Map(
  Object.entries({ minus: "-", negative: "-", plus: "+", positive: "+" }),
);
const MONEY = new Map(
  Object.entries({ pound: "£", euro: "€", dollar: "$", cent: "¢" }).flatMap(([word, sign]) => [
    [word, sign] as const,
    [`${word}s`, sign] as const,
  ]),
);
const SPECIALS = new Set(["and", "double", "triple", "point"]);
const DIGITS = /^\d+(\.\d+)?$/;

function* numerals(): Generator<[string, Numeral]> {
  for (const word of ["o", "oh", "zero"]) yield [word, { kind: "zero", value: 0n, suffix: "" }];
  yield ["zeroth", { kind: "one", value: 0n, suffix: "th" }];
  for (const [i, word] of ONES.entries()) {
    const value = BigInt(i + 1);
    yield [word, { kind: "one", value, suffix: "" }];
    yield [word === "six" ? "sixes" : `${word}s`, { kind: "one", value, suffix: "s" }];
    const ordinal = ORDINALS[word] ?? `${word}th`;
    yield [ordinal, { kind: "one", value, suffix: ordinal.slice(-2) }];
  }
  for (const [i, word] of TENS.entries()) {
    const value = BigInt(10 * (i + 2));
    yield [word, { kind: "ten", value, suffix: "" }];
    yield [word.replace("y", "ies"), { kind: "ten", value, suffix: "s" }];
    yield [word.replace("y", "ieth"), { kind: "ten", value, suffix: "th" }];
  }
  for (const [i, word] of ["hundred", ...POWERS].entries()) {
    const value = i === 0 ? 100n : 10n ** BigInt(3 * i);
    for (const suffix of ["", "s", "th"]) yield [word + suffix, { kind: "power", value, suffix }];
  }
}

/** Reads words from left to right; a number grows until a word ends it. */
class NumberReader {
  readonly out: string[] = [];
  /** What has been read of a number: one that can still be added to, or digits that are only put behind. */
  #value: bigint | string | undefined;
  #prefix = "";

  /** Ends the number that is read. */
  flush(suffix = ""): void {
    if (this.#value === undefined) return;
    const value = `${this.#value}${suffix}`;
    this.#value = undefined;
    this.word(value);
  }

  word(text: string): void {
    this.out.push(this.#prefix + text);
    this.#prefix = "";
    this.#value = undefined;
  }

  get isReading(): boolean {
    return this.#value !== undefined;
  }

  set prefix(sign: string) {
    this.#prefix = sign;
  }

  /** Digits as they stand. */
  digits(text: string, sign: string): void {
    if (typeof this.#value === "string" && this.#value.endsWith(".")) {
      this.#value += sign + text;
      return;
    }
    this.flush();
    if (sign !== "") this.#prefix = sign;
    const [whole = "", fraction = ""] = text.split(".");
    this.#value = /^0*$/.test(fraction) ? BigInt(whole) : text;
  }

  append(text: string): void {
    const before = this.#value === undefined || this.#value === 0n ? "" : `${this.#value}`;
    this.#value = before + text;
  }

  /** A numeral behind another one: `before` is the word before it. */
  numeral({ kind, value, suffix }: Numeral, before: Numeral | undefined): void {
    if (kind === "zero") this.append("0");
    else if (kind === "power") this.#power(value);
    else this.#small(kind, value, before);
    if (kind !== "zero" && suffix !== "") this.flush(suffix);
  }

  #small(kind: "one" | "ten", value: bigint, before: Numeral | undefined): void {
    const whole = this.#value;
    const isAfterOne = before?.kind === "one" && before.suffix === "";
    const isAfterTen = before?.kind === "ten" && before.suffix === "";
    const joins = kind === "one" && (typeof whole === "string" || isAfterOne);
    if (whole === undefined) this.#value = value;
    else if (joins && isAfterTen && value < 10n) this.#value = `${whole}`.slice(0, -1) + value;
    else if (typeof whole === "string" || joins) this.#value = `${whole}${value}`;
    else if (whole % (kind === "one" && value < 10n ? 10n : 100n) === 0n) this.#value = whole + value;
    else this.#value = `${whole}${value}`;
  }

  #power(value: bigint): void {
    const whole = this.#value;
    if (whole === undefined) this.#value = value;
    else if (typeof whole === "string" || whole === 0n) {
      const product = times(`${whole}`, value);
      // A product of nothing is a number of its own only where it is not whole.
      if (product === undefined) this.flush();
      this.#value = product ?? value;
    } else this.#value = (whole / 1000n) * 1000n + (whole % 1000n) * value;
  }
}

/** A decimal number times a whole one, where that is whole. */
function times(text: string, value: bigint): bigint | undefined {
  const [whole = "", fraction = ""] = text.split(".");
  if (!/^\d*\.?\d+$/.test(text)) return undefined;
  const [product, unit] = [BigInt(whole + fraction) * value, 10n ** BigInt(fraction.length)];
  return product % unit === 0n ? product / unit : undefined;
}

/** English numbers as digits. Reference: transformers' EnglishNumberNormalizer */
export function digitsOf(text: string): string {
  const words = prepared(text)
    .split(/\s+/)
    .filter((word) => word !== "");
  const reader = new NumberReader();
  for (let i = 0; i < words.length; i++) i += readWord(reader, words[i - 1], words[i] ?? "", words[i + 1]);
  reader.flush();
  return polished(reader.out.join(" "));
}

const isNumber = (word: string | undefined): boolean => word !== undefined && DIGITS.test(word);
const isKnown = (word: string | undefined): boolean =>
  word !== undefined &&
  (NUMERALS.has(word) ||
    SIGNS.has(word) ||
    MONEY.has(word) ||
    SPECIALS.has(word) ||
    /^per(cent)?$/.test(word));

/** Reads one word; 1 where the next one was read with it. */
function readWord(
  reader: NumberReader,
  before: string | undefined,
  word: string,
  next: string | undefined,
): number {
  const sign = /^[-+£€$¢]/.exec(word)?.[0] ?? "";
  const numeral = NUMERALS.get(word);
  const money = MONEY.get(word);
  if (isNumber(word.slice(sign.length))) reader.digits(word.slice(sign.length), sign);
  else if (numeral !== undefined) reader.numeral(numeral, NUMERALS.get(before ?? ""));
  else if (SIGNS.has(word)) readSign(reader, word, next);
  else if (money !== undefined && reader.isReading) {
    reader.prefix = money;
    reader.flush();
  } else if (/^per(cent)?$/.test(word) && reader.isReading) return readPercent(reader, word, next);
  else if (SPECIALS.has(word)) return readSpecial(reader, before, word, next);
  else {
    reader.flush();
    reader.word(word);
  }
  return 0;
}

function readSign(reader: NumberReader, word: string, next: string | undefined): void {
  reader.flush();
  if (isKnown(next) || isNumber(next)) reader.prefix = SIGNS.get(word) ?? "";
  else reader.word(word);
}

function readPercent(reader: NumberReader, word: string, next: string | undefined): number {
  if (word === "percent" || next === "cent") {
    reader.flush("%");
    return word === "per" ? 1 : 0;
  }
  reader.flush();
  reader.word(word);
  return 0;
}

function readSpecial(
  reader: NumberReader,
  before: string | undefined,
  word: string,
  next: string | undefined,
): number {
  const follows = isKnown(next) || isNumber(next);
  const following = NUMERALS.get(next ?? "");
  const previous = NUMERALS.get(before ?? "");
  const isDigit = following !== undefined && following.suffix === "" && following.kind !== "power";
  if (follows && word === "and" && previous?.kind === "power" && previous.suffix === "") return 0;
  if (follows && word === "point") {
    if (isDigit || isNumber(next)) reader.append(".");
    return 0;
  }
  if (follows && (word === "double" || word === "triple") && isDigit && following.kind !== "ten") {
    reader.append(`${following.value}`.repeat(word === "double" ? 2 : 3));
    return 1;
  }
  reader.flush();
  reader.word(word);
  return 0;
}

/** "two and a half" as "two point five"; letters and digits apart, but for ordinals. */
function prepared(text: string): string {
  const parts = text.split(/\band\s+a\s+half\b/);
  const halves = parts.flatMap((part, i) => {
    if (part.trim() === "") return [];
    if (i === parts.length - 1) return [part];
    const last = NUMERALS.get(part.trim().split(/\s+/).at(-1) ?? "");
    return [part, last !== undefined && last.suffix === "" ? "point five" : "and a half"];
  });
  return halves
    .join(" ")
    .replace(/([a-z])([0-9])/g, "$1 $2")
    .replace(/([0-9])([a-z])/g, "$1 $2")
    .replace(/([0-9])\s+(st|nd|rd|th|s)\b/g, "$1$2");
}

/** "$2 and ¢7" as "$2.07"; "one" and "ones" as words. */
function polished(text: string): string {
  return text
    .replace(
      /([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b/g,
      (_, sign, whole, cents) => `${sign}${whole}.${cents.padStart(2, "0")}`,
    )
    .replace(/[€£$]0.([0-9]{1,2})\b/g, (_, cents) => `¢${Number(cents)}`)
    .replace(/\b1(s?)\b/g, "one$1");
}
