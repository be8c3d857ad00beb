import { internal } from "../errors.js";

/**
 * A dimension: a number, or a polynomial in canonical form over names and whole parts of divisions, such as
 * "seq", "past+seq", "batch*seq", "(height-7)/2+1". Two dimensions are equal exactly when they are `===`.
 */
export type Dim = number | string;
/** A size for each axis. */
export type Shape = readonly Dim[];

/** Monomial ("batch*seq", "" for the constant) -> coefficient. */
export type Polynomial = ReadonlyMap<string, number>;

export function parseDim(dim: Dim): Polynomial {
  if (typeof dim === "number") return new Map(dim === 0 ? [] : [["", dim]]);
  return remembered(parsed, dim, () => parseText(dim));
}

/** Models are written with a few hundred dimensions, each of them asked for thousands of times. */
const parsed: Map<string, Polynomial> = new Map();
const products: Map<string, Dim> = new Map();
const MANY = 10_000;

function remembered<T>(known: Map<string, T>, key: string, make: () => T): T {
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = make();
  if (known.size > MANY) known.clear();
  known.set(key, made);
  return made;
}

function parseText(dim: string): Polynomial {
  const terms = new Map<string, number>();
  for (const [, sign, term = ""] of dim.matchAll(TERM)) {
    let coefficient = sign === "-" ? -1 : 1;
    const names: string[] = [];
    for (const factor of factorsOf(term)) {
      const number = Number(factor);
      if (Number.isNaN(number)) names.push(factor);
      else coefficient *= number;
    }
    const monomial = names.sort().join("*");
    terms.set(monomial, (terms.get(monomial) ?? 0) + coefficient);
  }
  return terms;
}

/** What stands in brackets is one factor, three divisions deep at most: "((height-1)/2+1)/2". */
const BRACKETS = [1, 2, 3, 4, 5].reduce((inner) => `\\((?:[^()]|${inner})*\\)/\\d+`, "(?!)");
const FACTOR = `(?:[^-+*()/]|${BRACKETS})+`;
const TERM = new RegExp(`([-+]?)(${FACTOR}(?:\\*${FACTOR})*)`, "g");
const FACTORS = new RegExp(FACTOR, "g");
const QUOTIENT = /^\((.*)\)\/(\d+)$/s;

/** The names and quotients that a monomial multiplies. */
export function factorsOf(monomial: string): string[] {
  return monomial === "" ? [] : (monomial.match(FACTORS) ?? []);
}

/** What a factor divides, and by what; undefined: it is a name. */
export function quotientOf(factor: string): { readonly dim: Dim; readonly by: number } | undefined {
  const [, dim, by] = QUOTIENT.exec(factor) ?? [];
  return dim === undefined ? undefined : { dim, by: Number(by) };
}

/**
 * The whole part of dim / by. What `by` divides stands outside of the quotient, so that (4*h+7)/4 is
 * h+1.
 */
export function divDims(dim: Dim, by: number): Dim {
  if (typeof dim === "number") return Math.floor(dim / by);
  if (by === 1) return dim;
  const nested = quotientAlone(dim);
  // the whole part of (x / a + c) / by is that of (x + a c) / (a by)
  if (nested !== undefined) return divDims(addDims(nested.dim, nested.by * nested.more), nested.by * by);
  const [whole, rest] = [new Map<string, number>(), new Map<string, number>()];
  for (const [monomial, coefficient] of parseDim(dim)) {
    if (coefficient % by === 0) whole.set(monomial, coefficient / by);
    else if (monomial === "") {
      whole.set("", Math.floor(coefficient / by));
      rest.set("", coefficient - by * Math.floor(coefficient / by));
    } else rest.set(monomial, coefficient);
  }
  const left = formatDim(rest);
  return addDims(formatDim(whole), typeof left === "number" ? 0 : `(${left})/${by}`);
}

/** A quotient plus a number. */
function quotientAlone(
  dim: Dim,
): { readonly dim: Dim; readonly by: number; readonly more: number } | undefined {
  const { "": more = 0, ...others } = Object.fromEntries(parseDim(dim));
  const [[factor, coefficient] = ["", 0], ...rest] = Object.entries(others);
  const quotient = coefficient === 1 && rest.length === 0 ? quotientOf(factor) : undefined;
  return quotient && { ...quotient, more };
}

function formatDim(terms: Map<string, number>): Dim {
  let text = "";
  for (const [monomial, coefficient] of [...terms].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (coefficient === 0 || monomial === "") continue;
    const sign = coefficient < 0 ? "-" : text === "" ? "" : "+";
    const factor = Math.abs(coefficient) === 1 ? "" : `${Math.abs(coefficient)}*`;
    text += sign + factor + monomial;
  }
  const constant = terms.get("") ?? 0;
  if (text === "") return constant;
  return constant === 0 ? text : `${text}${constant < 0 ? "-" : "+"}${Math.abs(constant)}`;
}

/** The length of an axis; a negative axis counts from the end. */
export function dimAt(shape: Shape, axis: number): Dim {
  return shape.at(axis) ?? internal(`no axis ${axis} of [${shape}]`);
}

/** The same where a length is a number, as widths are. */
export function lengthAt(shape: Shape, axis: number): number {
  const dim = dimAt(shape, axis);
  return typeof dim === "number" ? dim : internal(`axis ${axis} of [${shape}] has no fixed length`);
}

interface Axes<D> {
  1: readonly [D];
  2: readonly [D, D];
  3: readonly [D, D, D];
  4: readonly [D, D, D, D];
}

/** The lengths of a shape that has so many axes. */
export function axes<D extends Dim, N extends keyof Axes<D>>(shape: readonly D[], count: N): Axes<D>[N] {
  return hasAxes(shape, count) ? shape : internal(`[${shape}] does not have ${count} axes`);
}

function hasAxes<D extends Dim, N extends keyof Axes<D>>(
  shape: readonly D[],
  count: N,
): shape is readonly D[] & Axes<D>[N] {
  return shape.length === count;
}

/** Whether no length has a name. */
export function isFixedShape(shape: Shape): shape is readonly number[] {
  return shape.every((dim) => typeof dim === "number");
}

export function addDims(...dims: readonly Dim[]): Dim {
  if (isFixedShape(dims)) return dims.reduce((a, b) => a + b, 0);
  const terms = new Map<string, number>();
  for (const dim of dims)
    for (const [monomial, c] of parseDim(dim)) terms.set(monomial, (terms.get(monomial) ?? 0) + c);
  return formatDim(terms);
}

export function subDims(a: Dim, b: Dim): Dim {
  return addDims(a, mulDims(b, -1));
}

export function mulDims(...dims: readonly Dim[]): Dim {
  if (isFixedShape(dims)) return dims.reduce((a, b) => a * b, 1);
  return remembered(products, dims.join(" "), () => product(dims));
}

function product(dims: readonly Dim[]): Dim {
  let product: Map<string, number> = new Map([["", 1]]);
  for (const dim of dims) {
    const next = new Map<string, number>();
    for (const [m1, c1] of product)
      for (const [m2, c2] of parseDim(dim)) {
        const monomial = [...factorsOf(m1), ...factorsOf(m2)].sort().join("*");
        next.set(monomial, (next.get(monomial) ?? 0) + c1 * c2);
      }
    product = next;
  }
  return formatDim(product);
}

/** The value of a dimension where its names are known. */
export function evalDim(dim: Dim, names: ReadonlyMap<string, number>): number {
  if (typeof dim === "number") return dim;
  let total = 0;
  for (const [monomial, coefficient] of parseDim(dim)) {
    let term = coefficient;
    for (const factor of factorsOf(monomial)) term *= evalFactor(factor, names, dim);
    total += term;
  }
  return total;
}

function evalFactor(factor: string, names: ReadonlyMap<string, number>, dim: Dim): number {
  const quotient = quotientOf(factor);
  if (quotient !== undefined) return Math.floor(evalDim(quotient.dim, names) / quotient.by);
  return names.get(factor) ?? internal(`dimension "${factor}" of "${dim}" has no value`);
}

/** Where a dimension's name can be read: an axis of a value, less terms that are known otherwise. */
export interface DimSource<V> {
  readonly value: V;
  readonly axis: number;
  readonly less: readonly Dim[];
}

/** Each axis of a value tells one name, alone ("seq") or plus others that some axis tells ("past+seq"). */
export function findDims<V>(values: readonly { shape: Shape; value: V }[]): Map<string, DimSource<V>> {
  const found = new Map<string, DimSource<V>>();
  const axes = values.flatMap(({ shape, value }) =>
    shape.flatMap((dim, axis) => (typeof dim === "number" ? [] : [{ terms: parseDim(dim), axis, value }])),
  );
  axes.sort((a, b) => a.terms.size - b.terms.size);
  for (let before = -1; before < found.size; ) {
    before = found.size;
    for (const { terms, axis, value } of axes) {
      const [name, ...more] = [...terms.keys()].flatMap(namesOf).filter((name) => !found.has(name));
      if (name === undefined || more.length > 0 || terms.get(name) !== 1) continue;
      const others = [...terms].filter(([m]) => m !== name);
      found.set(name, { value, axis, less: others.map(([m, c]) => (m === "" ? c : `${c}*${m}`)) });
    }
  }
  return found;
}

/** A dimension's value, of the shape of the value that tells it. */
export function solveDim(
  { axis, less }: Omit<DimSource<unknown>, "value">,
  shape: readonly number[],
  known: ReadonlyMap<string, number>,
): number {
  const length = shape[axis] ?? internal(`no axis ${axis} of [${shape}]`);
  return less.reduce<number>((n, dim) => n - evalDim(dim, known), length);
}

function namesOf(monomial: string): string[] {
  return factorsOf(monomial).flatMap((factor) => {
    const quotient = quotientOf(factor);
    return quotient === undefined ? [factor] : dimNames(quotient.dim);
  });
}

/** The names that a dimension is made of. */
export function dimNames(dim: Dim): string[] {
  return typeof dim === "number" ? [] : [...parseDim(dim).keys()].flatMap(namesOf);
}

/** The dimension with other names for its names. */
export function renameDim(dim: Dim, rename: (name: string) => string): Dim {
  if (typeof dim === "number") return dim;
  const terms = [...parseDim(dim)].map(([m, c]) => {
    const factors = factorsOf(m).map((factor) => {
      const quotient = quotientOf(factor);
      return quotient === undefined ? rename(factor) : divDims(renameDim(quotient.dim, rename), quotient.by);
    });
    return mulDims(c, ...factors);
  });
  return addDims(0, ...terms);
}

/** The name of a dimension that only its owner's tensors have, such as an adapter's rank. */
export function localDim(owner: string, name: string): string {
  return `${owner}.${name}`;
}

export function isLocalDim(name: string): boolean {
  return name.includes(".");
}

/** Numpy's broadcasting of two shapes, aligned at the end. */
export function broadcast(a: Shape, b: Shape): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x === y || y === 1) return x;
    if (x === 1) return y;
    return internal(`shapes [${a}] and [${b}] do not broadcast`);
  });
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((d, i) => d === b[i]);
}
