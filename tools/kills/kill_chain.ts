import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { random, uniform } from "../../src/random.js";

/** A command that writes into a folder, and what lies there when nobody kills it. */
export interface Chain {
  command(folder: string): readonly string[];
  env(folder: string): Readonly<Record<string, string>>;
  readonly wanted: ReadonlyMap<string, Buffer>;
  /** Files whose contents hold the time, or paths of the folder. */
  readonly ignores: RegExp;
  /** What it takes undisturbed. */
  readonly milliseconds: number;
  close(): Promise<void>;
}

/** A command whose process is killed again and again, and what came of it. */
export interface ChainResult {
  readonly kills: number;
  /** What is wrong; undefined: the files are those of a run that nobody killed. */
  readonly fault?: string;
}

/** One kill comes within so many times what the command takes. */
const REACH = 1.1;
const MOST_KILLS = 12;

/** Runs a chain's command in a new folder until it ends by itself, killing it at moments drawn by `seed`. */
export async function killChain(chain: Chain, seed: number): Promise<ChainResult> {
  const next = random(seed);
  const folder = await mkdtemp(join(tmpdir(), "peft-kills-"));
  try {
    let kills = 0;
    for (;;) {
      const after = kills < MOST_KILLS ? uniform(next) * REACH * chain.milliseconds : undefined;
      const { killed, code, said } = await once(chain.command(folder), chain.env(folder), after);
      if (killed) {
        kills++;
        continue;
      }
      // what was killed after its last file was there is refused the second time, and is whole
      const fault = difference(chain.wanted, await filesIn(folder), chain.ignores);
      if (fault === undefined) return { kills };
      return { kills, fault: code === 0 ? fault : `ended with ${code}: ${said.slice(-400)}` };
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function once(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
  after?: number,
): Promise<{ killed: boolean; code: number | null; said: string }> {
  const child = spawn(process.execPath, command, { env: { ...process.env, ...env } });
  let said = "";
  child.stdout.resume();
  child.stderr.on("data", (chunk) => (said += chunk));
  const ended = new Promise<number | null>((done) => child.on("close", done));
  const stop = new AbortController();
  if (after !== undefined)
    sleep(after, undefined, { signal: stop.signal }).then(
      () => child.kill("SIGKILL"),
      () => undefined,
    );
  const code = await ended;
  stop.abort();
  return { killed: child.signalCode === "SIGKILL", code, said };
}

/** Contents by relative path; links are followed. */
export async function filesIn(folder: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = new Map<string, Buffer>();
  for (const entry of entries) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), await readFile(path));
  }
  return files;
}

/** Ignored are contents that hold the time; that a file is there, and no other, counts always. */
function difference(
  wanted: ReadonlyMap<string, Buffer>,
  found: ReadonlyMap<string, Buffer>,
  ignores: RegExp,
): string | undefined {
  const absent = [...wanted.keys()].filter((name) => !found.has(name));
  const left = [...found.keys()].filter((name) => !wanted.has(name));
  const other = [...wanted].filter(
    ([name, data]) => !ignores.test(name) && found.get(name)?.equals(data) === false,
  );
  const faults = [
    ...(absent.length > 0 ? [`lacks ${absent.join(", ")}`] : []),
    ...(left.length > 0 ? [`leaves ${left.join(", ")}`] : []),
    ...(other.length > 0 ? [`other bits in ${other.map(([name]) => name).join(", ")}`] : []),
  ];
  return faults.length === 0 ? undefined : faults.join("; ");
}
