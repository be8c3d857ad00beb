import { cpus, hostname } from "node:os";
import { type Context, createContext, Script } from "node:vm";
import { deflateSync } from "node:zlib";
import { codeOf } from "./narrow.js";

// What Node gives to code that is not about Node. A bundle for browsers has platform_browser.ts in its place
// (package.json, "browser").

/** Lets whatever waits in the event loop run first. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What this machine is called, and what it is. */
export const machine = (): { host: string; processor: string; system: string; node: string } => ({
  host: hostname(),
  processor: cpus()[0]?.model.trim() ?? "unknown",
  system: `${process.platform} ${process.arch}`,
  node: process.version,
});

/** Bytes of this process in memory. */
export const residentBytes = (): number => process.memoryUsage.rss();

/** Bytes that this process may still take: the machine's, or its container's. */
export const availableBytes = (): number => process.availableMemory();

let watch: { context: Context; script: Script } | undefined;

/**
 * Runs a function that V8 stops after some time: its own regular expressions have no other limit.
 * @param ms whole milliseconds
 * @returns undefined where it was stopped
 */
export function runFor<T>(ms: number, run: () => T): { value: T } | undefined {
  watch ??= { context: createContext({}), script: new Script("run()") };
  let result: { value: T } | undefined;
  watch.context["run"] = () => {
    result = { value: run() };
  };
  try {
    watch.script.runInContext(watch.context, { timeout: ms });
  } catch (error) {
    if (codeOf(error) !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    return undefined;
  }
  return result;
}

/** Bytes that zlib's default compression leaves. */
export const deflatedSize = (bytes: Uint8Array): number => deflateSync(bytes).length;

/** What another program gives to this one. */
export const standardInput = (): AsyncIterable<Uint8Array> => process.stdin;
