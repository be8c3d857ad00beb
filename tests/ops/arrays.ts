/** An array of numbers in row-major order; integers and booleans (0, 1) are numbers too. */
export interface Value {
  readonly data: Float64Array;
  readonly shape: readonly number[];
}

export function count(shape: readonly number[]): number {
  return shape.reduce((product, d) => product * d, 1);
}

export function value(data: ArrayLike<number>, shape: readonly number[]): Value {
  if (data.length !== count(shape)) throw new Error(`${data.length} numbers for shape [${shape}]`);
  return { data: Float64Array.from(data), shape };
}

/** Distance in `data` between neighbours along each axis. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let i = shape.length - 2; i >= 0; i--) strides[i] = strides[i + 1]! * shape[i + 1]!;
  return strides;
}

/**
 * The element at an index of a shape that x broadcasts to: axes align at the end, and an axis of length 1
 * repeats.
 */
export function at(x: Value, index: readonly number[]): number {
  let offset = 0;
  const lead = index.length - x.shape.length;
  for (let i = 0; i < x.shape.length; i++) {
    const d = x.shape[i]!;
    offset = offset * d + (d === 1 ? 0 : index[lead + i]!);
  }
  return x.data[offset]!;
}

/** Calls `visit` with each index of a shape, in row-major order. The index is reused: copy it to keep it. */
export function eachIndex(
  shape: readonly number[],
  visit: (index: readonly number[], offset: number) => void,
): void {
  const index = shape.map(() => 0);
  const total = count(shape);
  for (let offset = 0; offset < total; offset++) {
    visit(index, offset);
    for (let i = shape.length - 1; i >= 0; i--) {
      if (++index[i]! < shape[i]!) break;
      index[i] = 0;
    }
  }
}

export function build(shape: readonly number[], element: (index: readonly number[]) => number): Value {
  const data = new Float64Array(count(shape));
  eachIndex(shape, (index, offset) => {
    data[offset] = element(index);
  });
  return { data, shape };
}

export function broadcastShapes(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => {
    const dims = shapes.map((s) => s[i - rank + s.length] ?? 1);
    return dims.find((d) => d !== 1) ?? 1;
  });
}

export function map(f: (...numbers: number[]) => number, ...inputs: readonly Value[]): Value {
  return build(broadcastShapes(...inputs.map((x) => x.shape)), (index) =>
    f(...inputs.map((x) => at(x, index))),
  );
}

/** Applies a function to each row along the last axis; a row may become longer or shorter. */
export function mapRows(x: Value, f: (row: Float64Array, i: number) => ArrayLike<number>): Value {
  const width = x.shape.at(-1)!;
  const lead = x.shape.slice(0, -1);
  const rows = Array.from({ length: count(lead) }, (_, i) =>
    Float64Array.from(f(x.data.slice(i * width, (i + 1) * width), i)),
  );
  const out = rows[0]?.length ?? f(new Float64Array(width), 0).length;
  const data = new Float64Array(rows.length * out);
  rows.forEach((row, i) => {
    data.set(row, i * out);
  });
  return { data, shape: [...lead, out] };
}

export function total(numbers: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < numbers.length; i++) sum += numbers[i]!;
  return sum;
}
