import { join } from "node:path";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { Bases } from "./bases.js";
import { countedAt, kitLogits, lossOption } from "./batches.js";
import { openCase } from "./case.js";
import { json } from "./files.js";
import { type Format, type Limits, limitsOf } from "./limits.js";
import type { CaseResult, Context } from "./result.js";
import type { Numbers } from "./tensors.js";
import { compare, compareNorm, failure } from "./tensors.js";
import { kitName } from "./training.js";

/** Starts that take a part of the base's weights into the adapter are refused on a base of few bits. */
const TAKES_WEIGHTS = /^(pissa|olora)/;

/**
 * A case of the kit on a base whose weights are in another format: logits and losses without and with the
 * adapter, and its gradients.
 */
export async function runQuantized(
  kit: string,
  name: string,
  bases: Bases,
  format: Format,
): Promise<CaseResult> {
  const c = await openCase(kit, name);
  if (!("expected" in c)) return c;
  const base = await bases.get(c.task, join(kit, c.file.model));
  try {
    const limit = await limitsOf(name, c, format);
    await checkForward(c, "base", base, limit);
    const { init_lora_weights: start } = json<{ init_lora_weights?: unknown }>(
      c.folder,
      "adapter_config.json",
    );
    if (TAKES_WEIGHTS.test(`${start}`)) return { checks: c.checks };
    const model = await PeftModel.fromPretrained(base, c.folder);
    await checkForward(c, "adapted", model, limit);
    if (model.activeAdapter.prompt === undefined && limit.grad < 1) await checkGradient(c, model, limit);
    await model.deleteAdapter("default");
  } catch (error) {
    await bases.close();
    c.checks.push(failure(error));
  }
  return { checks: c.checks };
}

async function checkForward(
  c: Context,
  what: "base" | "adapted",
  model: Pick<PeftModel, "forward">,
  limit: Limits,
): Promise<void> {
  const { logits, loss } = await model.forward(c.batch, lossOption(c));
  const [wanted, wantedLoss] = [c.expected.get(`${what}.logits`), c.expected.get(`${what}.loss`)];
  const scalar: Numbers = { shape: wantedLoss?.shape ?? [], data: [loss ?? Number.NaN] };
  const counts = countedAt(c.batch, wanted);
  c.checks.push(
    compareNorm(`${what}.logits`, kitLogits(c.task, logits, wanted), wanted, limit.logits, counts),
    compare(`${what}.loss`, scalar, wantedLoss, limit.loss),
  );
}

/** All gradients as one vector. */
async function checkGradient(c: Context, model: PeftModel, limit: Limits): Promise<void> {
  const parameters = model.trainableParameters();
  parameters.zero();
  await model.forwardBackward(c.batch, lossOption(c));
  const [got, wanted]: [number[], number[]] = [[], []];
  for (const [i, p] of parameters.list.entries()) {
    const known = c.expected.get(`grad.${kitName(model.activeAdapter, p.name)}`);
    if (known === undefined) continue;
    wanted.push(...known.data);
    got.push(...parameters.gradientOf(i).map((x) => x / parameters.count));
  }
  const expected = { shape: [wanted.length], data: Float64Array.from(wanted), isInteger: false };
  c.checks.push(compareNorm("grad.all", { shape: [got.length], data: got }, expected, limit.grad));
  parameters.zero();
}
