import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { differences } from "../../tests/golden/safetensors.js";

/**
 * The reference parser of safetensors and ours, on many small files, sound and damaged: COUNT of them from
 * SEED. node --import tsx tools/interop/safetensors.ts 100000 1
 */
const [count = "100000", seed = "1"] = process.argv.slice(2);
const python = process.env["PEFT_PYTHON"] ?? "/tmp/ref/bin/python";
const file = join(tmpdir(), `peft-safetensors-${process.pid}.json`);
const script = join(import.meta.dirname, "../golden/safetensors_verdicts.py");
const { status } = spawnSync(python, [script, count, seed, file], { stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);
const wrong = await differences(readFileSync(file, "utf8"));
rmSync(file);
for (const line of wrong.slice(0, 20)) console.log(line);
console.log(`${wrong.length} of ${count} differ`);
process.exit(wrong.length > 0 ? 1 : 0);
