import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { PeftError } from "../src/errors.js";

/** What a command did under a limit; memory in bytes. */
export interface LimitedRun {
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The kernel killed a process of it for memory. */
  readonly oomKilled: boolean;
  /** Of everything that counts: anonymous memory, page cache, kernel memory. */
  readonly maxUsage: number;
  readonly peakAnonymous: number;
  /** Of files, as far as they were first read in this group: all of them, with an empty page cache. */
  readonly peakMapped: number;
  /** By the command and what it started and waited for. */
  readonly readFromDisk: number;
  readonly seconds: number;
}

/** The group made for the command, and where things stand in its version of cgroups. */
interface Group {
  readonly folder: string;
  readonly limits: readonly (readonly [file: string, required: boolean])[];
  readonly anonymous: RegExp;
  readonly mapped: RegExp;
  readonly kills: string;
  readonly usage: readonly [now: string, peak: string];
}

const ROOT = "/sys/fs/cgroup";
const SAMPLE_MS = 20;

/** Our own place in a hierarchy, so that the command never leaves the group that we were put in ourselves. */
function ownPath(controller: string): string | undefined {
  const line = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((l) => l.split(":")[1]?.split(",").includes(controller));
  return line?.split(":").slice(2).join(":");
}

function versionOne(name: string): Group | undefined {
  const path = ownPath("memory");
  if (path === undefined) return undefined;
  return {
    folder: join(ROOT, "memory", path, name),
    limits: [
      ["memory.limit_in_bytes", true],
      ["memory.memsw.limit_in_bytes", false],
    ],
    anonymous: /^rss (\d+)$/m,
    mapped: /^mapped_file (\d+)$/m,
    kills: "memory.oom_control",
    usage: ["memory.usage_in_bytes", "memory.max_usage_in_bytes"],
  };
}

/** A group with processes has no groups below it there: ours stands beside our own. */
function versionTwo(name: string): Group {
  return {
    folder: join(ROOT, dirname(ownPath("") ?? "/"), name),
    limits: [
      ["memory.max", true],
      ["memory.swap.max", false],
    ],
    anonymous: /^anon (\d+)$/m,
    mapped: /^file_mapped (\d+)$/m,
    kills: "memory.events",
    usage: ["memory.current", "memory.peak"],
  };
}

function makeGroup(bytes: number): Group {
  const name = `peft-bench-${process.pid}`;
  const group = versionOne(name) ?? versionTwo(name);
  try {
    mkdirSync(group.folder);
    for (const [file, required] of group.limits) {
      const path = join(group.folder, file);
      const swap = file.includes("swap") ? 0 : bytes;
      if (required || existsSync(path)) writeFileSync(path, `${swap}`);
    }
    return group;
  } catch (error) {
    if (existsSync(group.folder)) rmdirSync(group.folder);
    throw new PeftError("engine", {
      what: "No memory cgroup can be made here.",
      why: `${error instanceof Error ? error.message : error}.`,
      fix: "run this as root on Linux, with the memory controller on.",
      cause: error,
    });
  }
}

/**
 * Runs a command with so much memory and nothing in the page cache. Throws "engine" where no cgroup can be
 * made.
 */
export async function runLimited(bytes: number, command: readonly string[]): Promise<LimitedRun> {
  const group = makeGroup(bytes);
  try {
    spawnSync("sync");
    writeFileSync("/proc/sys/vm/drop_caches", "3");
    return await watch(group, command);
  } finally {
    await removeGroup(group);
  }
}

async function watch(group: Group, command: readonly string[]): Promise<LimitedRun> {
  const script = `echo $$ > "$0/cgroup.procs" && exec "$@"`;
  const read = bytesRead();
  const start = performance.now();
  const child = spawn("sh", ["-c", script, group.folder, ...command], { stdio: "inherit" });
  let [peakAnonymous, peakMapped] = [0, 0];
  let usage = 0;
  const sample = (): void => {
    const text = readFileSync(join(group.folder, "memory.stat"), "utf8");
    peakAnonymous = Math.max(peakAnonymous, Number(group.anonymous.exec(text)?.[1] ?? 0));
    peakMapped = Math.max(peakMapped, Number(group.mapped.exec(text)?.[1] ?? 0));
    usage = Math.max(usage, number(join(group.folder, group.usage[0])));
  };
  const timer = setInterval(sample, SAMPLE_MS);
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
  process.on("SIGINT", forward).on("SIGTERM", forward);
  const end = await new Promise<{ exitCode: number | null; signal: string | null }>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (exitCode, signal) => resolve({ exitCode, signal }));
  }).finally(() => {
    clearInterval(timer);
    process.off("SIGINT", forward).off("SIGTERM", forward);
  });
  const peak = join(group.folder, group.usage[1]);
  const kills = readFileSync(join(group.folder, group.kills), "utf8");
  return {
    ...end,
    oomKilled: Number(/^oom_kill (\d+)$/m.exec(kills)?.[1] ?? 0) > 0,
    maxUsage: existsSync(peak) ? number(peak) : usage,
    peakAnonymous,
    peakMapped,
    readFromDisk: bytesRead() - read,
    seconds: (performance.now() - start) / 1000,
  };
}

const number = (path: string): number => Number(readFileSync(path, "utf8"));

/** From disks, by this process and its children that have ended, page faults and O_DIRECT included. */
function bytesRead(): number {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1] ?? 0);
}

/** Ends what the command left running, by its ids, and takes the group away. */
async function removeGroup({ folder }: Group): Promise<void> {
  for (let tries = 0; tries < 50 && existsSync(folder); tries++) {
    for (const pid of readFileSync(join(folder, "cgroup.procs"), "utf8").split("\n").filter(Boolean))
      endProcess(Number(pid));
    try {
      rmdirSync(folder);
    } catch {
      await wait(SAMPLE_MS);
    }
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {} // it has ended meanwhile
}

/** One line, sizes by 1024 as `maxMemory` counts them. */
export function limitLine(bytes: number, run: LimitedRun): string {
  const gb = (n: number): string => `${(n / 2 ** 30).toFixed(2)} GB`;
  const end = run.signal === null ? `exit ${run.exitCode}` : `ended by ${run.signal}`;
  return [
    `limit ${gb(bytes)}: ${end}`,
    run.oomKilled ? "OOM-KILLED" : "not OOM-killed",
    `max usage ${gb(run.maxUsage)}`,
    `peak anonymous ${gb(run.peakAnonymous)}`,
    `peak mapped files ${gb(run.peakMapped)}`,
    `read from disk ${gb(run.readFromDisk)}`,
    `${run.seconds.toFixed(1)} s`,
  ].join(", ");
}
