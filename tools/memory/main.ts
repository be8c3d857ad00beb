/**
 * Estimates beside measured peaks: node --import tsx tools/memory/main.ts [--steps 3] [--only TEXT]
 * Each combination runs in a process of its own, on the compiled package, as a user's would.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { methodOf } from "../../src/attach/adapter_files.js";
import { attach } from "../../src/attach/attach.js";
import { LoraConfig } from "../../src/methods/index.js";
import { specOf } from "../../src/peft/spec.js";
import type { MemoryEstimate } from "../../src/plan/memory/estimate.js";
import { RunMemory } from "../../src/plan/memory/estimate.js";
import { storedIn } from "../../src/plan/memory/table.js";
import { takeInventory } from "../../src/trace/write.js";
import type { Combination } from "./combinations.js";
import { combinations } from "./combinations.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const NO_DROPOUT = { dropout_rate: 0, dropout: 0, attention_dropout: 0, hidden_dropout_prob: 0 };

interface Measured {
  readonly peak: number;
  readonly mapped: number;
}

/** The package as it ships, compiled anew. */
function compiled(): string {
  const folder = join(tmpdir(), "peft-memory");
  const modules = join(folder, "node_modules");
  mkdirSync(folder, { recursive: true });
  if (!existsSync(modules)) symlinkSync(join(root, "node_modules"), modules);
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const dist = join(folder, "dist");
  spawnSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", dist]);
  return dist;
}

function measure(dist: string, steps: number, c: Combination): Measured | undefined {
  const { folder, task, batch, seq, target, plan, load, recompute } = c;
  const script = join(root, "tools/memory/step.mjs");
  const sizes = [batch, seq, target, steps].map(String);
  const options = JSON.stringify({ plan, load, recompute });
  const { stdout, stderr } = spawnSync(process.execPath, [script, dist, folder, task, ...sizes, options], {
    encoding: "utf8",
  });
  const last = stdout.trim().split("\n").at(-1)!;
  if (last.startsWith("{")) return JSON.parse(last) as Measured;
  console.log(stderr.split("\n").find((line) => line.includes("Error")) ?? stderr);
  return undefined;
}

function estimate(c: Combination): MemoryEstimate {
  const json = { ...JSON.parse(readFileSync(join(c.folder, "config.json"), "utf8")), ...NO_DROPOUT };
  const spec = specOf(json, c.task);
  const inventory = takeInventory(spec);
  const config = new LoraConfig({ r: 8, loraAlpha: 32 });
  const { adapter } = attach("default", methodOf("LORA"), config, spec, inventory, { seed: 0 });
  const { batch, seq, target } = c;
  const memory = RunMemory.ofStep(
    { spec, inventory },
    { adapters: [adapter], batch, seq, target, labels: target },
  );
  const more = c.recompute === undefined ? {} : { recompute: c.recompute };
  return memory.estimate({ plan: c.plan, format: c.load ?? "f32", stored: storedIn(json), ...more });
}

const megabytes = (bytes: number): string => String(Math.round(bytes / 2 ** 20)).padStart(6);

const { values } = parseArgs({
  options: { steps: { type: "string", default: "3" }, only: { type: "string", default: "" } },
});
const dist = compiled();
console.log("estimate  anon  mapped  peak (MB)  error");
for (const c of combinations) {
  const name = `${c.folder.split("/").at(-1)} ${c.load ?? "f32"} ${c.plan} ${c.batch}x${c.seq}/${c.target}`;
  if (!name.includes(values.only) || !existsSync(c.folder)) continue;
  const found = measure(dist, Number(values.steps), c);
  if (found === undefined) continue;
  const { bytes, parts } = estimate(c);
  const peak = found.peak + found.mapped;
  const error = `${((100 * (bytes - peak)) / peak).toFixed(1)} %`.padStart(8);
  const numbers = [bytes, found.peak, found.mapped, peak].map(megabytes).join(" ");
  const split = Object.entries(parts).flatMap(([key, n]) => (n < 2 ** 20 ? [] : `${key}${megabytes(n)}`));
  console.log(`${numbers} ${error}  ${name}${c.recompute === undefined ? "" : ` recompute ${c.recompute}`}`);
  console.log(`       ${split.join(", ")}`);
}
