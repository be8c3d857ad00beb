import type { TrainEvent } from "./events.js";

/** An event's finite numbers under the names that trackers group them by: "train/loss", "eval/accuracy". */
export function scalarsOf(event: TrainEvent): readonly (readonly [name: string, value: number])[] {
  return Object.entries(numbersOf(event)).filter(([, value]) => Number.isFinite(value));
}

function numbersOf(event: TrainEvent): Readonly<Record<string, number>> {
  if (event.type === "step") {
    const { loss, lr, gradNorm, tokensPerSecond, epoch, memoryBytes } = event;
    return {
      ...{ "train/loss": loss, "train/learning_rate": lr, "train/grad_norm": gradNorm, "train/epoch": epoch },
      ...{ "train/tokens_per_second": tokensPerSecond, "train/memory_bytes": memoryBytes },
      ...under("train", event.metrics ?? {}),
    };
  }
  if (event.type !== "evaluation") return {};
  return under("eval", { loss: event.loss, ...event.metrics });
}

function under(group: string, numbers: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(numbers).map(([name, value]) => [`${group}/${name}`, value]));
}
