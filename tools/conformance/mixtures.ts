import { join } from "node:path";
import { PeftError } from "../../src/errors.js";
import type { CombinationType } from "../../src/methods/method.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { TaskType } from "../../src/task.js";
import type { Bases } from "./bases.js";
import { batchOf, countedAt } from "./batches.js";
import { foldersIn, json } from "./files.js";
import type { CaseResult } from "./result.js";
import type { Check } from "./tensors.js";
import { compare, Expected, exact } from "./tensors.js";

interface MixtureFile {
  readonly model: string;
  readonly task: TaskType;
  readonly weights: readonly number[];
  /** Mixtures that Python refuses, by their names. */
  readonly refused: Readonly<Record<string, string>>;
}

/** A mixture's name: its way, a dash, and a rank or which adapter stands in the second's place. */
function settingsOf(label: string): { names: string[]; options: Record<string, unknown> } {
  const [combinationType, special] = label.split("-");
  const pruned = /ties|magnitude/.test(label) ? { density: 0.5 } : {};
  const rank = special === undefined || special === "third" ? {} : { svdRank: Number(special) };
  return {
    names: ["first", special === "third" ? "third" : "second"],
    options: { combinationType: combinationType as CombinationType, ...pruned, ...rank },
  };
}

/** A folder of mixtures/: three adapters, each alone, and mixtures of two. */
export async function runMixtures(kit: string, name: string, bases: Bases): Promise<CaseResult> {
  const folder = join(kit, "mixtures", name);
  const file = json<MixtureFile>(folder, "case.json");
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const batch = batchOf(expected, "input.", file.task);
  const base = await bases.get(file.task, join(kit, file.model));
  const model = new PeftModel(base) as PeftModel;
  for (const adapter of foldersIn(folder)) await model.loadAdapter(join(folder, adapter), adapter);
  const checks: Check[] = [];
  const against = async (key: string, adapter: string): Promise<void> => {
    model.setAdapter(adapter);
    const wanted = expected.get(key);
    const { logits } = await model.forward(batch);
    checks.push(compare(`mixture.${key}`, logits, wanted, 1e-4, countedAt(batch, wanted)));
  };
  for (const adapter of foldersIn(folder)) await against(`logits.${adapter}`, adapter);
  const weighted = expected.keys.flatMap((key) => /^logits\.weighted\.(.*)$/.exec(key)?.[1] ?? []);
  for (const label of [...weighted, ...Object.keys(file.refused)]) {
    const { names, options } = settingsOf(label);
    const mixed = model.addWeightedAdapter(names, file.weights, `w_${label}`, options);
    const error = await mixed.then(() => undefined).catch((e: unknown) => e);
    if (label in file.refused) {
      checks.push(
        exact(`mixture.${label}`, error instanceof PeftError, `an error, as Python has; not ${error}`),
      );
      continue;
    }
    if (error !== undefined) throw error;
    await against(`logits.weighted.${label}`, `w_${label}`);
  }
  await model.unload();
  for (const key of expected.unread) checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
  return { checks };
}
