import { entry } from "../../present.js";

/** What the owner of weights does when one comes or goes. */
export interface Moves {
  readonly enter: (name: string, bytes: number) => void;
  readonly leave: (name: string, bytes: number) => void;
  /** Whether it can go now; absent: always. */
  readonly mayLeave?: (name: string) => boolean;
}

/**
 * Which weights are in memory, of those that are fed block by block: what was not used for longest makes room
 * for what is needed next.
 */
export class Residents {
  readonly #capacity: number;
  readonly #moves: Moves;
  /** Bytes by name, in the order of last use. */
  readonly #sizes: Map<string, number> = new Map();
  #total = 0;

  /** `capacity`: bytes that may be held. */
  constructor(capacity: number, moves: Moves) {
    this.#capacity = capacity;
    this.#moves = moves;
  }

  /** Lets in what is used now, whether or not there is room. */
  use(names: readonly string[], sizeOf: (name: string) => number): void {
    this.#admit(names, sizeOf, new Set(names), true);
    for (const name of names) {
      const bytes = entry(this.#sizes, name);
      this.#sizes.delete(name);
      this.#sizes.set(name, bytes);
    }
  }

  /** Lets in what is used next, as far as there is room beside what is used now. */
  expect(next: readonly string[], now: readonly string[], sizeOf: (name: string) => number): void {
    this.#admit(next, sizeOf, new Set([...next, ...now]), false);
  }

  forget(name: string): void {
    this.#total -= this.#sizes.get(name) ?? 0;
    this.#sizes.delete(name);
  }

  clear(): void {
    this.#sizes.clear();
    this.#total = 0;
  }

  #admit(
    names: readonly string[],
    sizeOf: (name: string) => number,
    protect: ReadonlySet<string>,
    must: boolean,
  ): void {
    for (const name of names) {
      if (this.#sizes.has(name)) continue;
      const bytes = sizeOf(name);
      if (!this.#makeRoom(bytes, protect) && !must) return;
      this.#sizes.set(name, bytes);
      this.#total += bytes;
      this.#moves.enter(name, bytes);
    }
  }

  /** False: there is no room for as much beside what is protected. */
  #makeRoom(bytes: number, protect: ReadonlySet<string>): boolean {
    for (const [name, size] of this.#sizes) {
      if (this.#total + bytes <= this.#capacity) return true;
      if (protect.has(name) || this.#moves.mayLeave?.(name) === false) continue;
      this.forget(name);
      this.#moves.leave(name, size);
    }
    return this.#total + bytes <= this.#capacity;
  }
}
