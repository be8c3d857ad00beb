import { readFileSync } from "node:fs";
import { anonymousIn, mappedWeights } from "../src/run/memory_use.js";

const SAMPLE_MS = 10;
/** Reading all mappings takes milliseconds, in which the process that is watched may have to wait. */
const FILES_EVERY_MS = 500;
const WEIGHT_FILE = /\.(safetensors|bin|weights)$/m;

/** Bytes; `peak` is the sum of both. */
export interface PeakMemory {
  readonly peak: number;
  readonly anonymous: number;
  readonly mapped: number;
}

/**
 * Watches what a process takes: anonymous memory, and what it touched of mapped weight files.
 * This process's files are looked at when asked, another's from time to time.
 */
export class MemoryWatch {
  #anonymous = 0;
  #mapped = 0;
  readonly #folder: string;
  readonly #timers: readonly NodeJS.Timeout[];

  constructor(pid?: number) {
    this.#folder = `/proc/${pid ?? "self"}`;
    const timer = setInterval(() => this.#sample(), SAMPLE_MS);
    const files = pid === undefined ? [] : [setInterval(() => this.lookAtFiles(), FILES_EVERY_MS)];
    this.#timers = [timer, ...files].map((t) => t.unref());
  }

  #sample(): void {
    this.#anonymous = Math.max(this.#anonymous, anonymousIn(this.#read("status")) ?? 0);
  }

  /** Takes milliseconds: outside of what is timed. */
  lookAtFiles(): void {
    this.#sample();
    if (WEIGHT_FILE.test(this.#read("maps")))
      this.#mapped = Math.max(this.#mapped, mappedWeights(this.#read("smaps")));
  }

  /** Nothing once the process has ended. */
  #read(file: "status" | "maps" | "smaps"): string {
    try {
      return readFileSync(`${this.#folder}/${file}`, "utf8");
    } catch {
      return "";
    }
  }

  stop(): PeakMemory {
    this.lookAtFiles();
    for (const timer of this.#timers) clearInterval(timer);
    return { peak: this.#anonymous + this.#mapped, anonymous: this.#anonymous, mapped: this.#mapped };
  }
}
