import type { PeftModel } from "../../src/peft/peft_model.js";
import { countedAt, kitLogits, lossOption } from "./batches.js";
import type { Context } from "./result.js";
import { compare, exact, isEqual } from "./tensors.js";

const PREFIX = "merged.weight.";

/** Merged logits, the weight of one target, and that all is as before afterwards, to the bit. */
export async function checkMerged(c: Context, model: PeftModel): Promise<void> {
  const option = lossOption(c);
  const before = await model.forward(c.batch, option);
  const keys = c.expected.keys.filter((key) => key.startsWith(PREFIX));
  const [key = `${PREFIX}?`] = keys;
  c.checks.push(exact("merged.keys", keys.length === 1, `one key merged.weight.*, not ${keys.length}`));
  const name = key.slice(PREFIX.length).replace(".token_adapter.weight", ".weight");
  const { runtime } = model.base;
  const shape = runtime.weights.inventory.weights.get(name) ?? [];
  const original = shape.length > 0 ? (await runtime.weight(name)).slice() : new Float32Array();
  const isOfBiases = model.activeAdapter.method?.layers?.linear?.mergesInto === "bias";
  await model.mergeAdapter();
  const { logits } = await model.forward(c.batch, option);
  const wanted = c.expected.get("merged.logits");
  const weight = shape.length > 0 ? await runtime.weight(name) : original;
  c.checks.push(
    compare("merged.logits", kitLogits(c.task, logits, wanted), wanted, 1e-4, countedAt(c.batch, wanted)),
    compare(key, { shape, data: weight }, c.expected.get(key), 1e-4),
    exact(
      "merged.differs",
      isOfBiases || !weight.every((x, i) => x === original[i]),
      `${name} is the base's own`,
    ),
  );
  await model.unmergeAdapter();
  const after = await model.forward(c.batch, option);
  const restored = (await runtime.weight(name)).every((x, i) => x === original[i]);
  c.checks.push(
    exact("merged.unmerged weight", restored, `${name} is not what it was`),
    exact("merged.unmerged", isEqual(before.logits, after.logits), "the adapter's logits have changed"),
  );
}
