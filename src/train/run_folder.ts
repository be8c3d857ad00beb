import { PeftError } from "../errors.js";
import type { Files } from "../hub/files.js";
import { finalName, nodeFiles } from "../hub/files.js";
import { toCamelName, toSnakeName } from "../hub/names.js";
import { TOKENIZER_FILE } from "../hub/tokenizer_files.js";
import { option, type Words, words } from "../words.js";
import { formatBytes } from "./describe.js";
import type { TrainEvent } from "./events.js";
import { listCheckpoints } from "./saved_state.js";
import { firstRecord, recordOf } from "./tensorboard.js";

const metricsFile = "metrics.jsonl";
const configFile = "training_config.json";
const reportFile = "report.html";
const boardFolder = "tensorboard";
const lockFile = ".run.lock";

/** Files that a run writes: what a run that overwrites another may remove. */
const ofRun = [
  /^(run\.json|training_config\.json|metrics\.jsonl|report\.html|README\.md|checkpoints|tensorboard)$/,
  /^adapter_.*\.(json|safetensors)$/,
  /^(config\.json|generation_config\.json|model\.safetensors)$/,
  TOKENIZER_FILE,
  /^critic$/, // PPO's second adapter
];
/**
 * run.json and training_config.json say that a run is there: they go first, so that a folder without them is
 * never taken for one.
 */
const records = ["run.json", configFile];

/** How a run takes its folder: it is new, goes on with the run in it, or removes that run first. */
export type RunMode = "new" | "resume" | "overwrite";

/** Lines of metrics wait this long at most before they are on disk. */
const flushMilliseconds = 1000;

/** The folder of a run: what is in it, and who may write there. */
export class RunFolder {
  readonly path: string;
  readonly checkpoints: string;
  readonly #files: Files;
  readonly #now: () => number;
  /** TensorBoard's file of this run, where one is written. */
  #board: string | undefined;
  #events: TrainEvent[] = [];
  #waiting: string[] = [];
  #records: Uint8Array[] = [];
  #flushed = 0;
  #isLocked = false;

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
  async check(mode: RunMode): Promise<boolean> {
    const files = this.#files;
    if ((await files.exists(this.path)) && !(await files.isFolder(this.path)))
      throw refused(this.path, "it is a file, not a folder.", another);
    const holder = await this.#holder();
    if (holder !== undefined) throw isHeld(this.path, holder);
    const names = (await files.list(this.path)).filter((name) => !isLeftover(name));
    const isRun = names.includes(configFile) || names.includes("checkpoints");
    const foreign = mode === "overwrite" ? names.filter((name) => !isOfRun(name)) : names;
    if (foreign.length > 0 && mode !== "resume")
      throw refused(
        this.path,
        `it is not empty${mode === "new" ? "" : ", and no run put these there"}: ${foreign.slice(0, 5).join(", ")}${foreign.length > 5 ? ", ..." : ""}.`,
        isRun && mode === "new"
          ? words`go on with that run (${option("resume", true)}), remove it (${option("overwrite", true)}), or ${another}`
          : "choose another folder, or empty it.",
      );
    if (names.length > 0 && !isRun && mode === "resume")
      throw refused(this.path, "it is not empty, and holds no run to resume.", another);
    return isRun;
  }

  /**
   * Makes the folder, takes it for this run, proves that it can be written and holds `bytes`, and removes a
   * former run where it is to be overwritten. Throws "output"; then nothing is left behind.
   */
  async open(bytes: number, mode: RunMode): Promise<void> {
    const files = this.#files;
    const made = !(await files.exists(this.path));
    const probe = files.join(this.path, ".write-test");
    try {
      await files.makeFolder(this.path);
      await this.#lock();
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
      await this.close();
      if (made) await files.remove(this.path).catch(() => undefined);
      throw error;
    }
    if (mode !== "overwrite") return;
    const names = (await files.list(this.path)).filter(isOfRun);
    for (const name of [...records, ...names]) await files.remove(files.join(this.path, name));
  }

  /** Lets other runs have the folder. */
  async close(): Promise<void> {
    if (this.#isLocked) await this.#files.remove(this.#files.join(this.path, lockFile));
    this.#isLocked = false;
  }

  /** The process that runs in this folder. */
  async #holder(): Promise<string | undefined> {
    const text = await this.#files.text(this.#files.join(this.path, lockFile)).catch(() => "");
    const owner = text.trim();
    return owner !== "" && this.#files.alive(owner) ? owner : undefined;
  }

  async #lock(): Promise<void> {
    const files = this.#files;
    const path = files.join(this.path, lockFile);
    for (let tries = 0; ; tries++) {
      if (await files.create(path, files.owner())) break;
      const holder = await this.#holder();
      if (holder !== undefined || tries === MOST_TRIES) throw isHeld(this.path, holder ?? "unknown");
      await files.remove(path); // of a process that has ended
    }
    // of two processes that removed an old lock at once, one may have removed the other's: the last one has
    // the folder
    const holder = await this.#holder();
    if (holder !== files.owner()) throw isHeld(this.path, holder ?? "unknown");
    this.#isLocked = true;
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

  /** Starts a file in tensorboard/, which TensorBoard reads beside those of runs before. */
  async startBoard(): Promise<void> {
    const folder = this.#files.join(this.path, boardFolder);
    await this.#files.makeFolder(folder);
    const seconds = this.#now() / 1000;
    this.#board = this.#files.join(folder, `events.out.tfevents.${Math.floor(seconds)}.peft`);
    await this.#files.append(this.#board, [firstRecord(seconds)]);
  }

  async record(event: TrainEvent): Promise<void> {
    const record = this.#board === undefined ? undefined : recordOf(event, this.#now() / 1000);
    if (record !== undefined) this.#records.push(record);
    this.#events.push(event);
    this.#waiting.push(lineOf(event));
    const isStep = event.type === "step";
    if (!isStep || this.#now() - this.#flushed >= flushMilliseconds) await this.flush();
  }

  async flush(): Promise<void> {
    const lines = this.#waiting.splice(0).join("");
    const records = this.#records.splice(0);
    this.#flushed = this.#now();
    if (this.#board !== undefined && records.length > 0) await this.#files.append(this.#board, records);
    if (lines !== "") await this.#files.append(this.#files.join(this.path, metricsFile), [encode(lines)]);
  }

  async writeConfig(config: Readonly<Record<string, unknown>>): Promise<void> {
    const text = `${JSON.stringify(renamed(config, toSnakeName), undefined, 2)}\n`;
    await this.#files.writeAtomic(this.#files.join(this.path, configFile), [encode(text)]);
  }

  async writeReport(html: string): Promise<void> {
    await this.#files.writeAtomic(this.#files.join(this.path, reportFile), [encode(html)]);
  }

  /** Adds to the card of the adapter that was saved; a model as a whole has none. */
  async addToCard(text: string): Promise<void> {
    const path = this.#files.join(this.path, "README.md");
    if (!(await this.#files.exists(path))) return;
    await this.#files.writeAtomic(path, [encode(`${await this.#files.text(path)}${text}`)]);
  }

  async copyTokenizer(from: string): Promise<void> {
    const files = this.#files;
    if (files.resolve(from) === files.resolve(this.path)) return;
    for (const name of await files.list(from)) {
      if (!TOKENIZER_FILE.test(name)) continue;
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

/** An event as metrics.jsonl has it, without the end of the line. */
export function eventLine(event: TrainEvent): string {
  return JSON.stringify(renamed(event, toSnakeName));
}

function lineOf(event: TrainEvent): string {
  return `${eventLine(event)}\n`;
}

/** Every event of the run in a folder. */
export async function readMetrics(folder: string, files: Files = nodeFiles): Promise<readonly TrainEvent[]> {
  return parseLines(await files.text(files.join(folder, metricsFile)));
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

const isOfRun = (name: string): boolean => ofRun.some((form) => form.test(name));

/** Not content: what is not whole yet, and the lock. A process that was killed leaves such files. */
const isLeftover = (name: string): boolean =>
  name === lockFile || finalName(name) !== undefined || name === ".write-test";

/** Times that the lock of an ended process is removed: another process may be quicker. */
const MOST_TRIES = 5;

function isHeld(path: string, owner: string): PeftError {
  return refused(
    path,
    `another run is at work in it (process ${owner}).`,
    words`wait for it, or choose another ${option("outputDir")}; if that process is gone for sure, remove ${lockFile} from the folder.`,
  );
}

function refused(path: string, why: string, fix: string | Words): PeftError {
  return new PeftError("output", { what: `The run cannot be written to "${path}".`, why, fix });
}
