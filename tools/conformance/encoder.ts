import { join } from "node:path";
import type { Adapter } from "../../src/adapters/adapter.js";
import { floatsOf } from "../../src/engine/host_tensor.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import { encoderFeeds } from "../../src/trace/feeds.js";
import { writeEncoderStates } from "../../src/trace/write.js";
import type { Bases } from "./bases.js";
import { limitsOf } from "./limits.js";
import type { Context } from "./result.js";
import { compare, compareNorm, type Numbers } from "./tensors.js";

/** `what`.encoder: what an encoder gives of the batch, where the kit has it. */
export async function checkEncoder(
  c: Context,
  what: "base" | "adapted",
  { runtime }: PreTrainedModel,
  adapters: readonly Adapter[],
): Promise<void> {
  const key = `${what}.encoder`;
  if (!c.expected.has(key)) return;
  const { spec } = runtime.weights;
  const { outputs } = await runtime.run({
    kind: "encoder states",
    view: { adapters, gates: adapters.map(() => 1) },
    write: (trace) => ({ outputs: { states: writeEncoderStates(spec, trace) } }),
    feeds: encoderFeeds(spec, c.batch),
  });
  c.checks.push(compare(key, floatsOf(outputs, "states"), c.expected.get(key), 1e-4));
}

/**
 * int8.*: the adapted model whose layers' weights are 8 bits. Here activations are 8 bits as well, and on some
 * processors weights 7, so that they are compared as other formats are.
 */
export async function checkInt8(c: Context, bases: Bases): Promise<void> {
  if (!c.expected.has("int8.logits")) return;
  await bases.close();
  const base = await PreTrainedModel.load(c.task, join(c.kit, c.file.model), { load: "int8" });
  try {
    const model = await PeftModel.fromPretrained(base, c.folder);
    const { logits, loss } = await model.forward(c.batch);
    const limit = await limitsOf("", c, "int8");
    const scalar: Numbers = { shape: [], data: [loss ?? Number.NaN] };
    c.checks.push(
      compareNorm("int8.logits", logits, c.expected.get("int8.logits"), limit.logits),
      compare("int8.loss", scalar, c.expected.get("int8.loss"), limit.loss),
    );
  } finally {
    await base.close();
  }
}
