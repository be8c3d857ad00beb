import { expectName, pickOptions } from "../arguments.js";
import { expectRows, type Row } from "../data/row.js";
import { RowStream } from "../data/row_stream.js";
import { internal } from "../errors.js";
import type { AdapterConfig } from "../methods/method.js";
import { methods } from "../methods/registry.js";
import { hubNames } from "../peft/adapter_options.js";
import { AutoConfig } from "../peft/auto_config.js";
import { type LoadOptions, PreTrainedModel } from "../peft/base_model.js";
import { getPeftModel } from "../peft/get_peft_model.js";
import type { TaskType } from "../task.js";
import { describeEvent } from "../train/describe.js";
import type { TrainEvent } from "../train/events.js";
import { Trainer } from "../train/trainer.js";
import type { TrainerOptions } from "../train/trainer_options.js";
import { headForRows, processorForRows, taskForRows, tokenizerForRows } from "./for_rows.js";

/** How `train` goes about it: what the Trainer takes, and where the model comes from. */
export interface TrainRunOptions extends Omit<TrainerOptions, "model" | "tokenizer" | "train" | "outputDir"> {
  /** A Hub id or a folder. */
  readonly model: string;
  /** The rows to learn: what `rowsFrom` or `loadDataset` gives. */
  readonly rows: readonly Row[] | RowStream;
  /** The folder that gets the adapter. */
  readonly output: string;
  /** The adapter. @default LoRA of rank 8 on the model's usual layers */
  readonly adapter?: AdapterConfig | undefined;
  /** What the model is to learn. @default what the rows are good for */
  readonly taskType?: TaskType | undefined;
  /** How the model is loaded. @default as it is stored, on the CPU */
  readonly loading?: LoadOptions | undefined;
}

/** An event of a run, with what it says in words. */
export type SaidEvent = TrainEvent & { readonly line: string };

/**
 * Trains an adapter on rows, from a model's name to a folder that `pipeline` opens: the model is loaded for
 * what the rows are good for, with a head for their classes, and closed at the end.
 * @throws what loading, attaching and the Trainer throw
 * @example
 * ```ts
 * import { pipeline, rowsFrom, train } from "peft.js";
 *
 * const tickets = [{ body: "My parcel never came", team: "delivery" }];
 * const rows = rowsFrom(tickets, { text: "body", label: "team" });
 * const run = train({ model: "sentence-transformers/all-MiniLM-L6-v2", rows, output: "teams" });
 * for await (const event of run) console.log(event.line);
 * const classify = await pipeline("text-classification", "teams");
 * ```
 */
export async function* train(options: TrainRunOptions): AsyncGenerator<SaidEvent, void, undefined> {
  const { model: name, rows, output, adapter = usualAdapter(), taskType, loading = {}, ...others } = options;
  expectName("train", name);
  if (!(rows instanceof RowStream)) expectRows("train({ rows })", rows);
  const hub = pickOptions(loading, hubNames);
  const first = rows instanceof RowStream ? (await rows.open()).first : rows;
  const task = taskType ?? taskForRows(first, (await AutoConfig.fromPretrained(name, hub)).taskType);
  const { tokenizer, fields } = await tokenizerForRows(task, first, name, hub);
  const config = { ...headForRows(task, first), ...fields, ...loading.config };
  const seed = others.seed === undefined ? {} : { seed: others.seed };
  const base = await PreTrainedModel.load(task, name, { ...seed, ...loading, config });
  try {
    const model = getPeftModel(base, adapter, { tokenizer });
    const processor = others.processor ?? (await processorForRows(first, name, hub));
    const trainer = new Trainer({ ...others, processor, model, tokenizer, train: rows, outputDir: output });
    for await (const event of trainer.run())
      yield { ...event, line: describeEvent(event).map(String).join("\n") };
  } finally {
    await base.close();
  }
}

/** An adapter of the method that most begin with, as its defaults have it. */
function usualAdapter(): AdapterConfig {
  return methods.find("lora")?.config.create({}) ?? internal("no method lora");
}
