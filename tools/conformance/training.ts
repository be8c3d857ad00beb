import type { Adapter } from "../../src/adapters/adapter.js";
import { libraryName } from "../../src/hub/adapters_library.js";
import type { PeftModel } from "../../src/peft/peft_model.js";
import type { TrainOptions } from "../../src/peft/trainable.js";
import { AdamW } from "../../src/train/adamw.js";
import { lossOption } from "./batches.js";
import type { Context } from "./result.js";
import { compare, compareToLargest, equal, exact } from "./tensors.js";

/** The name a tensor has in the kit: as Python's named_parameters, without the adapter's name. */
export function kitName(adapter: Adapter, key: string): string {
  if (key.startsWith("prompt_encoder.")) return key;
  if (adapter.method?.files === "adapters")
    return libraryName(adapter.entry(key).savedKey ?? key, `${adapter.loaded?.json["name"]}`);
  const prefix = adapter.method?.prompt === undefined ? "base_model.model." : "base_model.";
  // what all layers share has the name that it has in the first of them
  if (adapter.isShared(key)) return `${prefix}${[...adapter.layers.keys()][0]}.${key}`;
  // wrappers around one module, of which each is of a parameter, have no such names
  if (adapter.stacks.has(key.split(".").slice(0, -2).join("."))) return adapter.entry(key).savedKey ?? key;
  if (key.endsWith(".lora_magnitude_vector")) return `${prefix}${key}.weight`;
  const module = adapter.whole.get(key);
  return prefix + (module === undefined ? key : `${module}.modules_to_save${key.slice(module.length)}`);
}

/** Python trained in evaluation mode: nothing is dropped. */
function passOptions(c: Context): TrainOptions {
  return { ...lossOption(c), training: false };
}

/** The gradient of the mean loss for every trainable tensor. */
export async function checkGradients(c: Context, model: PeftModel): Promise<void> {
  const parameters = model.trainableParameters();
  parameters.zero();
  await model.forwardBackward(c.batch, passOptions(c));
  const none = new Set(c.file.parameters_without_gradient);
  for (const [i, p] of parameters.list.entries()) {
    const name = kitName(model.activeAdapter, p.name);
    const key = `grad.${name}`;
    const data = parameters.gradientOf(i).map((x) => x / parameters.count);
    if (none.delete(name)) {
      const isZero = data.every((x) => x === 0) && !c.expected.has(key);
      c.checks.push(exact(key, isZero, "a gradient where Python has none"));
      continue;
    }
    const within = c.file.tolerance.grad ?? 1e-4;
    c.checks.push(compareToLargest(key, { shape: p.shape, data }, c.expected.get(key), within, 1e-6));
  }
  c.checks.push(equal("grad.none", [...none], []));
  parameters.zero();
}

type Options = ConstructorParameters<typeof AdamW>[1];
const OPTIMIZERS: Readonly<Record<"train" | "firm", { steps: number; options: Options }>> = {
  train: { steps: 3, options: { lr: 1e-2, weightDecay: 0.01 } },
  firm: { steps: 5, options: { lr: 1e-2, betas: [0.8, 0.95], eps: 1e-3, weightDecay: 0.1 } },
};

/**
 * Both trainings of the kit, each from the start, and the weights after the second; afterwards the adapter
 * is as it was.
 */
export async function checkTraining(c: Context, model: PeftModel): Promise<void> {
  if (model.activeAdapter.state.allocator !== undefined) return checkAllocation(c, model);
  const entries = [...model.activeAdapter.entries.values()];
  const start = entries.map((e) => e.data.slice());
  for (const label of ["train", "firm"] as const) {
    await train(c, model, label);
    if (label === "firm") checkTrained(c, model.activeAdapter);
    for (const [i, e] of entries.entries()) e.data.set(start[i]!);
    model.activeAdapter.state.touch();
  }
}

/** AdaLoRA: a training that takes ranks away, how many are left after each step, and the weights after it. */
async function checkAllocation(c: Context, model: PeftModel): Promise<void> {
  const { activeAdapter: adapter } = model;
  const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-2, eps: 1e-3, weightDecay: 0 });
  const entries = [...adapter.entries.values()];
  const start = [...entries, ...adapter.state.allocator!.state()].map(({ data }) => data.slice());
  const [losses, ranks]: [number[], number[]] = [[], []];
  for (let step = 1; step <= 6; step++) {
    losses.push((await model.forwardBackward(c.batch, passOptions(c))).loss);
    await optimizer.step();
    model.updateAndAllocate(step);
    const values = entries.filter(({ key }) => key.endsWith(".lora_E"));
    ranks.push(values.reduce((n, { data }) => n + data.filter((x) => x !== 0).length, 0));
  }
  const numbers = { shape: [losses.length], data: losses };
  c.checks.push(compare("adalora.losses", numbers, c.expected.get("adalora.losses"), 1e-4));
  c.checks.push(equal("adalora.ranks", ranks, [...(c.expected.get("adalora.ranks")?.data ?? [])]));
  checkTrained(c, adapter);
  for (const [i, { data }] of [...entries, ...adapter.state.allocator!.state()].entries())
    data.set(start[i]!);
  adapter.state.touch();
}

async function train(c: Context, model: PeftModel, label: "train" | "firm"): Promise<void> {
  const { steps, options } = OPTIMIZERS[label];
  const optimizer = new AdamW(model.trainableParameters(), options);
  const losses: number[] = [];
  for (let i = 0; i < steps; i++) {
    losses.push((await model.forwardBackward(c.batch, passOptions(c))).loss);
    await optimizer.step();
  }
  const key = `${label}.losses`;
  const within = label === "firm" ? (c.file.tolerance.firm ?? 1e-4) : 1e-4;
  c.checks.push(compare(key, { shape: [steps], data: losses }, c.expected.get(key), within));
}

function checkTrained(c: Context, adapter: Adapter): void {
  if (/^(lora-all-linear|speech-32-64)$/.test(c.file.method)) return; // the kit leaves them out
  for (const entry of adapter.entries.values()) {
    if (entry.frozen) continue;
    const key = `firm.trained.${kitName(adapter, entry.key)}`;
    const within = c.file.tolerance.firm ?? 1e-4;
    // torch leaves alone what has no gradient, here all that trains decays: 5 steps of lr 0.01, decay 0.1
    const isIdle = c.file.parameters_without_gradient.includes(kitName(adapter, entry.key));
    const decayed = isIdle ? { ...entry, data: entry.data.map((x) => x / 0.999 ** 5) } : entry;
    c.checks.push(compareToLargest(key, decayed, c.expected.get(key), within, 1e-6));
  }
}
