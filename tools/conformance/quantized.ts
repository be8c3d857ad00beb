import { join } from "node:path";
import { largestInt8Weight } from "../../src/engine/engine.js";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { Bases } from "./bases.js";
import { countedAt, kitLogits, lossOption } from "./batches.js";
import { openCase } from "./case.js";
import { json } from "./files.js";
import type { CaseResult, Context } from "./result.js";
import type { Numbers } from "./tensors.js";
import { compare, compareNorm, failure } from "./tensors.js";
import { kitName } from "./training.js";

type Format = NonNullable<LoadOptions["load"]>;

interface Limits {
  readonly logits: number;
  readonly loss: number;
  readonly grad: number;
}

/**
 * What formats may differ by from Python's f32: logits and all gradients together in the norm of their
 * difference, relative to their own; losses absolute or relative. The kit's matrices are small and random,
 * which is hard on them. T5 does not scale its attention's scores: with random weights its softmax is all but
 * an arg-max, and errors grow.
 */
const LIMITS: Readonly<Record<Format, Limits>> = {
  f32: { logits: 1e-4, loss: 1e-4, grad: 1e-4 },
  f16: { logits: 2e-3, loss: 2e-3, grad: 2e-2 },
  bf16: { logits: 2e-2, loss: 2e-2, grad: 6e-2 },
  int8: { logits: 4e-2, loss: 2e-2, grad: 8e-2 },
  int4: { logits: 0.4, loss: 0.2, grad: 0.8 },
  int4x32: { logits: 0.4, loss: 0.2, grad: 0.8 },
  int4x128: { logits: 0.4, loss: 0.2, grad: 0.8 },
  nf4: { logits: 0.4, loss: 0.2, grad: 0.8 },
};

/** On processors whose kernels saturate, int8 keeps 7 bits of a weight: it rounds them twice as coarsely. */
const SEVEN_BITS = { logits: 6e-2, loss: 3e-2, grad: 0.16 };

/** What such models and adapters make of the base's rounding: T5 as above; RandLoRA's products of many random matrices. Rounding llama's
 * weights alone to 8 bits, in f32 arithmetic, moves RandLoRA's logits by 16 % and its gradients by 27 %,
 * against LoRA's 1 and 1.5 %. */
const UNSCALED = { logits: 4, grad: 10 };
const AMPLIFIED = { logits: 10, grad: 20 };

export async function limitsOf(name: string, { file }: Context, format: Format): Promise<Limits> {
  const limits = format === "int8" && (await largestInt8Weight()) === 63 ? SEVEN_BITS : LIMITS[format];
  const factor = /^models\/m?t5/.test(file.model)
    ? UNSCALED
    : name.endsWith("--randlora")
      ? AMPLIFIED
      : { logits: 1, grad: 1 };
  return {
    logits: factor.logits * limits.logits,
    loss: factor.logits * limits.loss,
    grad: factor.grad * limits.grad, // beyond 1: not compared
  };
}

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
    compareNorm(`${what}.logits`, kitLogits(c.task, logits), wanted, limit.logits, counts),
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
