import { readFileSync } from "node:fs";

const SAMPLE_MS = 10;
/** Reading all mappings takes milliseconds, in which the process that is watched may have to wait. */
const FILES_EVERY_MS = 500;
const WEIGHT_FILE = /\.(safetensors|bin|weights)$/m;

interface Mapping {
  readonly path: string;
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
}

/** Bytes; `peak` is the sum of both. */
export interface PeakMemory {
  readonly peak: number;
  readonly anonymous: number;
  readonly mapped: number;
}

/** Bytes that this process has now. */
export function anonymousMemory(): number {
  return anonymousIn(readFileSync("/proc/self/status", "utf8"));
}

function anonymousIn(status: string): number {
  return 1024 * Number(/RssAnon:\s+(\d+) kB/.exec(status)?.[1] ?? 0);
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
    this.#anonymous = Math.max(this.#anonymous, anonymousIn(this.#read("status")));
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

type Span = readonly [start: number, end: number];

/** Resident bytes of mapped weight files; pages that several mappings share (sessions, neighbours in a file) count once. */
export function mappedWeights(smaps: string): number {
  const counted = new Map<string, Span[]>();
  let total = 0;
  for (const { path, start, end, bytes } of mappingsOf(smaps).sort((a, b) => b.bytes - a.bytes)) {
    const spans = counted.get(path) ?? [];
    const own = spans.reduce<Span[]>((rest, span) => rest.flatMap((r) => without(r, span)), [[start, end]]);
    total += (bytes * own.reduce((n, [from, to]) => n + to - from, 0)) / (end - start);
    counted.set(path, [...spans, ...own]);
  }
  return Math.round(total);
}

/** What of a span lies outside of another. */
function without([start, end]: Span, [from, to]: Span): Span[] {
  const parts: Span[] = [
    [start, Math.min(end, from)],
    [Math.max(start, to), end],
  ];
  return parts.filter(([a, b]) => a < b);
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
