import type { Budget } from "../budget.js";
import { cut, len } from "../characters.js";
import { raise } from "../fault.js";
import { toFloat, toInt } from "./conversions.js";
import { floatText, intText, repr, str } from "./printing.js";
import { Dict, isInt, isNumber, numeric, Tuple, typeName, type Value } from "./values.js";

/** How a value is laid out: the flags of `%` and of format() alike. */
type Layout = {
  readonly fill: string;
  readonly align: string;
  readonly sign: string;
  readonly alternate: boolean;
  readonly grouping: string;
  readonly width: number;
  readonly precision: number | undefined;
  readonly type: string;
};

const MOST_PRECISION = 70;

function pad(text: string, layout: Layout, budget: Budget): string {
  const room = Math.max(0, layout.width - len(text));
  budget.spendText(text.length + room);
  if (layout.align === "<") return text + layout.fill.repeat(room);
  if (layout.align === "^") {
    return layout.fill.repeat(Math.floor(room / 2)) + text + layout.fill.repeat(Math.ceil(room / 2));
  }
  if (layout.align !== "=") return layout.fill.repeat(room) + text;
  const sign = /^[-+ ]?(?:0[box])?/i.exec(text)?.[0] ?? "";
  return sign + layout.fill.repeat(room) + text.slice(sign.length);
}

/** The digits of a number, without its sign. */
function digitsOf(value: bigint | number, layout: Layout): string {
  const { type, precision, alternate } = layout;
  if ("bdoxXn".includes(type) && typeof value === "bigint") {
    const base = type === "b" ? 2 : type === "o" ? 8 : type === "x" || type === "X" ? 16 : 10;
    const digits = base === 10 ? intText(value) : value.toString(base);
    const prefix = alternate && base !== 10 ? `0${type}` : "";
    return prefix + (type === "X" ? digits.toUpperCase() : digits);
  }
  const number = toFloat(value);
  if (!Number.isFinite(number))
    return /[EFG]/.test(type) ? floatText(number).toUpperCase() : floatText(number);
  const places = precision ?? 6;
  if (places > MOST_PRECISION) raise("ValueError", `a precision of ${places} is too big`);
  if (type === "f" || type === "F") return fixed(number, places);
  if (type === "%") return `${fixed(number * 100, places)}%`;
  const text = type === "e" || type === "E" ? exponent(exponential(number, places)) : general(number, layout);
  return type === "E" || type === "G" ? text.toUpperCase() : text;
}

/** Digits beyond the last one wanted, which tell a tie from a number near it. */
const BEYOND = 30;

/**
 * Python rounds a tie to the even digit, JavaScript up: that of the longer text is cut off where it is even.
 */
function tiesToEven(rounded: string, longer: string): string {
  const cutOff = longer.slice(0, -BEYOND).replace(/\.$/, "");
  return /^50*$/.test(longer.slice(-BEYOND)) && /[02468]$/.test(cutOff) ? cutOff : rounded;
}

/** A number that is not negative, with this many digits after the point. */
export function fixed(value: number, places: number): string {
  if (value >= 1e21) return BigInt(value).toString() + (places > 0 ? `.${"0".repeat(places)}` : "");
  return tiesToEven(value.toFixed(places), value.toFixed(Math.min(100, places + BEYOND)));
}

function exponential(value: number, places: number): string {
  const [rounded = "", power] = value.toExponential(places).split("e");
  const [longer = ""] = value.toExponential(Math.min(100, places + BEYOND)).split("e");
  return `${tiesToEven(rounded, longer)}e${power}`;
}

/** Python writes two digits of an exponent at least. */
function exponent(text: string): string {
  return text.replace(/e([+-])(\d)$/, "e$10$2");
}

function general(value: number, { precision, type, alternate }: Layout): string {
  if (type === "" && precision === undefined) return floatText(value);
  const places = Math.max(1, precision ?? 6);
  const power = value === 0 ? 0 : Number(exponential(value, places - 1).split("e")[1]);
  const limit = type === "" ? places - 1 : places; // format() without a type keeps one digit after the point
  const scientific = power < -4 || power >= limit;
  const text = scientific ? exponential(value, places - 1) : fixed(value, Math.max(0, places - 1 - power));
  const trimmed = alternate || !text.includes(".") ? text : text.replace(/\.?0+(?=e|$)/, "");
  if (scientific) return exponent(trimmed);
  return type === "" && !trimmed.includes(".") ? `${trimmed}.0` : trimmed;
}

function numberText(value: bigint | number, layout: Layout, budget: Budget): string {
  const isNegative = value < 0 || Object.is(value, -0);
  let digits = digitsOf(isNegative ? -value : value, layout);
  if (layout.grouping !== "") {
    digits = digits.replace(/^\d+/, (whole) => whole.replace(/\B(?=(?:\d{3})+$)/g, layout.grouping));
  }
  const sign = isNegative ? "-" : layout.sign === "-" ? "" : layout.sign;
  return pad(sign + digits, layout, budget);
}

const spec = /^(?:([\s\S])?([<>=^]))?([-+ ]?)(#?)(0?)(\d*)([,_]?)(?:\.(\d+))?([bcdeEfFgGnosxX%]?)$/u;

/** Python's format(value, spec). */
export function formatValue(value: Value, text: string, budget: Budget): string {
  if (text === "") return str(value, budget);
  const found = spec.exec(text);
  if (!found) return raise("ValueError", `Invalid format specifier '${text}'`);
  const [, fill, align, sign, alternate, zero, width, grouping, precision, type = ""] = found;
  const numberLike = isNumber(value);
  if (type === "s" && numberLike) badType(type, value);
  const layout: Layout = {
    fill: fill ?? (zero ? "0" : " "),
    align: align ?? (numberLike ? (zero ? "=" : ">") : "<"),
    sign: sign || "-",
    alternate: alternate === "#",
    grouping: grouping ?? "",
    width: Number(width),
    precision: precision === undefined ? undefined : Number(precision),
    type,
  };
  if (!isNumber(value)) {
    if (typeof value !== "string") {
      raise("TypeError", `unsupported format string passed to ${typeName(value)}.__format__`);
    }
    if (type !== "" && type !== "s") badType(type, value);
    return pad(cut(value, 0, layout.precision), layout, budget);
  }
  const number = numeric(value);
  if (type === "c") return pad(String.fromCodePoint(Number(number)), layout, budget);
  if (typeof number === "number") {
    if ("bdoxXs".includes(type) && type !== "") badType(type, value);
    return numberText(number, { ...layout, type: type === "n" ? "g" : type }, budget);
  }
  if ("eEfFgG%".includes(type) && type !== "") return numberText(toFloat(number), layout, budget);
  if (layout.precision !== undefined)
    raise("ValueError", "Precision not allowed in integer format specifier");
  return numberText(number, { ...layout, type: type || "d" }, budget);
}

function badType(type: string, value: Value): never {
  return raise("ValueError", `Unknown format code '${type}' for object of type '${typeName(value)}'`);
}

/** Python's `text % values`. */
export function formatPercent(text: string, values: Value, budget: Budget): string {
  const list = values instanceof Tuple ? values.items : [values];
  let at = 0;
  const nextValue = (): Value => list[at++] ?? raisedNull(list, at);
  let named = false;
  const pattern = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+)?)?[hlL]?([\s\S]?)/g;
  const out = text.replace(pattern, (whole, key, flags, width, precision, type) => {
    if (type === "%") return "%";
    if (type === "") raise("ValueError", "incomplete format");
    const star = (part: string | undefined): number | undefined =>
      part === "*" ? Number(toInt(nextValue()) ?? 0n) : part === undefined ? undefined : Number(part);
    const wide = star(width);
    const places = star(precision) ?? (/\./.test(whole.slice(0, -1).replace(/\(.*\)/, "")) ? 0 : undefined);
    if (key !== undefined) named = true;
    const value = key === undefined ? nextValue() : lookUp(values, key);
    return percent(value, type, flags, wide ?? 0, places, budget);
  });
  if (!named && at < list.length && !(values instanceof Dict)) {
    raise("TypeError", "not all arguments converted during string formatting");
  }
  budget.spendText(out.length);
  return out;
}

function raisedNull(list: readonly Value[], at: number): Value {
  return at > list.length ? raise("TypeError", "not enough arguments for format string") : null;
}

function lookUp(values: Value, key: string): Value {
  if (!(values instanceof Dict)) return raise("TypeError", "format requires a mapping");
  const value = values.get(key);
  return value === undefined ? raise("KeyError", `'${key}'`) : value;
}

function percent(
  value: Value,
  type: string,
  flags: string,
  width: number,
  precision: number | undefined,
  budget: Budget,
): string {
  const numbers = "diouxXeEfFgG".includes(type);
  const zero = flags.includes("0") && !flags.includes("-") && numbers;
  const layout: Layout = {
    fill: zero ? "0" : " ",
    align: flags.includes("-") || width < 0 ? "<" : zero ? "=" : ">",
    sign: flags.includes("+") ? "+" : flags.includes(" ") ? " " : "-",
    alternate: flags.includes("#"),
    grouping: "",
    width: Math.abs(width),
    precision,
    type: type === "i" || type === "u" ? "d" : type,
  };
  if (type === "s") return pad(cut(str(value, budget), 0, precision), layout, budget);
  if (type === "r" || type === "a") return pad(cut(repr(value, budget), 0, precision), layout, budget);
  if (type === "c") return pad(oneCharacter(value), layout, budget);
  if (!numbers) raise("ValueError", `unsupported format character '${type}'`);
  if (!isNumber(value)) {
    const wanted = "eEfFgG".includes(type)
      ? "must be real number, not "
      : `%${type} format: a real number is required, not `;
    return raise("TypeError", wanted + typeName(value));
  }
  if ("eEfFgG".includes(type)) return numberText(toFloat(numeric(value)), layout, budget);
  if (!isInt(value) && "oxX".includes(type))
    raise("TypeError", `%${type} format: an integer is required, not float`);
  const whole = toInt(value);
  if (whole === undefined) return raise("OverflowError", "cannot convert float infinity to integer");
  return numberText(whole, layout, budget);
}

function oneCharacter(value: Value): string {
  if (isInt(value)) return String.fromCodePoint(Number(value));
  if (typeof value === "string" && len(value) === 1) return value;
  return raise("TypeError", "%c requires int or char");
}

/** Reaches an attribute or an item of a value in a replacement field, sandboxed as in the template. */
export type Reach = { attribute(of: Value, name: string): Value; item(of: Value, key: Value): Value };

/** Python's text.format(...). */
export function formatFields(
  text: string,
  positional: readonly Value[],
  named: Dict,
  reach: Reach,
  budget: Budget,
): string {
  let auto = 0;
  const field = (body: string, depth: number): string => {
    const [, name = "", conversion, layout = ""] =
      /^([^!:]*)(?:!([\s\S]?))?(?::([\s\S]*))?$/.exec(body) ?? [];
    const value = convert(
      reachField(name, (first) => pick(first)),
      conversion,
    );
    return formatValue(value, expand(layout, depth + 1), budget);
  };
  const convert = (value: Value, conversion: string | undefined): Value => {
    if (conversion === undefined) return value;
    if (conversion === "s") return str(value, budget);
    return conversion === "r" || conversion === "a"
      ? repr(value, budget)
      : raise("ValueError", `Unknown conversion specifier '${conversion}'`);
  };
  const pick = (first: string): Value => {
    if (first !== "" && !/^\d+$/.test(first)) {
      const value = named.get(first);
      return value === undefined ? raise("KeyError", `'${first}'`) : value;
    }
    const index = first === "" ? auto++ : Number(first);
    if (index >= positional.length)
      raise("IndexError", "Replacement index out of range for positional args tuple");
    return positional[index] ?? null;
  };
  const reachField = (name: string, first: (part: string) => Value): Value => {
    const parts = [...name.matchAll(/^[^.[]*|\.([^.[]*)|\[([^\]]*)\]/g)];
    let value = first(parts[0]?.[0] ?? "");
    for (const [, attribute, key] of parts.slice(1)) {
      if (attribute !== undefined) value = reach.attribute(value, attribute);
      else if (key !== undefined) value = reach.item(value, /^\d+$/.test(key) ? BigInt(key) : key);
    }
    return value;
  };
  const expand = (source: string, depth: number): string => {
    if (depth > 2) raise("ValueError", "Max string recursion exceeded");
    let out = "";
    for (let i = 0; i < source.length; i++) {
      const char = source[i];
      if (char !== "{" && char !== "}") out += char;
      else if (depth === 0 && source[i + 1] === char) out += source[i++];
      else if (char === "}") raise("ValueError", "Single '}' encountered in format string");
      else {
        const end = closingBrace(source, i);
        out += field(source.slice(i + 1, end), depth);
        i = end;
      }
    }
    return out;
  };
  const out = expand(text, 0);
  budget.spendText(out.length);
  return out;
}

function closingBrace(source: string, open: number): number {
  let depth = 0;
  for (let i = open; i < source.length; i++) {
    if (source[i] === "{") depth++;
    if (source[i] === "}" && --depth === 0) return i;
  }
  return raise("ValueError", "expected '}' before end of string");
}
