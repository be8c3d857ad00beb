import { join } from "node:path";
import type { Adapter } from "../../src/adapters/adapter.js";
import { methods } from "../../src/methods/index.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { TaskType } from "../../src/task.js";
import type { Bases } from "./bases.js";
import { batchOf, countedAt } from "./batches.js";
import { inTemporaryFolder, json } from "./files.js";
import type { CaseFile, CaseResult } from "./result.js";
import type { Check, Numbers } from "./tensors.js";
import { compare, compareToLargest, Expected, equal, exact } from "./tensors.js";

interface ConvertedFile {
  readonly model: string;
  readonly task: TaskType;
  /** The case that was converted. */
  readonly source: string;
  /** Below 1: a share of the squares of singular values. */
  readonly rank: number;
}

/** A folder of converted/: an adapter of another method as a LoRA, Python's and the one that is made here. */
export async function runConverted(kit: string, name: string, bases: Bases): Promise<CaseResult> {
  const folder = join(kit, "converted", name);
  const file = json<ConvertedFile>(folder, "case.json");
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const source = json<CaseFile>(kit, file.source, "case.json");
  if (!methods.some((m) => m.config.peftType === source.peft_type))
    return { checks: [], notCovered: { reason: `peft_type "${source.peft_type}"`, keys: expected.keys } };
  const base = await bases.get(file.task, join(kit, file.model));
  const batch = batchOf(expected, "input.", file.task);
  const checks: Check[] = [];
  const open = async (from: string): Promise<PeftModel> => PeftModel.fromPretrained(base, from);
  const against = async (key: string, label: string, model: PeftModel): Promise<void> => {
    const wanted = expected.get(key);
    const { logits } = await model.forward(batch);
    checks.push(compare(label, logits, wanted, 1e-4, countedAt(batch, wanted)));
  };
  const original = await open(join(kit, file.source));
  await against("logits.original", "converted.original", original);
  await inTemporaryFolder(async (made) => {
    const kept = file.rank < 1 ? { energy: file.rank } : { rank: file.rank };
    const { layers } = await original.convertToLora(made, kept);
    checks.push(
      exact(
        "converted.error",
        layers.every(({ error }) => error < 1),
        "a layer lost all",
      ),
    );
    await original.unload();
    const fields = ["r", "lora_alpha", "rank_pattern", "alpha_pattern"];
    const settings = (of: string): unknown[] =>
      fields.map((field) => json<Record<string, unknown>>(of, "adapter_config.json")[field]);
    checks.push(equal("converted.config", settings(made), settings(folder)));
    for (const [label, from] of [
      ["here", made],
      ["Python's", folder],
    ] as const) {
      const model = await open(from);
      await against("logits.converted", `converted.logits, ${label}`, model);
      for (const path of model.activeAdapter.layers.keys()) {
        const key = `delta.${path}`;
        checks.push(
          compareToLargest(
            `converted.${key}, ${label}`,
            product(model.activeAdapter, path),
            expected.get(key),
            1e-4,
            1e-6,
          ),
        );
      }
      await model.unload();
    }
  });
  for (const key of expected.unread) checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
  return { checks };
}

/** s B A at a layer. */
function product(adapter: Adapter, path: string): Numbers {
  const [a, b] = ["lora_A.weight", "lora_B.weight"].map((key) => adapter.entry(`${path}.${key}`));
  const [rows = 0, r = 0] = b?.shape ?? [];
  const [, cols = 0] = a?.shape ?? [];
  const data = Float64Array.from({ length: rows * cols }, (_, at) => {
    let sum = 0;
    for (let k = 0; k < r; k++)
      sum += b!.data[Math.floor(at / cols) * r + k]! * a!.data[k * cols + (at % cols)]!;
    return sum * adapter.scale(path);
  });
  return { shape: [rows, cols], data };
}
