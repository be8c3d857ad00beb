import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Python's reference beside ours: its script here or in ../shared/bench, where both it and the environment are there. */
export function runReference(script: string, args: readonly string[]): Record<string, unknown> | undefined {
  const python = process.env["PEFT_PYTHON"] ?? "/tmp/ref/bin/python";
  const path = [".", "../../shared/bench"]
    .map((f) => join(import.meta.dirname, f, script))
    .find((p) => existsSync(p));
  if (!existsSync(python) || path === undefined) return undefined;
  const { stdout, stderr, status } = spawnSync(python, [path, ...args], {
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  const last = stdout.trim().split("\n").at(-1);
  if (status !== 0 || last === undefined) throw new Error(`${script} failed: ${stderr.slice(-2000)}`);
  return JSON.parse(last) as Record<string, unknown>;
}

/** What the processor can do, as far as it matters for these figures. */
export function processor(cpuinfo: string): string {
  const model = /model name\s*: (.*)/.exec(cpuinfo)?.[1] ?? "unknown processor";
  const flags = ["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile"].filter((f) =>
    cpuinfo.includes(f),
  );
  return `${model} (${flags.join(", ")})`;
}
