import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PeftError } from "../../src/errors.js";
import { storedTypes } from "../../src/hub/tensors/dtypes.js";
import { nodeFiles } from "../../src/hub/files.js";
import { openSafetensors } from "../../src/hub/tensors/safetensors.js";

/** What the reference parser makes of a file: null (refused), or by name [dtype, shape, bytes in base64]. */
type Verdict = Readonly<Record<string, readonly [string, readonly string[], string]>> | null;

/** Where our parser says otherwise than tools/golden/safetensors_verdicts.py wrote down: one line each. */
export async function differences(json: string): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "peft-safetensors-"));
  const path = join(folder, "a.safetensors");
  const wrong: string[] = [];
  for (const [content, verdict] of JSON.parse(json) as [string, Verdict][]) {
    const bytes = Buffer.from(content, "base64");
    writeFileSync(path, bytes);
    const ours = await verdictOf(path);
    if (canonical(ours) !== canonical(verdict))
      wrong.push(`${JSON.stringify(bytes.toString("latin1"))}\n  ours ${JSON.stringify(ours)}\n  theirs ${JSON.stringify(verdict)}`);
  }
  rmSync(folder, { recursive: true });
  return wrong;
}

async function verdictOf(path: string): Promise<Verdict | string> {
  try {
    const { tensors } = await openSafetensors(path);
    const all = [...tensors.values()].map(async (t) => {
      const data = await nodeFiles.read(path, t.offset, t.bytes);
      return [t.name, [storedTypes[t.dtype], t.shape.map(String), Buffer.from(data).toString("base64")]] as const;
    });
    return Object.fromEntries(await Promise.all(all));
  } catch (error) {
    return error instanceof PeftError && error.code === "file-format" ? null : String(error);
  }
}

/** Sizes beyond 2^53 stand only where there is nothing, and are numbers here. */
function canonical(verdict: Verdict | string): string {
  if (verdict === null || typeof verdict === "string") return `${verdict}`;
  const sorted = Object.entries(verdict).sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(sorted.map(([name, [dtype, shape, data]]) => [name, dtype, shape.map(Number), data]));
}
