import type { TaskType } from "../../src/models/model.js";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";

/**
 * The base model of the case at hand, kept for the next case on the same folder: starting an engine takes
 * longer than a case.
 * Every case must leave it as it was.
 */
export class Bases {
  #key = "";
  #base: PreTrainedModel | undefined;
  readonly #options: LoadOptions;

  constructor(options: LoadOptions = {}) {
    this.#options = options;
  }

  async get(task: TaskType, folder: string): Promise<PreTrainedModel> {
    const key = `${task} ${folder}`;
    if (this.#base !== undefined && key === this.#key) return this.#base;
    await this.close();
    this.#base = await PreTrainedModel.load(task, folder, this.#options);
    this.#key = key;
    return this.#base;
  }

  /** To be called where a base is not what it was any more. */
  async close(): Promise<void> {
    const base = this.#base;
    this.#base = undefined;
    await base?.close();
  }
}
