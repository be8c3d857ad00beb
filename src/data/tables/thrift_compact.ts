/** Kinds of values in Thrift's compact protocol. */
const kinds = {
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  struct: 12,
};

/** A struct of Thrift, its fields by their numbers. */
export class Fields {
  readonly #values: ReadonlyMap<number, number | boolean | Fields>;
  constructor(values: ReadonlyMap<number, number | boolean | Fields>) {
    this.#values = values;
  }

  number(field: number): number {
    const value = this.#values.get(field);
    if (typeof value !== "number") throw new Error(`field ${field} of a page header is missing`);
    return value;
  }

  /** A number that counts something. */
  size(field: number): number {
    const value = this.number(field);
    if (value < 0) throw new Error(`field ${field} of a page header is ${value}`);
    return value;
  }

  flag(field: number, missing: boolean): boolean {
    const value = this.#values.get(field);
    return typeof value === "boolean" ? value : missing;
  }

  struct(field: number): Fields | undefined {
    const value = this.#values.get(field);
    return value instanceof Fields ? value : undefined;
  }
}

/** Headers nest two deep; what nests deeper is no header. */
const DEEPEST = 8;

/** Reads Thrift's compact protocol: numbers, flags and structs; it passes over texts and lists. */
export class CompactReader {
  readonly bytes: Uint8Array;
  offset = 0;
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  byte(): number {
    const value = this.bytes[this.offset++];
    if (value === undefined) throw new Error("it ends in the middle of a page");
    return value;
  }

  /** Little-endian. */
  u32(): number {
    return this.byte() + 2 ** 8 * this.byte() + 2 ** 16 * this.byte() + 2 ** 24 * this.byte();
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      if (factor > 2 ** 63) throw new Error("a number of a page header does not end");
      const byte = this.byte();
      value += (byte % 128) * factor;
      if (byte < 128) return value;
    }
  }

  struct(depth = 0): Fields {
    if (depth > DEEPEST) throw new Error(`a page header nests over ${DEEPEST} deep`);
    const values = new Map<number, number | boolean | Fields>();
    let field = 0;
    for (let head = this.byte(); head !== 0; head = this.byte()) {
      field = head >= 16 ? field + (head >> 4) : this.#zigzag();
      const value = this.#value(head % 16, depth);
      if (value !== undefined) values.set(field, value);
    }
    return new Fields(values);
  }

  #zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #value(kind: number, depth: number): number | boolean | Fields | undefined {
    if (kind === kinds.true || kind === kinds.false) return kind === kinds.true;
    if (kind === kinds.byte) return this.byte();
    if (kind === kinds.i16 || kind === kinds.i32 || kind === kinds.i64) return this.#zigzag();
    if (kind === kinds.struct) return this.struct(depth + 1);
    if (kind === kinds.list) this.#passList(depth);
    else if (kind === kinds.double) this.#pass(8);
    else if (kind === kinds.binary) this.#pass(this.varint());
    else throw new Error(`a page header has a field of kind ${kind}`);
    return undefined;
  }

  #pass(bytes: number): void {
    this.offset += bytes;
    if (this.offset > this.bytes.length) throw new Error("it ends in the middle of a page");
  }

  #passList(depth: number): void {
    const head = this.byte();
    const count = head >> 4 === 15 ? this.varint() : head >> 4;
    const kind = head % 16;
    for (let i = 0; i < count; i++) {
      // flags of a list are bytes
      if (kind === kinds.true || kind === kinds.false) this.byte();
      else this.#value(kind, depth + 1);
    }
  }
}
