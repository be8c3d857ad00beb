import { nodeFiles } from "../hub/files.js";
import { residentBytes } from "../platform.js";

const WEIGHT_FILE = /\.(safetensors|bin|weights)$/m;

interface Mapping {
  readonly path: string;
  readonly start: number;
  readonly end: number;
  readonly bytes: number;
}

/** What a process takes, in bytes: the same two that are estimated (docs/memory.md). */
export interface MemoryUse {
  /** Its own: all but what is mapped from files. */
  readonly anonymous: number;
  /** Of mapped weight files, what was touched. */
  readonly mapped: number;
}

/** Of this process. Where the system does not tell the two apart (any but Linux), all counts as its own. */
export async function memoryUse(): Promise<MemoryUse> {
  const anonymous = await anonymousMemory();
  const hasFiles = WEIGHT_FILE.test(await own("maps"));
  return { anonymous, mapped: hasFiles ? mappedWeights(await own("smaps")) : 0 };
}

/** The first of the two alone, which takes no milliseconds. */
export async function anonymousMemory(): Promise<number> {
  return anonymousIn(await own("status")) ?? residentBytes();
}

/** "" where there is no such thing. */
function own(file: string): Promise<string> {
  return nodeFiles.text(`/proc/self/${file}`).catch(() => "");
}

/** Bytes, of a process's /proc/PID/status. */
export function anonymousIn(status: string): number | undefined {
  const kb = /RssAnon:\s+(\d+) kB/.exec(status)?.[1];
  return kb === undefined ? undefined : 1024 * Number(kb);
}

type Span = readonly [start: number, end: number];

/**
 * Resident bytes of mapped weight files, by a process's /proc/PID/smaps; pages that several mappings share
 * (sessions, neighbours in a file) count once.
 */
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

const hex = (text: string): number => Number.parseInt(text, 16);

function mappingsOf(smaps: string): Mapping[] {
  const out: Mapping[] = [];
  let current: Omit<Mapping, "bytes"> | undefined;
  for (const line of smaps.split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \S+\s+(.*)$/.exec(line);
    if (head !== null) {
      const [, from = "", to = "", offset = "", path = ""] = head;
      const start = hex(offset);
      current = WEIGHT_FILE.test(path) ? { path, start, end: start + hex(to) - hex(from) } : undefined;
    } else if (current !== undefined && line.startsWith("Rss:"))
      out.push({ ...current, bytes: Number(/\d+/.exec(line)?.[0] ?? 0) * 1024 });
  }
  return out;
}
