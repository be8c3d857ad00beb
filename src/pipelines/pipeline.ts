import { expectArgument, pickOptions, refuseUnknown } from "../arguments.js";
import { PeftError } from "../errors.js";
import type { TrainableModel } from "../peft/trainable.js";
import type { TaskType } from "../task.js";
import type { Tokenizer } from "../tokenizers/tokenizer.js";
import { type Asked, allAnswers, answers } from "./answers.js";
import { type CallOptions, callNames } from "./definition.js";
import { openModel, openNames, type PipelineOptions, taskOfModel } from "./open.js";
import { definitionsOf, type PipelineForms, type PipelineName } from "./registry.js";
import { isOneChat } from "./text_generation.js";

/** A model that is asked by a call: `await classify("My parcel never came")`. */
export interface Pipeline<Input, Output, Options, Task extends TaskType = TaskType> {
  /** @throws "option" for what is no input, "aborted", "batch", "generation", "engine" */
  (input: Input, options?: Options & CallOptions): Promise<Output>;
  /** An output for each input, in their order. */
  (inputs: readonly Input[], options?: Options & CallOptions): Promise<Output[]>;
  /** Outputs while inputs are read, which may be more than memory holds, or have no end. */
  (inputs: AsyncIterable<Input>, options?: Options & CallOptions): AsyncGenerator<Output, void>;
  /**
   * The text of an answer while it is made.
   * @throws "option" where the answer is no text
   */
  stream(input: Input, options?: Options & CallOptions): AsyncGenerator<string, void>;
  readonly model: TrainableModel<Task>;
  readonly tokenizer: Tokenizer;
  /** Ends the engine of a model that the pipeline loaded. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The pipeline of a name. */
export type PipelineFor<N extends PipelineName> = Pipeline<
  PipelineForms[N]["input"],
  PipelineForms[N]["output"],
  PipelineForms[N]["options"],
  PipelineForms[N]["task"]
>;

/**
 * A trained model, to be asked: an adapter's folder or Hub id (its base is found through it), a model's, or a
 * model that is loaded already. Options of calls may be given here for all of them. Reference:
 * transformers/pipelines/__init__.py
 * @throws "option" for a name that no pipeline has, "adapter-mismatch" for an adapter of another task, and
 * what loading throws
 * @example
 * ```ts
 * import { pipeline } from "peft.js";
 *
 * // what `peft train --output teams` wrote
 * await using classify = await pipeline("text-classification", "teams");
 * console.log(await classify("My parcel never came")); // [{ label: "delivery", score: 0.97 }]
 * console.log(await classify(["My parcel never came", "Where is my refund?"], { topK: 2 }));
 * ```
 */
export async function pipeline<N extends PipelineName>(
  name: N,
  model: string | TrainableModel<PipelineForms[N]["task"]>,
  options: PipelineOptions & PipelineForms[N]["options"] = {},
): Promise<PipelineFor<N>> {
  const definitions = definitionsOf(name);
  const isModel = typeof Object(model).forward === "function";
  expectArgument("pipeline", model, {
    is: typeof model === "string" || isModel,
    wants: "a model, an adapter's or a model's folder, or a Hub id",
    fix: `name one: pipeline("${name}", "out").`,
  });
  const given = model as string | TrainableModel;
  const [first, ...others] = definitions;
  const task = others.length === 0 ? first.task : await taskOfModel(given, options);
  const definition = others.find((other) => other.task === task) ?? first;
  refuseUnknown("pipeline", options, { ...openNames, ...definition.options });
  if (typeof given !== "string" && given.taskType !== definition.task)
    throw otherTask(name, given.taskType, definition.task);
  const opened = await openModel(
    definition.task,
    given,
    pickOptions<PipelineOptions, keyof PipelineOptions>(options, openNames),
  );
  const byFiles = (await definition.defaults?.(opened)) ?? {};
  const own = { ...byFiles, ...pickOptions<object, never>(options, definition.options) };
  const asked = (settings: object): Asked<unknown, unknown, object, unknown> => {
    refuseUnknown(name, settings, { ...definition.options, ...callNames });
    return {
      definition,
      opened,
      options: { ...own, ...pickOptions<object, never>(settings, definition.options) },
    };
  };
  const call = (input: unknown, settings: object & CallOptions = {}): unknown => {
    const run = asked(settings);
    const how = pickOptions(settings, callNames);
    if (Array.isArray(input) && !(definition.isInput(input) && isOneChat(input)))
      return allAnswers(run, input, how);
    const isMany = typeof input === "object" && input !== null && Symbol.asyncIterator in input;
    if (isMany) return answers(run, input as AsyncIterable<unknown>, how);
    return allAnswers(run, [input], how).then(([output]) => output);
  };
  const close = async (): Promise<void> => {
    if (typeof given === "string") await Object(opened.model).close();
  };
  const stream = (input: unknown, settings: object & CallOptions = {}): AsyncGenerator<string, void> => {
    const run = asked(settings);
    if (definition.stream !== undefined)
      return definition.stream(opened, input, run.options, settings.signal);
    throw noText(name);
  };
  const members = { model: opened.model, tokenizer: opened.tokenizer, stream, close };
  return Object.assign(call, members, { [Symbol.asyncDispose]: close }) as unknown as PipelineFor<N>;
}

function otherTask(name: string, has: TaskType, wants: TaskType): PeftError {
  return new PeftError("option", {
    what: `pipeline("${name}") got a model for ${has}.`,
    why: `it asks models for ${wants}.`,
    fix: `load the model for ${wants}, or make the pipeline that asks models for ${has}.`,
  });
}

function noText(name: string): PeftError {
  return new PeftError("option", {
    what: `"${name}" cannot stream an answer.`,
    why: "its answers are no texts that are written piece by piece.",
    fix: "call it with an async iterable of inputs: for await (const answer of pipe(inputs)) ...",
  });
}
