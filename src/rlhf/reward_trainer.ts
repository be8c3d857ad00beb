import { PeftError } from "../errors.js";
import { type RewardLossOptions, rewardLoss } from "../losses/reward.js";
import type { TrainableModel } from "../peft/trainable.js";
import type { RunHeader, TrainEvent } from "../train/events.js";
import { Trainer, type TrainerOptions } from "../train/trainer.js";
import { toCode } from "../words.js";

/** How a reward model is trained: what the Trainer takes, and where the pairs are. */
export interface RewardTrainerOptions
  extends Omit<TrainerOptions<"SEQ_CLS">, "model" | "train" | "loss" | "lossOptions">,
    RewardLossOptions {
  /** Pairs of a better and a worse answer: what `rowsFrom` or `loadDataset` gives. */
  readonly rows: TrainerOptions<"SEQ_CLS">["train"];
}

/** TRL's learning rate, and the longest pair that it learns; longer ones are left out. */
const [RATE, LONGEST] = [1e-4, 1024];

/**
 * Trains a reward model on pairs: a head of one label over the base, which says how good an answer is. Saved
 * as an adapter for SEQ_CLS that Python loads. Reference: trl/trainer/reward_trainer.py
 * @example
 * ```ts
 * import { getPeftModel, LoraConfig, RewardTrainer, rowsFrom } from "peft.js";
 *
 * const rows = rowsFrom([{ prompt: "2 + 2?", chosen: " 4", rejected: " 5" }]);
 * const model = getPeftModel(base, new LoraConfig({ taskType: "SEQ_CLS" }), { numLabels: 1 });
 * for await (const event of new RewardTrainer(model, { tokenizer, rows, outputDir: "ranker" }).run())
 *   if (event.type === "step") console.log(event.loss, event.metrics?.["accuracy"]);
 * ```
 */
export class RewardTrainer {
  readonly #trainer: Trainer<"SEQ_CLS">;

  /** @throws "option" with all that is wrong, and for a head of more labels than one */
  constructor(model: TrainableModel, { rows, centerRewardsCoefficient, ...options }: RewardTrainerOptions) {
    checkHead(model);
    const { maxPositions } = model;
    this.#trainer = new Trainer({
      ...{
        lr: RATE,
        maxLength: Math.min(LONGEST, maxPositions, options.tokenizer?.modelMaxLength ?? Infinity),
      },
      ...options,
      ...{ model: model as TrainableModel<"SEQ_CLS">, train: rows },
      loss: rewardLoss(centerRewardsCoefficient === undefined ? {} : { centerRewardsCoefficient }),
    });
  }

  /** What the run will do, with the plan of its memory. Nothing is written. */
  async header(): Promise<RunHeader> {
    return await this.#trainer.header();
  }

  /** Trains, and says what happens. A caller who stops reading stops the run. */
  run(): AsyncGenerator<TrainEvent, void, undefined> {
    return this.#trainer.run();
  }
}

function checkHead({ taskType, config }: TrainableModel): void {
  if (taskType === "SEQ_CLS" && config.numLabels === 1) return;
  throw new PeftError("option", {
    what:
      taskType === "SEQ_CLS"
        ? `The model's head tells ${config.numLabels} labels apart.`
        : `The model is for ${taskType}.`,
    why: "a reward model says one number of each answer.",
    fix: toCode(
      'load it so: AutoModelForSequenceClassification.fromPretrained(name, { config: { num_labels: 1 } }); or give the adapter on another base its head: getPeftModel(base, new LoraConfig({ taskType: "SEQ_CLS" }), { numLabels: 1 }).',
      "leave --task and --config out: pairs get a head of one label.",
    ),
  });
}
