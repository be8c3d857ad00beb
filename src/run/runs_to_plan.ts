import type { Adapter } from "../adapters/adapter.js";
import { type BatchSizes, fakeColumns } from "../plan/memory/batch.js";
import { type Countable, type RunPurpose, requestOf } from "../plan/memory/estimate.js";
import type { RunRequest } from "../plan/plan.js";
import type { RunsToPlan } from "../plan/plan_chooser.js";
import { methodInputs } from "../plan/requests.js";
import { inputOf, inputsOf } from "../trace/inputs.js";
import type { ModelSpec } from "../trace/write.js";
import { adaptedModel } from "../weights/adapted.js";
import type { PromptInput } from "./stepper.js";
import { makeStepper } from "./stepper.js";

/** The runs whose memory is planned for a purpose. */
export function runsToPlan(
  base: Countable,
  adapters: readonly Adapter[],
  sizes: BatchSizes,
  purpose: RunPurpose,
): RunsToPlan {
  const model = adaptedModel(base, adapters);
  const requests = (largest: BatchSizes): Promise<RunRequest[]> | RunRequest[] =>
    purpose === "generation"
      ? generationRequests(model.spec, adapters, largest)
      : [requestOf(purpose, model, adapters, largest)];
  return { what: purpose, isStep: purpose === "training", adapters, sizes, requests };
}

/**
 * The runs of generation that take the most, to plan their memory: those that read the prompt, and the last
 * step, whose caches are the longest.
 * @param sizes - `seq` tokens of the prompts, `target` of the answers
 */
async function generationRequests(
  spec: ModelSpec,
  adapters: readonly Adapter[],
  { batch, seq = 1, target = 1 }: BatchSizes,
): Promise<RunRequest[]> {
  const view = { adapters, gates: adapters.map(() => 1) };
  const readsTokens = inputOf(inputsOf(spec), "tokens") !== undefined;
  const tokens = (length: number): number[][] => Array.from({ length: batch }, () => filled(length));
  const promptOf = (length: number, start: number): PromptInput => {
    const inputs = [...(readsTokens ? [] : Object.values(inputsOf(spec))), ...methodInputs(adapters)];
    const columns = fakeColumns(inputs, spec, { batch, seq: length });
    const ids = readsTokens ? tokens(length) : [];
    return { ids, mask: ids, start: tokens(start), columns };
  };
  const requests: RunRequest[] = [];
  const runtime = {
    weights: { spec },
    run: async (request: RunRequest) => {
      requests.push(request);
      const logits = { dtype: "f32" as const, shape: [batch, 0], data: new Float32Array(0) };
      return { outputs: { logits }, packed: new Float32Array(0) };
    },
    put: async () => {},
    arrange: async () => {},
    release: async () => {},
    unique: () => 0,
  };
  const first = await makeStepper(runtime, view, promptOf(seq, 1), 1);
  await first.start();
  const prompted = requests.splice(0);
  const { encoderDecoder } = spec.config;
  const before = encoderDecoder ? promptOf(seq, target) : promptOf(seq + target - 1, 1);
  const last = await makeStepper(runtime, view, before, 1);
  await last.start();
  await last.next(Int32Array.from(filled(batch)));
  return [...prompted, ...requests.slice(-1)];
}

function filled(length: number): number[] {
  return new Array<number>(length).fill(1);
}
