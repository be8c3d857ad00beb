import type { Adapter } from "../adapters/adapter.js";
import { parameterName } from "../adapters/adapter.js";
import { expectArgument } from "../arguments.js";
import type { Batch, TaskType } from "../data/batch.js";
import type { Parameter, Parameters } from "../graph/parameters.js";
import { PreTrainedModel } from "../peft/base_model.js";
import { PeftModel } from "../peft/peft_model.js";

/** What can be trained: adapters on a frozen base, or all of a model. */
export type TrainableModel<T extends TaskType = TaskType> = PeftModel<T> | PreTrainedModel<T>;

/** Throws "option" where an argument is no model: a promise of one, a name. */
export function expectModel(call: string, model: unknown): void {
  expectArgument(call, model, {
    is: model instanceof PeftModel || model instanceof PreTrainedModel,
    wants: "a model",
    fix: "load one: await AutoModelForCausalLM.fromPretrained(name), and getPeftModel(model, config) for an adapter.",
  });
}

export function baseOf(model: TrainableModel): PreTrainedModel {
  return model instanceof PeftModel ? model.base : model;
}

/** The tensors that train, when their starting values are there. */
export async function parametersOf(model: TrainableModel): Promise<Parameters> {
  if (model instanceof PeftModel) await model.ready();
  return model.trainableParameters();
}

/** The adapters that train. */
export function activeOf(model: PeftModel): Adapter[] {
  return model.activeAdapters.flatMap((name) => model.adapters.get(name) ?? []);
}

/** What adapters that take ranks away remember. */
export function allocationOf(model: TrainableModel): Parameter[] {
  if (!(model instanceof PeftModel)) return [];
  const adapters = activeOf(model);
  return adapters.flatMap((adapter, slot) =>
    (adapter.allocator?.state() ?? []).map(({ name, data }) => {
      return { name: parameterName(adapters, slot, name), shape: [data.length], data };
    }),
  );
}

export function countsOf(model: TrainableModel): { trainable: number; total: number } {
  if (model instanceof PeftModel) return model.getNbTrainableParameters();
  const total = model.numParameters();
  return { trainable: total, total };
}

/** Positions that a sample may take: the model's table of positions less an adapter's virtual tokens. */
export function maxPositionsOf(model: TrainableModel): number {
  const { configJson, runtime } = baseOf(model);
  const positions = runtime.weights.inventory.positions ?? configJson["max_position_embeddings"];
  if (typeof positions !== "number" || model.config.encoderDecoder) return Number.POSITIVE_INFINITY;
  return positions - virtualTokens(model);
}

function virtualTokens(model: TrainableModel): number {
  const adapters = model instanceof PeftModel ? activeOf(model) : [];
  return adapters.reduce((n, { method, config }) => n + (method?.prompt?.tokens(config) ?? 0), 0);
}

/** Real tokens of a batch: those read, and those that a decoder writes. */
export function tokensOf(batch: Batch): number {
  const read = batch.lengths.reduce((a, b) => a + b, 0);
  if (batch.task !== "SEQ_2_SEQ_LM") return read;
  return read + batch.labels.data.reduce((n, label) => n + (label >= 0 ? 1 : 0), 0);
}
