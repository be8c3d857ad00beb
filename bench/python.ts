import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { PeakMemory } from "./memory.js";
import { MemoryWatch } from "./memory.js";
import { above } from "./paths.js";

export interface Reference {
  /** What the script printed. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Measured as ours is: the resident set that scripts report has PyTorch's own libraries in it. */
  readonly memory: PeakMemory;
}

/**
 * Python's reference beside ours: its script here or in ../shared/bench, where both it and the environment
 * are there.
 */
export async function runReference(script: string, args: readonly string[]): Promise<Reference | undefined> {
  const python = process.env["PEFT_PYTHON"] ?? "/tmp/ref/bin/python";
  const path = above(join("bench", script)) ?? above(join("shared/bench", script));
  if (!existsSync(python) || path === undefined) {
    console.log(`Python: not run, there is no ${path === undefined ? script : python}`);
    return undefined;
  }
  const child = spawn(python, [path, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const watch = new MemoryWatch(child.pid);
  const [out, errors] = [child.stdout, child.stderr].map(collect);
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  const memory = watch.stop();
  const last = out!().trim().split("\n").at(-1);
  if (status !== 0 || last === undefined) throw new Error(`${script} failed: ${errors!().slice(-2000)}`);
  return { json: JSON.parse(last) as Record<string, unknown>, memory };
}

function collect(stream: NodeJS.ReadableStream): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return () => text;
}

/** What the processor can do, as far as it matters for these figures. */
export function processor(cpuinfo: string): string {
  const model = /model name\s*: (.*)/.exec(cpuinfo)?.[1] ?? "unknown processor";
  const flags = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"].filter((f) =>
    cpuinfo.includes(f),
  );
  return `${model} (${flags.join(", ")})`;
}
