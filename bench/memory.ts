import { readFileSync } from "node:fs";

const SAMPLE_MS = 10;
const WEIGHT_FILE = /\.(safetensors|bin|weights)$/;

interface Mapping {
  readonly path: string;
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
}

/** Watches what this process takes: anonymous memory all the time, and what it touched of weight files when asked. */
export class MemoryWatch {
  #anonymous = 0;
  #mapped = 0;
  readonly #timer: NodeJS.Timeout = setInterval(() => this.#sample(), SAMPLE_MS).unref();

  #sample(): void {
    const kb = /RssAnon:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"))?.[1];
    this.#anonymous = Math.max(this.#anonymous, Number(kb) * 1024);
  }

  /** Takes milliseconds: outside of what is timed. */
  lookAtFiles(): void {
    this.#sample();
    this.#mapped = Math.max(this.#mapped, mappedWeights(readFileSync("/proc/self/smaps", "utf8")));
  }

  /** Bytes; `peak` is the sum of both. */
  stop(): { peak: number; anonymous: number; mapped: number } {
    this.lookAtFiles();
    clearInterval(this.#timer);
    return { peak: this.#anonymous + this.#mapped, anonymous: this.#anonymous, mapped: this.#mapped };
  }
}

/** Resident bytes of mapped weight files; parts of a file that several sessions mapped count once. */
function mappedWeights(smaps: string): number {
  const counted: Mapping[] = [];
  for (const one of mappingsOf(smaps).sort((a, b) => b.bytes - a.bytes))
    if (!counted.some((c) => c.path === one.path && c.start < one.end && one.start < c.end))
      counted.push(one);
  return counted.reduce((total, one) => total + one.bytes, 0);
}

function mappingsOf(smaps: string): Mapping[] {
  const out: Mapping[] = [];
  let current: Omit<Mapping, "bytes"> | undefined;
  for (const line of smaps.split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \S+\s+(.*)$/.exec(line);
    if (head !== null) {
      const [from, to, start] = head.slice(1, 4).map((x) => Number.parseInt(x, 16)) as [
        number,
        number,
        number,
      ];
      current = WEIGHT_FILE.test(head[4]!) ? { path: head[4]!, start, end: start + to - from } : undefined;
    } else if (current !== undefined && line.startsWith("Rss:"))
      out.push({ ...current, bytes: Number(/\d+/.exec(line)![0]) * 1024 });
  }
  return out;
}
