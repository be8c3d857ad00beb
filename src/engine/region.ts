import { entry } from "../present.js";
import type { OnnxGraph } from "./onnx/onnx.js";
import { ELEMENT } from "./onnx/onnx.js";

/** Share by which a region is larger than what is counted for it. */
const MARGIN = 1.1;
/** Bytes: below, an arena is left to grow as it does. */
const SMALLEST = 1 << 22;
/** How far ahead of dimensions that grow a region is tried, furthest first. */
const AHEAD = [1.5, 1.25, 1.12, 1.06, 1];

export type Dims = ReadonlyMap<string, number>;

/**
 * The one region of a session's arena. Left to itself, an arena adds regions of doubling sizes as shapes
 * grow, and each shape leaves results in others of them: memory grows with the number of shapes. So the first
 * run asks for the largest piece that it may need at once, and gives it back: from then on everything is cut
 * from that region, which is whole again after every run, and what was ever written of it is what the largest
 * shape needs.
 */
export class Region {
  readonly #needOf: (dims: Dims) => number;
  readonly #bytes: number;
  /** Dimensions that it is known to be large enough for, and all below them; bytes that these take of it. */
  #largest: Dims;
  #need: number;
  /** Dimensions that it was found to be too small for. */
  #tooLarge: Dims | undefined;

  /** `needOf`: bytes that the arena takes for dimensions. */
  constructor(dims: Dims, needOf: (dims: Dims) => number) {
    this.#needOf = needOf;
    this.#largest = dims;
    this.#need = needOf(dims);
    this.#bytes = regionOf(this.#need);
  }

  /** Bytes of memory that the arena takes by now, or soon. */
  get memory(): number {
    return arenaMemory(this.#need);
  }

  /** Bytes to ask for, which make the arena take a region of this size. */
  get request(): number {
    return requestOf(this.#bytes);
  }

  holds(dims: Dims): boolean {
    if (isWithin(dims, this.#largest)) return true;
    const ahead = AHEAD.map((times) => grown(this.#largest, dims, times));
    return [...ahead, dims].some((further) => this.#reaches(further));
  }

  #reaches(dims: Dims): boolean {
    if (this.#tooLarge !== undefined && isWithin(this.#tooLarge, dims)) return false;
    const need = this.#needOf(dims);
    if (regionOf(need) > this.#bytes) {
      this.#tooLarge = dims;
      return false;
    }
    this.#largest = dims;
    this.#need = Math.max(this.#need, need);
    return true;
  }
}

/** The input that a run's request is fed to. */
export const REQUEST = "request";

/**
 * Asks the arena for a piece of so many numbers, and gives it back before anything else is made. ONNX Runtime
 * begins with what was added last of what nobody reads; it adds casts last of all, around what has no kernel
 * for 16 bits. Something small is made before, so that the small results meanwhile have a first region of
 * their own (1 MB).
 */
export function addRequest(o: OnnxGraph): void {
  const piece = o.node("ConstantOfShape", [o.node("Abs", [o.input(REQUEST, "i64", [1])])]);
  const size = o.node("Cast", [o.node("Size", [piece])], { to: ELEMENT.f16 });
  o.nodes("Sqrt", [size], {}, ["requested"]);
  o.output("requested", "f16", []);
}

/** Bytes of memory that a session's arena takes, of which its runs need so many. */
export function arenaMemory(need: number): number {
  return Math.max(need, requestOf(regionOf(need)));
}

/** Regions are powers of two. */
function regionOf(need: number): number {
  return Math.max(SMALLEST, 2 ** Math.ceil(Math.log2(MARGIN * need)));
}

/** An arena takes the power of two that holds what it is asked for, and no more than that is written to. */
function requestOf(region: number): number {
  return region === SMALLEST ? 0 : region / 2 + 4;
}

function isWithin(dims: Dims, largest: Dims): boolean {
  return [...dims].every(([name, size]) => size <= entry(largest, name));
}

/** The larger of both, and what grew by so much more. */
function grown(before: Dims, now: Dims, times: number): Dims {
  const size = (name: string, n: number): number => {
    const known = entry(before, name);
    return n <= known ? known : Math.ceil(times * n);
  };
  return new Map([...now].map(([name, n]) => [name, size(name, n)]));
}
