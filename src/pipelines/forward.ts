import { padTokenOf } from "../data/batches.js";
import { collateInputs } from "../data/collate.js";
import type { Predicted, PredictOptions, Said } from "../tasks/prediction.js";
import { taskOf } from "../tasks/registry.js";
import type { Inputs } from "../trace/feeds.js";
import type { Opened, Part } from "./definition.js";

/** What a model says of one part: [outputs], or [tokens, outputs]. */
export interface PartLogits {
  readonly logits: Float32Array;
  readonly outputs: number;
}

/** Runs a batch of parts, and takes padding and virtual tokens out of what the model says. */
export async function forwardParts(
  { model, tokenizer }: Opened,
  parts: readonly Part[],
): Promise<PartLogits[]> {
  const inputs = collateInputs(parts, { padTokenId: padTokenOf(tokenizer), paddingSide: "right" });
  const batch = { task: model.taskType, ...inputs } as unknown as Inputs;
  const { data, shape } = (await model.forward(batch)).logits;
  const outputs = shape.at(-1) ?? 0;
  const [, total = 1] = shape.length === 2 ? [] : shape;
  return parts.map(({ inputIds }, i) => {
    const virtual = shape.length === 2 ? 0 : total - inputs.inputIds.shape[1];
    const first = (i * total + virtual) * outputs;
    const length = shape.length === 2 ? 1 : inputIds.length;
    return { logits: data.slice(first, first + length * outputs), outputs };
  });
}

/** A part with what the model says of it, as tasks read it. */
export function saidOf({ model, nameOf }: Opened, { text, tokens }: Part, logits: PartLogits): Said {
  return { ...logits, config: model.config, nameOf, text, tokens };
}

/** What the model's task makes of one part. */
export function predict(opened: Opened, part: Part, logits: PartLogits, options: PredictOptions): Predicted {
  const said = saidOf(opened, part, logits);
  return taskOf(opened.model.taskType).predict?.(said, options) ?? { kind: "labels", labels: [] };
}
