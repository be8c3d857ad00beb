import { existsSync } from "node:fs";
import { cpus, hostname } from "node:os";
import { fileURLToPath } from "node:url";
import { type Context, createContext, Script } from "node:vm";
import { Worker } from "node:worker_threads";
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

/** A thread that runs a module of ours. */
export interface Thread {
  post(message: unknown): void;
  /** The process waits for it, or does not. */
  hold(): void;
  release(): void;
  stop(): void;
}

/** What is heard of a thread. */
export interface ThreadEvents {
  message(message: unknown): void;
  /** It ended though nobody stopped it. */
  end(cause: Error): void;
}

/**
 * Starts a thread that runs a module: compiled as in the package, or from source through tsx in a checkout.
 * @returns undefined where the module's file is not there: in a bundle
 */
export function startThread(module: URL, events: ThreadEvents): Thread | undefined {
  const source = new URL(module.href.replace(/\.js$/, ".ts"));
  const isFile = module.protocol === "file:";
  const worker = !isFile
    ? undefined
    : existsSync(fileURLToPath(module))
      ? new Worker(module)
      : existsSync(fileURLToPath(source))
        ? new Worker(sourceStarter(source), { eval: true, execArgv: [] })
        : undefined;
  if (worker === undefined) return undefined;
  let isStopped = false;
  worker.on("message", events.message);
  worker.on("error", (cause) => {
    isStopped = true;
    events.end(cause instanceof Error ? cause : new Error(String(cause)));
  });
  worker.on("exit", (code) => {
    if (!isStopped) events.end(new Error(`a worker ended with code ${code}`));
    isStopped = true;
  });
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    hold: () => worker.ref(),
    release: () => worker.unref(),
    stop: () => {
      isStopped = true;
      void worker.terminate();
    },
  };
}

function sourceStarter(source: URL): string {
  const tsx = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const entry = JSON.stringify(source.href);
  return `import(${tsx}).then((tsx) => { tsx.register(); return import(${entry}); })`;
}
