import type { Adapter } from "../adapters/adapter.js";
import { checkTrainable } from "../adapters/checks.js";
import type { View } from "../adapters/view.js";
import {
  type Chosen,
  choose,
  isBase,
  type RowAdapters,
  type ViewOptions,
  viewOf,
} from "../adapters/views.js";
import { refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { Rollout } from "../generate/rollouts.js";
import { type LogProbsOptions, logProbsNames } from "../plan/log_probs.js";
import type { PassOptions } from "../plan/requests.js";
import { at } from "../present.js";
import { type LogProbs, logProbsPass } from "../run/log_probs.js";
import {
  backwardPass,
  type ForwardResult,
  forwardPass,
  lossPass,
  planPass,
  type Result,
} from "../run/passes.js";
import { EVERY_TOKEN, rowLabels } from "../tasks/head.js";
import { taskOf } from "../tasks/registry.js";
import { type Inputs, rowsOf } from "../trace/feeds.js";
import { words } from "../words.js";
import { type AdaptedBase, namesOf } from "./adapted_base.js";
import { backwardNames, rowNames, viewNames } from "./adapter_options.js";
import {
  checkGenerates,
  checkPrompt,
  type GenerateInput,
  type GenerateSettings,
  generateWith,
  planGeneration,
  rowsIn,
} from "./generate.js";
import { taskOfAdapter } from "./other_task.js";
import {
  planRollouts,
  type RolloutPrompts,
  type RolloutSettings,
  rolloutNames,
  rolloutsWith,
} from "./rollouts.js";
import { meanLoss, nothingTrains, type StepResult, type TrainOptions } from "./trainable.js";

/** Fixes which adapters a call of so many rows uses. Throws "adapter-name", "adapter-config", "batch". */
function chooseAdapters(model: AdaptedBase, options: RowAdapters, rows: number): Chosen {
  const state = {
    active: model.adapters.named(),
    isDisabled: model.disabled.isInside,
    adapterOf: (name: string) => model.adapters.get(name),
    isUnready: (adapter: Adapter) => model.turns.isUnready(adapter),
  };
  return choose(state, options, rows);
}

/**
 * Runs with these adapters, when what was planned just before is done. A call for the base gets it: what is
 * merged is unmerged first, for good, as in Python.
 */
function withView<R>(
  model: AdaptedBase,
  chosen: Chosen,
  planned: Promise<void>,
  run: (view: View) => Promise<R>,
): Promise<R> {
  const { changes } = model;
  const isMerged = changes.merged.length > 0 || model.merging.length > 0;
  const unmerges = isMerged && isBase(chosen);
  return model.turns.turn(unmerges ? "alone" : "beside", chosen.adapters, async () => {
    await planned;
    const { merged } = changes;
    if (unmerges && merged.length > 0) {
      model.warn(words`Adapters ${namesOf(merged)} were unmerged: this call asks for the base without them.`);
      await changes.unmerge();
    }
    return await run(viewOf(chosen, changes.merged));
  });
}

/** The adapters whose tensors a call reads. */
function usedBy({ adapters, isOn }: Chosen): readonly Adapter[] {
  return isOn ? adapters : [];
}

/** Logits, and the loss where the batch has labels. */
export function forward(
  model: AdaptedBase,
  batch: Inputs,
  options: PassOptions & RowAdapters,
): Promise<ForwardResult> {
  refuseUnknown("forward", options, rowNames);
  const chosen = chooseAdapters(model, options, rowsOf(batch));
  const { runtime } = model.base;
  const planned = planPass(runtime, usedBy(chosen), batch, options, "forward");
  return withView(model, chosen, planned, (view) => forwardPass(runtime, view, batch, options));
}

/** The loss alone. */
export function lossOf(
  model: AdaptedBase,
  batch: Inputs,
  options: PassOptions & RowAdapters,
): Promise<StepResult> {
  refuseUnknown("lossOf", options, rowNames);
  const chosen = chooseAdapters(model, options, rowsOf(batch));
  const { runtime } = model.base;
  const planned = planPass(runtime, usedBy(chosen), batch, options, "loss");
  return withView(model, chosen, planned, async (view) =>
    meanLoss(await lossPass(runtime, view, batch, options)),
  );
}

/** The first number of each row's head. Throws "option" where the adapters label no rows. */
export async function scores(
  model: AdaptedBase,
  batch: Inputs<"SEQ_CLS">,
  options: ViewOptions,
): Promise<Float32Array> {
  refuseUnknown("scores", options, viewNames);
  const { logits } = await ranked(model, batch, options);
  return firstOf(logits);
}

/** The same of each token, [rows, tokens], as if its row ended there. */
export async function tokenScores(
  model: AdaptedBase,
  batch: Inputs<"SEQ_CLS">,
  options: ViewOptions,
): Promise<Result> {
  refuseUnknown("tokenScores", options, viewNames);
  const { logits } = await ranked(model, batch, { ...options, head: EVERY_TOKEN });
  return { shape: logits.shape.slice(0, -1), data: firstOf(logits) };
}

function firstOf({ shape, data }: Result): Float32Array {
  const width = at(shape, -1);
  return Float32Array.from({ length: data.length / width }, (_, i) => at(data, i * width));
}

async function ranked(
  model: AdaptedBase,
  batch: Inputs<"SEQ_CLS">,
  options: PassOptions & ViewOptions,
): Promise<ForwardResult> {
  const [first] = chooseAdapters(model, options, rowsOf(batch)).adapters;
  const task = taskOfAdapter(first, model.base.taskType);
  if (taskOf(task).head === rowLabels) return await forward(model, batch, options);
  throw new PeftError("option", {
    what: `${first === undefined ? "The base" : `The adapter "${first.name}"`} is for ${task}.`,
    why: "it labels no rows, and a ranker gives each a number.",
    fix: 'name a ranker: scores(batch, { adapters: ["ranker"] }), after loadAdapter(folder, "ranker").',
  });
}

/** log p of a batch's labels. */
export function logProbs(
  model: AdaptedBase,
  batch: Inputs,
  options: LogProbsOptions & RowAdapters,
): Promise<LogProbs> {
  refuseUnknown("logProbs", options, { ...logProbsNames, ...rowNames });
  const chosen = chooseAdapters(model, options, rowsOf(batch));
  const { runtime } = model.base;
  const planned = planPass(runtime, usedBy(chosen), batch, {}, "loss");
  return withView(model, chosen, planned, (view) => logProbsPass(runtime, view, batch, options));
}

/**
 * Adds the gradient of the loss to the adapters' parameters. Throws "training", "batch", "adapter-name",
 * "engine".
 */
export async function forwardBackward(
  model: AdaptedBase,
  batch: Inputs,
  options: TrainOptions & ViewOptions,
): Promise<StepResult> {
  refuseUnknown("forwardBackward", options, backwardNames);
  if (options.adapters === undefined) model.adapters.active(); // throws where there is none
  const { isOn, adapters, versions } = chooseAdapters(model, options, rowsOf(batch));
  if (!isOn || adapters.length === 0) throw nothingTrains();
  const parameters = model.adapters.parametersOf(adapters);
  return await model.turns.turn("alone", adapters, async () => {
    for (const adapter of adapters) checkTrainable(adapter, model.changes.merged);
    for (const adapter of adapters) adapter.state.constrain();
    const view = { adapters, gates: adapters.map(() => 1), versions };
    const settings = { ...options, seed: model.base.seed, step: parameters.step };
    return meanLoss(await backwardPass(model.base.runtime, view, parameters, batch, settings));
  });
}

/** Continues prompts: [rows, tokens]. */
export function generate(
  model: AdaptedBase,
  input: GenerateInput,
  { adapters, adapterNames, ...settings }: GenerateSettings & RowAdapters,
): Promise<number[][]> {
  checkPrompt(input);
  const chosen = chooseAdapters(model, { adapters, adapterNames }, rowsIn(input));
  const { base } = model;
  checkGenerates(taskOfAdapter(chosen.adapters[0], base.taskType));
  const planned = planGeneration(base, base.runtime, usedBy(chosen), input, settings);
  return withView(model, chosen, planned, (view) => generateWith(base, base.runtime, view, input, settings));
}

/** Samples answers to prompts. */
export function rollouts(
  model: AdaptedBase,
  prompts: RolloutPrompts,
  { adapters, ...settings }: RolloutSettings & ViewOptions,
): Promise<Rollout[]> {
  refuseUnknown("rollouts", { adapters, ...settings }, { ...rolloutNames, ...viewNames });
  const chosen = chooseAdapters(model, { adapters }, 1);
  const { base } = model;
  const planned = planRollouts(base, base.runtime, usedBy(chosen), prompts, settings);
  planned.catch(() => undefined);
  return withView(model, chosen, planned, (view) =>
    rolloutsWith(base, base.runtime, view, prompts, settings),
  );
}
