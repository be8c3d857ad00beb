import { once } from "node:events";
import * as os from "node:os";
import type { Worker } from "node:worker_threads";
import { internal, PeftError } from "../errors.js";
import { messageOf } from "../narrow.js";
import { option, toCode, type Words, words } from "../words.js";
import { type Gate, openGate, shut, waitUntilIdle } from "./gate.js";
import type {
  Answer,
  Arrangement,
  EngineOptions,
  Fault,
  Feed,
  HostTensor,
  Int8Limit,
  Reply,
  Request,
  RunRequest,
  RunResult,
  Schedule,
  WeightSource,
} from "./messages.js";
import { errorOf, isOutOfMemory, OUT_OF_MEMORY } from "./out_of_memory.js";
import type { Program } from "./program.js";
import { fused } from "./schedule.js";
import { spawnWorker } from "./spawn.js";

/** How ONNX Runtime computes. */
export interface EngineSettings {
  /** Threads of one session. @default the machine's */
  readonly threads?: number;
  /**
   * An execution provider of ONNX Runtime: "cpu", "webgpu", "cuda", ...; `probeDevices` says which work.
   * @default "cpu"
   */
  readonly device?: string;
  /** @internal */
  readonly resident?: EngineOptions["resident"];
  /** @internal */
  readonly keep?: EngineOptions["keep"];
}

/** Where programs run, and on how many threads. */
export interface Compute {
  readonly threads: number;
  readonly device: string;
}

/** The settings with what is taken where they say nothing. */
export function computeOf({ threads, device }: EngineSettings): Compute {
  return { threads: threads ?? os.availableParallelism(), device: device ?? "cpu" };
}

export interface RunOptions {
  readonly keep?: Readonly<Record<string, string>>;
  readonly entries?: RunRequest["entries"];
  readonly pack?: readonly string[];
  /** Default: no limit. */
  readonly arenas?: number;
}

/** ms that the end of the process waits for. */
const LONGEST_STEP = 30_000;

/**
 * Runs programs on ONNX Runtime, in a worker: the caller's event loop stays free. Compiled programs are kept
 * by name. Errors: "engine" where the runtime refuses.
 */
export class Engine {
  readonly #gate: Gate = openGate();
  readonly #worker: Worker = spawnWorker(this.#gate);
  readonly #waiting: Map<number, { resolve: (answer: Answer) => void; reject: (e: unknown) => void }> =
    new Map();
  readonly #compiled: Set<string> = new Set();
  #next = 0;
  #closed: PeftError | undefined;
  /** How many programs were compiled so far. */
  compilations = 0;

  readonly #onExit = (): void => {
    shut(this.#gate);
    waitUntilIdle(this.#gate, LONGEST_STEP);
  };

  private constructor() {
    this.#worker.unref();
    this.#worker.on("message", (reply: Reply) => this.#settle(reply));
    this.#worker.on("messageerror", (error) =>
      this.#fail(`a result could not be read (${error.message})`, error),
    );
    this.#worker.on("error", (error) => this.#fail(`its worker failed (${error.message})`, error));
    this.#worker.on("exit", (code) => this.#fail(`its worker ended with code ${code}`));
    process.on("exit", this.#onExit);
  }

  /** Starts the worker. Throws "engine" where the device is not there. */
  static async open(
    weights: ReadonlyMap<string, WeightSource>,
    settings: EngineSettings = {},
  ): Promise<Engine> {
    const engine = new Engine();
    const options: EngineOptions = {
      ...computeOf(settings),
      resident: settings.resident ?? "f32",
      keep: settings.keep,
    };
    try {
      await engine.#ask({ kind: "open", options, weights });
    } catch (error) {
      await engine.close();
      throw error;
    }
    return engine;
  }

  /** Whether it was closed, or its worker died: what is asked of it fails. */
  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  isCompiled(name: string): boolean {
    return this.#compiled.has(name);
  }

  /** Compiles a program that runs in one piece under a name, unless one is there. */
  async compile(name: string, make: () => Program): Promise<void> {
    await this.prepare(name, () => fused(name, make()));
  }

  /** Compiles what a schedule needs under a name, unless one is there. */
  async prepare(name: string, make: () => Schedule): Promise<void> {
    if (this.#compiled.has(name)) return;
    await this.#ask({ kind: "compile", name, schedule: make() });
    this.#compiled.add(name);
    this.compilations++;
  }

  async run(
    schedule: string,
    feeds: Readonly<Record<string, Feed>>,
    options: RunOptions = {},
  ): Promise<RunResult> {
    const { keep = {}, entries = {}, pack = [], arenas = Number.POSITIVE_INFINITY } = options;
    const request = { schedule, feeds, keep, entries, pack, arenas };
    const answer = await this.#ask({ kind: "run", request });
    return typeof answer === "object" && "packed" in answer ? answer : internal("a run without results");
  }

  /** Lays tensors into the worker, to be fed by name: `{ held: name }`. */
  async put(tensors: Readonly<Record<string, HostTensor>>): Promise<void> {
    await this.#ask({ kind: "put", tensors });
  }

  /** Lays rows of held caches into new ones. */
  async arrange(arrangement: Arrangement): Promise<void> {
    await this.#ask({ kind: "arrange", arrangement });
  }

  async release(names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.#ask({ kind: "release", names });
  }

  /** Replaces or removes weights; programs are compiled anew when next needed. */
  async changeWeights(changed: ReadonlyMap<string, WeightSource | undefined>): Promise<void> {
    await this.#ask({ kind: "weights", changed });
    this.#compiled.clear();
  }

  /** Ends the worker after the run that is under way; what waits for results gets an error at once. */
  async close(): Promise<void> {
    if (this.#closed !== undefined) return;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    shut(this.#gate);
    const idle = this.#ask({ kind: "close" });
    this.#closed = closedError("it was closed", "load the model again.");
    for (const { reject } of waiting) reject(this.#closed);
    await idle.catch(() => undefined);
    await this.#worker.terminate();
  }

  #ask(request: Request): Promise<Answer> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#worker.ref();
      this.#waiting.set(id, { resolve, reject });
      try {
        this.#worker.postMessage({ id, request });
      } catch (error) {
        this.#settle({ id, ok: false, fault: unsent(error) });
      }
    });
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.ok) waiting?.resolve(reply.value);
    else waiting?.reject(errorOf(reply.fault));
  }

  #fail(reason: string, error?: unknown): void {
    process.off("exit", this.#onExit);
    this.#closed ??= closedError(reason, again, isOutOfMemory(error));
    void this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(this.#closed);
    this.#waiting.clear();
  }
}

/** The devices that work here, by trying each: "cpu", and what this machine has of "webgpu", "cuda", ... */
export async function probeDevices(): Promise<string[]> {
  const reply = await askOnce({ kind: "devices" });
  return reply.ok && Array.isArray(reply.value) ? reply.value : ["cpu"];
}

/** The largest int8 weight whose products this machine's kernels add up rightly. */
export async function largestInt8Weight(): Promise<Int8Limit> {
  const reply = await askOnce({ kind: "largest int8" });
  if (!reply.ok) throw errorOf(reply.fault);
  return typeof reply.value === "number" ? reply.value : internal("no largest int8");
}

/** The version of ONNX Runtime. Throws "engine" where it has no binary for this machine. */
export async function engineVersion(): Promise<string> {
  const reply = await askOnce({ kind: "version" });
  if (!reply.ok) throw errorOf(reply.fault);
  return String(reply.value);
}

/**
 * Before work starts. Throws "option" where threads are none, and "engine", which names the devices that
 * work, where this one does not; "cpu" always does.
 */
export async function checkEngine({ threads = 1, device }: EngineSettings): Promise<void> {
  if (!Number.isInteger(threads) || threads < 1)
    throw new PeftError("option", {
      what: words`${option("threads")} is ${threads}.`,
      why: "it is a whole number of at least 1.",
      fix: `leave it out for all of this machine (${os.availableParallelism()}), or give fewer.`,
    });
  if (device === undefined || device === "cpu") return;
  const reply = await askOnce({ kind: "device", device });
  if (!reply.ok) throw errorOf(reply.fault);
}

/** A worker for one question. */
async function askOnce(request: Request): Promise<Reply> {
  const worker = spawnWorker(openGate());
  const ended = once(worker, "exit").then(([code]) => {
    throw closedError(`its worker ended with code ${code}`, again);
  });
  ended.catch(() => undefined); // it ends in any case, after its answer too
  worker.postMessage({ id: 0, request });
  try {
    const [reply]: Reply[] = await Promise.race([once(worker, "message"), ended]);
    return reply ?? internal("a message without a reply");
  } catch (error) {
    throw error instanceof PeftError ? error : closedError(`its worker failed (${messageOf(error)})`, again);
  } finally {
    await worker.terminate();
  }
}

/** What helps after a worker died. */
const again = toCode("call it again: a new engine starts by itself.", "run the same command again.");

function closedError(reason: string, fix: string | Words, outOfMemory = false): PeftError {
  return new PeftError("engine", {
    what: `The engine is not running: ${reason}.`,
    why: outOfMemory ? "there was not enough memory for it." : "nothing can be computed after that.",
    fix,
    ...(outOfMemory ? { cause: OUT_OF_MEMORY } : {}),
  });
}

function unsent(error: unknown): Fault {
  return {
    code: "engine",
    what: `A tensor could not be handed to the engine: ${messageOf(error)}`,
    why: "its memory belongs to another thread, or there is not enough for a copy.",
    fix: "give arrays of your own, or fewer and shorter rows.",
    isOutOfMemory: isOutOfMemory(error),
  };
}
