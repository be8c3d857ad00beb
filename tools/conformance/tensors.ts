import { nodeFiles } from "../../src/hub/files.js";
import { toF32 } from "../../src/hub/tensors/dtypes.js";
import { openSafetensors } from "../../src/hub/tensors/safetensors.js";

/** A tensor of a kit, as numbers. */
export interface KitTensor {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  readonly isInteger: boolean;
}

export async function readTensors(path: string): Promise<Map<string, KitTensor>> {
  const { tensors } = await openSafetensors(path);
  const out = new Map<string, KitTensor>();
  for (const [name, { shape, offset, bytes, dtype }] of tensors) {
    const raw = await nodeFiles.read(path, offset, bytes);
    const integer = dtype === "i64";
    const data = integer
      ? Float64Array.from(new BigInt64Array(raw.slice().buffer), Number)
      : Float64Array.from(toF32(raw, dtype));
    out.set(name, { shape, data, isInteger: integer });
  }
  return out;
}

/** What Python gave, and which of it nobody has looked at yet. */
export class Expected {
  readonly tensors: ReadonlyMap<string, KitTensor>;
  readonly #unread: Set<string>;

  constructor(tensors: ReadonlyMap<string, KitTensor>) {
    this.tensors = tensors;
    this.#unread = new Set(tensors.keys());
  }

  static async open(path: string): Promise<Expected> {
    return new Expected(await readTensors(path));
  }

  get keys(): readonly string[] {
    return [...this.tensors.keys()];
  }
  /** Keys that no check has taken. */
  get unread(): readonly string[] {
    return [...this.#unread].sort();
  }

  has(key: string): boolean {
    return this.tensors.has(key);
  }

  /** The tensor of this key, which counts as looked at from now on. */
  get(key: string): KitTensor | undefined {
    this.#unread.delete(key);
    return this.tensors.get(key);
  }
}

export interface Numbers {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/** One check of a case: its worst error as a share of what is allowed. Above 1 it fails. */
export interface Check {
  /** Its kind, a dot, and what was checked: "base.logits". */
  readonly key: string;
  readonly share: number;
  /** What is allowed; 0 where things must be equal. */
  readonly within: number;
  readonly note?: string;
}

export function isBad({ share }: Check): boolean {
  return !(share <= 1);
}

type Counts = (i: number) => boolean;

/** Absolute or relative error, whichever allows more. `counts`: which elements are anybody's business. */
export function compare(
  key: string,
  got: Numbers,
  expected: KitTensor | undefined,
  within: number,
  counts?: Counts,
): Check {
  const allowed = (x: number): number => within * Math.max(1, Math.abs(x));
  return compareWith(key, got, expected, within, allowed, counts);
}

/** Error as a share of `within` times the tensor's largest value, at least `floor`. */
export function compareToLargest(
  key: string,
  got: Numbers,
  expected: KitTensor | undefined,
  within: number,
  floor: number,
): Check {
  const largest = expected?.data.reduce((m, x) => Math.max(m, Math.abs(x)), 0) ?? 0;
  const limit = Math.max(within * largest, floor);
  return compareWith(key, got, expected, within, () => limit);
}

/** The norm of the difference as a share of `within` times the norm of what is expected. */
export function compareNorm(
  key: string,
  got: Numbers,
  expected: KitTensor | undefined,
  within: number,
  counts: Counts = () => true,
): Check {
  if (expected === undefined) return exact(key, false, "the kit has no such key");
  if (`${got.shape}` !== `${expected.shape}`)
    return exact(key, false, `shape [${got.shape}], not [${expected.shape}]`);
  let [off, all] = [0, 0];
  for (let i = 0; i < expected.data.length; i++) {
    if (!counts(i)) continue;
    off += (got.data[i]! - expected.data[i]!) ** 2;
    all += expected.data[i]! ** 2;
  }
  const share = Math.sqrt(off / all) / within;
  return { key, share: Number.isNaN(share) ? Number.POSITIVE_INFINITY : share, within };
}

function compareWith(
  key: string,
  got: Numbers,
  expected: KitTensor | undefined,
  within: number,
  allowed: (x: number) => number,
  counts: Counts = () => true,
): Check {
  if (expected === undefined) return exact(key, false, "the kit has no such key");
  if (`${got.shape}` !== `${expected.shape}`)
    return exact(key, false, `shape [${got.shape}], not [${expected.shape}]`);
  let share = 0;
  for (let i = 0; i < expected.data.length; i++) {
    if (!counts(i)) continue;
    const error = Math.abs(got.data[i]! - expected.data[i]!) / allowed(expected.data[i]!);
    if (!(error <= share)) share = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  return { key, share, within };
}

/** Things that must be equal; `note` says how they are not. */
export function exact(key: string, equal: boolean, note: string): Check {
  return equal ? { key, share: 0, within: 0 } : { key, share: Number.POSITIVE_INFINITY, within: 0, note };
}

/** Two values that must be equal as JSON. */
export function equal(key: string, got: unknown, expected: unknown): Check {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)];
  return exact(key, a === b, `${a}, not ${b}`);
}

/** An error where none should be. */
export function failure(error: unknown): Check {
  return exact(
    "error.thrown",
    false,
    error instanceof Error ? (error.stack ?? error.message) : String(error),
  );
}

export function isEqual(a: Numbers, b: Numbers): boolean {
  return a.data.length === b.data.length && Array.from(a.data).every((x, i) => x === b.data[i]);
}
