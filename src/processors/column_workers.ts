import { PeftError } from "../errors.js";
import { startThread, type Thread } from "../platform.js";
import { type MediaRequest, type MediaResult, makeColumns } from "./columns.js";

/** What a worker answers: a result, or an error of ours in its parts. */
export type Answer =
  | { readonly id: number; readonly result: MediaResult }
  | { readonly id: number; readonly error: ErrorText };

/** An error on its way from a worker. */
export interface ErrorText {
  readonly code?: PeftError["code"] | undefined;
  readonly message: string;
  readonly what?: string | undefined;
  readonly why?: string | undefined;
  readonly fix?: string | undefined;
}

interface Waiting {
  resolve(result: MediaResult): void;
  reject(error: Error): void;
}

interface Worker {
  readonly thread: Thread;
  readonly waiting: Map<number, Waiting>;
}

/** Milliseconds after which a worker with nothing to do ends. */
const IDLE = 5000;

/**
 * Threads that make columns, started when they are first asked and ended when nobody asks any more. The
 * result of a request is the same whichever thread makes it; without threads the caller's makes it.
 */
export class ColumnWorkers {
  readonly #count: number;
  #workers: Worker[] = [];
  #next = 0;
  #idle: ReturnType<typeof setTimeout> | undefined;

  /** @param count of threads; 0: requests are done in the caller's */
  constructor(count: number) {
    this.#count = count;
  }

  make(request: MediaRequest): Promise<MediaResult> {
    const worker = this.#least();
    if (worker === undefined) return makeColumns(request);
    clearTimeout(this.#idle);
    const id = this.#next++;
    worker.thread.hold();
    return new Promise<MediaResult>((resolve, reject) => {
      worker.waiting.set(id, { resolve, reject });
      worker.thread.post({ id, request });
    });
  }

  /** The worker with the fewest requests; another one as long as all are busy and there may be more. */
  #least(): Worker | undefined {
    const free = this.#workers.toSorted((a, b) => a.waiting.size - b.waiting.size)[0];
    if (this.#workers.length >= this.#count || free?.waiting.size === 0) return free;
    return this.#start() ?? free;
  }

  #start(): Worker | undefined {
    const waiting: Worker["waiting"] = new Map();
    const thread = startThread(new URL("./worker.js", import.meta.url), {
      message: (answer) => this.#hear(worker, answer as Answer),
      end: (cause) => this.#lose(worker, cause),
    });
    if (thread === undefined) return undefined; // a bundle without the worker's file, or a browser
    const worker = { thread, waiting };
    this.#workers.push(worker);
    return worker;
  }

  #hear({ thread, waiting }: Worker, answer: Answer): void {
    const asked = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (waiting.size === 0) thread.release();
    if ("result" in answer) asked?.resolve(answer.result);
    else asked?.reject(errorOf(answer.error));
    if (this.#workers.every((worker) => worker.waiting.size === 0)) this.#endLater();
  }

  #endLater(): void {
    clearTimeout(this.#idle);
    const timer: unknown = setTimeout(() => {
      for (const { thread } of this.#workers.splice(0)) thread.stop();
    }, IDLE);
    this.#idle = timer as ReturnType<typeof setTimeout>;
    (timer as { unref?: () => void }).unref?.();
  }

  /** A thread that ended by itself: what waits for it fails, others go on. */
  #lose(worker: Worker, cause: Error): void {
    this.#workers = this.#workers.filter((other) => other !== worker);
    for (const { reject } of worker.waiting.values()) reject(cause);
  }
}

function errorOf({ code, message, what, why, fix }: ErrorText): Error {
  if (code === undefined || what === undefined || why === undefined || fix === undefined)
    return new Error(message);
  return new PeftError(code, { what, why, fix });
}
