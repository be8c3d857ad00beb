import { PeftError } from "../errors.js";
import type { Files } from "../hub/files.js";
import { nodeFiles } from "../hub/files.js";
import { toCamelName, toSnakeName } from "../hub/names.js";
import { option, type Words, words } from "../words.js";
import type { TrainEvent } from "./events.js";
import { formatBytes } from "./progress.js";
import { listCheckpoints } from "./saved_state.js";

const metricsFile = "metrics.jsonl";
const configFile = "training_config.json";
const reportFile = "report.html";

/** Files of a model's folder that an adapter needs beside it, to be used alone. */
const tokenizerFiles =
  /^(tokenizer.*|vocab\..*|merges\.txt|special_tokens_map\.json|added_tokens\.json|spiece\.model|chat_template\..*)$/;

/** Lines of metrics wait this long at most before they are on disk. */
const flushMilliseconds = 1000;

/** The folder of a run: what is in it, and who may write there. */
export class RunFolder {
  readonly path: string;
  readonly checkpoints: string;
  readonly #files: Files;
  readonly #now: () => number;
  #events: TrainEvent[] = [];
  #waiting: string[] = [];
  #flushed = 0;

  constructor(path: string, now: () => number, files: Files = nodeFiles) {
    this.path = path;
    this.checkpoints = files.join(path, "checkpoints");
    this.#files = files;
    this.#now = now;
  }

  /** Every event of the run, those before it was resumed too. */
  get events(): readonly TrainEvent[] {
    return this.#events;
  }

  /** Whether a run was here. Throws "output" for a folder that is no place for a run; writes nothing. */
  async check(resume: boolean): Promise<boolean> {
    const files = this.#files;
    if ((await files.exists(this.path)) && !(await files.isFolder(this.path)))
      throw refused(this.path, "it is a file, not a folder.", another);
    const names = await files.list(this.path);
    const isRun = names.includes(configFile) || names.includes("checkpoints");
    if (names.length > 0 && !resume)
      throw refused(
        this.path,
        `it is not empty: ${names.slice(0, 5).join(", ")}${names.length > 5 ? ", ..." : ""}.`,
        isRun
          ? words`go on with that run (${option("resume", true)}), or ${another}`
          : "choose another folder, or empty it.",
      );
    if (names.length > 0 && !isRun)
      throw refused(this.path, "it is not empty, and holds no run to resume.", another);
    return isRun;
  }

  /**
   * Makes the folder and proves that it can be written and holds `bytes`. Throws "output"; then nothing is
   * left behind.
   */
  async open(bytes: number): Promise<void> {
    const files = this.#files;
    const made = !(await files.exists(this.path));
    const probe = files.join(this.path, ".write-test");
    try {
      await files.makeFolder(this.path);
      await files.writeAtomic(probe, [new Uint8Array(1)]);
      await files.remove(probe);
      const free = await files.free(this.path).catch(() => Number.POSITIVE_INFINITY);
      if (free < bytes)
        throw refused(
          this.path,
          `the run writes about ${formatBytes(bytes)}, and the disk has ${formatBytes(free)} free.`,
          words`free some space, lower ${option("keepCheckpoints")}, or choose another disk.`,
        );
    } catch (error) {
      if (made) await files.remove(this.path).catch(() => undefined);
      throw error;
    }
  }

  /** The newest checkpoint, if there is one. */
  async newestCheckpoint(): Promise<string | undefined> {
    return (await listCheckpoints(this.checkpoints, this.#files)).at(-1)?.path;
  }

  /** Starts metrics.jsonl, or cuts it back to the step from which the run goes on. */
  async startMetrics(step: number): Promise<void> {
    const path = this.#files.join(this.path, metricsFile);
    const before = (await this.#files.exists(path)) ? parseLines(await this.#files.text(path)) : [];
    this.#events = before.filter((event) => (event.type === "start" || stepOf(event) <= step) && step > 0);
    await this.#files.writeAtomic(path, [encode(this.#events.map(lineOf).join(""))]);
    this.#flushed = this.#now();
  }

  async record(event: TrainEvent): Promise<void> {
    this.#events.push(event);
    this.#waiting.push(lineOf(event));
    const isStep = event.type === "step";
    if (!isStep || this.#now() - this.#flushed >= flushMilliseconds) await this.flush();
  }

  async flush(): Promise<void> {
    const lines = this.#waiting.splice(0).join("");
    this.#flushed = this.#now();
    if (lines !== "") await this.#files.append(this.#files.join(this.path, metricsFile), [encode(lines)]);
  }

  async writeConfig(config: Readonly<Record<string, unknown>>): Promise<void> {
    const text = `${JSON.stringify(renamed(config, toSnakeName), undefined, 2)}\n`;
    await this.#files.writeAtomic(this.#files.join(this.path, configFile), [encode(text)]);
  }

  async writeReport(html: string): Promise<void> {
    await this.#files.writeAtomic(this.#files.join(this.path, reportFile), [encode(html)]);
  }

  async copyTokenizer(from: string): Promise<void> {
    const files = this.#files;
    if (files.resolve(from) === files.resolve(this.path)) return;
    for (const name of await files.list(from)) {
      if (!tokenizerFiles.test(name)) continue;
      const path = files.join(from, name);
      await files.writeAtomic(files.join(this.path, name), [
        await files.read(path, 0, await files.size(path)),
      ]);
    }
  }
}

/** Events of the start have no step of their own. */
function stepOf(event: TrainEvent): number {
  return "step" in event ? event.step : 0;
}

function lineOf(event: TrainEvent): string {
  return `${JSON.stringify(renamed(event, toSnakeName))}\n`;
}

/** A line that a full disk cut short is left out. */
function parseLines(text: string): TrainEvent[] {
  return text.split("\n").flatMap((line) => {
    try {
      return line === "" ? [] : [renamed(JSON.parse(line), toCamelName) as TrainEvent];
    } catch {
      return [];
    }
  });
}

function renamed(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renamed(item, rename));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [rename(name), renamed(item, rename)]),
  );
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

const another = words`choose another ${option("outputDir")}.`;

function refused(path: string, why: string, fix: string | Words): PeftError {
  return new PeftError("output", { what: `The run cannot be written to "${path}".`, why, fix });
}
