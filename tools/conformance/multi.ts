import { readdirSync } from "node:fs";
import { join } from "node:path";
import { PeftError } from "../../src/errors.js";
import type { CombinationType } from "../../src/methods/method.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { ForwardResult } from "../../src/run/passes.js";
import type { TextBatch } from "../../src/trace/feeds.js";
import type { Bases } from "./bases.js";
import { countedAt, textBatchOf } from "./batches.js";
import { changedWeights, toKit } from "./case.js";
import { foldersIn, inTemporaryFolder } from "./files.js";
import type { CaseResult } from "./result.js";
import { checkSaved } from "./saved.js";
import type { Check, Numbers } from "./tensors.js";
import { compare, Expected, equal, exact, isEqual } from "./tensors.js";

const MIXED = ["first", "__base__", "third"];
/** Mixtures by their names in the kit: of which adapters, with the weights 0.7 and -0.4. */
const WEIGHTED: Readonly<Partial<Record<CombinationType, readonly string[]>>> = {
  linear: ["first", "second"],
  cat: ["first", "third"],
  svd: ["first", "third"],
  ties: ["first", "second"],
  ties_svd: ["first", "third"],
  magnitude_prune: ["first", "second"],
  magnitude_prune_svd: ["first", "third"],
};

interface Multi {
  readonly model: PeftModel;
  readonly batch: TextBatch;
  readonly expected: Expected;
  readonly checks: Check[];
}

/** Several adapters on models/llama: each alone, one per row, none, mixed, merged, deleted. */
export async function runMulti(kit: string, bases: Bases): Promise<CaseResult> {
  const folder = join(kit, "multi");
  const expected = await Expected.open(join(folder, "expect.safetensors"));
  const batch = textBatchOf(expected, "input.", "CAUSAL_LM");
  const base = await bases.get("CAUSAL_LM", join(kit, "models", "llama"));
  const model = new PeftModel(base) as PeftModel;
  const m: Multi = { model, batch, expected, checks: [] };
  const names = foldersIn(folder);
  for (const name of names) {
    await model.loadAdapter(join(folder, name), name);
    for (const check of await checkSaved(model, name, join(folder, name)))
      m.checks.push({ ...check, key: `${check.key} (${name})` });
  }
  await checkAlone(m, names, base);
  await checkMixed(m);
  await checkWeighted(m);
  await checkMerged(m);
  await checkDeleted(m, names, base);
  for (const key of expected.unread) m.checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
  return { checks: m.checks };
}

async function logits({ model, batch }: Multi, adapterNames?: readonly string[]): Promise<Numbers> {
  const result: ForwardResult = await model.forward(batch, adapterNames ? { adapterNames } : {});
  return result.logits;
}

function against(m: Multi, key: string, got: Numbers): void {
  const wanted = m.expected.get(`logits.${key}`);
  m.checks.push(compare(`multi.${key}`, got, wanted, 1e-4, countedAt(m.batch, wanted)));
}

/** Adapters that stand for two others. */
async function checkWeighted(m: Multi): Promise<void> {
  const { model } = m;
  for (const [type, names] of Object.entries(WEIGHTED)) {
    const name = `w_${type}`;
    const combinationType = type as CombinationType;
    const pruned = /ties|magnitude/.test(type) ? { density: 0.5 } : {};
    await model.addWeightedAdapter(names, [0.7, -0.4], name, { combinationType, ...pruned });
    model.setAdapter(name);
    against(m, `weighted.${type}`, await logits(m));
    model.deleteAdapter(name);
  }
}

/** Each alone, and none: switching between adapters of one structure compiles nothing. */
async function checkAlone(m: Multi, names: readonly string[], base: PreTrainedModel): Promise<void> {
  const { model, batch, checks } = m;
  let compiled = 0;
  for (const name of names) {
    model.setAdapter(name);
    const before = await base.runtime.compilations();
    against(m, name, await logits(m));
    compiled += (await base.runtime.compilations()) - before;
  }
  const before = await base.runtime.compilations();
  const disabled = await model.disableAdapter(() => logits(m));
  checks.push(equal("multi.compilations", [compiled, (await base.runtime.compilations()) - before], [1, 0]));
  against(m, "disabled", disabled);
  const plain = (await base.forward(batch)).logits;
  checks.push(compare("multi.disabled is the base", disabled, toKit(plain), 1e-6, countedAt(batch, plain)));
}

/** An adapter per row: every row is what that adapter gives alone. */
async function checkMixed(m: Multi): Promise<void> {
  against(m, "mixed", await logits(m, MIXED));
  const rows: Numbers[] = [];
  for (const name of MIXED)
    rows.push(await (name === "__base__" ? m.model.disableAdapter(() => logits(m)) : alone(m, name)));
  const reversed = await logits(m, [...MIXED].reverse());
  const size = reversed.data.length / 3;
  const own = Array.from(
    { length: reversed.data.length },
    (_, i) => rows[2 - Math.floor(i / size)]!.data[i]!,
  );
  const single = toKit({ shape: reversed.shape, data: own });
  m.checks.push(compare("multi.mixed, rows alone", reversed, single, 1e-5, countedAt(m.batch, single)));
}

async function alone(m: Multi, name: string): Promise<Numbers> {
  m.model.setAdapter(name);
  return logits(m);
}

/** Two merged together give what Python gives, and afterwards nothing of them is left. */
async function checkMerged(m: Multi): Promise<void> {
  const { model, checks } = m;
  const before = await alone(m, "third");
  await model.mergeAdapter({ adapterNames: ["first", "second"] });
  model.setAdapter("first");
  against(m, "merged.first+second", await logits(m));
  await model.unmergeAdapter();
  checks.push(exact("multi.unmerged", isEqual(before, await alone(m, "third")), "third has changed"));
}

/** Deleted adapters leave no trace, and the others are what they were. */
async function checkDeleted(m: Multi, names: readonly string[], base: PreTrainedModel): Promise<void> {
  const { model, batch, checks } = m;
  const [first = "", ...others] = names;
  const last = names.at(-1)!;
  const before = await alone(m, last);
  model.setAdapter(first);
  await model.deleteAdapter(first);
  const error = await logits(
    m,
    MIXED.map(() => first),
  ).catch((e: unknown) => e);
  const refused = error instanceof PeftError && error.code === "adapter-name";
  const saved = await inTemporaryFolder(async (folder) => {
    await model.savePretrained(folder);
    return readdirSync(folder).sort();
  });
  checks.push(
    equal("multi.deleted, active", model.activeAdapters, [others[0]]),
    exact("multi.deleted, by name", refused, `an error that names it, not ${error}`),
    equal("multi.deleted, saved", saved, others),
    exact("multi.deleted, others", isEqual(before, await alone(m, last)), `${last} has changed`),
  );
  await model.unload();
  const changed = await changedWeights(base);
  checks.push(equal("multi.unloaded, changed weights", changed, []));
  const plain = (await base.forward(batch)).logits;
  const wanted = m.expected.get("logits.disabled");
  checks.push(compare("multi.unloaded", plain, wanted, 1e-4, countedAt(batch, wanted)));
}
