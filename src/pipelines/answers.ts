import { expectArgument } from "../arguments.js";
import { PeftError } from "../errors.js";
import { at, entry } from "../present.js";
import type { CallOptions, Opened, Part, PipelineDefinition } from "./definition.js";

/** What a pipeline's calls have in common: its definition, its model. */
export interface Asked<Input, Output, Options, Result> {
  readonly definition: PipelineDefinition<Input, Output, Options, Result>;
  readonly opened: Opened;
  readonly options: Options;
}

type Inputs<Input> = Iterable<Input> | AsyncIterable<Input>;

/**
 * An output for each input, in their order. Inputs are read in windows, within which batches are sorted by
 * length, so that little of them is padding and no more than a window is in memory. The first windows are
 * short: the first answers come soon.
 */
export async function* answers<Input, Output, Options, Result>(
  asked: Asked<Input, Output, Options, Result>,
  inputs: Inputs<Input>,
  { batchSize = 8, signal, progress }: CallOptions = {},
): AsyncGenerator<Output, void> {
  checkBatchSize(batchSize);
  let done = 0;
  for await (const window of windows(inputs, batchSize, asked.definition.window)) {
    for (const [i, input] of window.items.entries()) checkInput(asked, input, done + i);
    const outputs = await answerWindow(asked, window.items, batchSize, signal);
    for (const output of outputs) {
      yield output;
      done += 1;
    }
    progress?.(done);
    if (window.fault !== undefined) throw window.fault.error;
  }
}

/** All of them, of inputs that end. */
export async function allAnswers<Input, Output, Options, Result>(
  asked: Asked<Input, Output, Options, Result>,
  inputs: readonly Input[],
  options: CallOptions,
): Promise<Output[]> {
  const outputs: Output[] = [];
  for await (const output of answers(asked, inputs, options)) outputs.push(output);
  return outputs;
}

async function answerWindow<Input, Output, Options, Result>(
  { definition, opened, options }: Asked<Input, Output, Options, Result>,
  inputs: readonly Input[],
  batchSize: number,
  signal: AbortSignal | undefined,
): Promise<Output[]> {
  const rows = inputs.map((input) => definition.parts(input, opened, options));
  const sorted = rows.flat().sort((a, b) => b.inputIds.length - a.inputIds.length);
  const results = new Map<Part, Result>();
  for (let i = 0; i < sorted.length; i += batchSize) {
    if (signal?.aborted) throw aborted();
    const batch = sorted.slice(i, i + batchSize);
    const computed = await definition.compute(opened, batch, options, signal);
    for (const [k, part] of batch.entries()) results.set(part, at(computed, k));
  }
  return rows.map((parts) =>
    definition.output(
      opened,
      parts,
      parts.map((part) => entry(results, part)),
      options,
    ),
  );
}

interface Window<Item> {
  readonly items: readonly Item[];
  /** What ended the inputs early: it is thrown when those before it are answered. */
  readonly fault?: { readonly error: unknown };
}

/** 1, 2, 4, ... batches, up to `most`. */
async function* windows<Item>(
  inputs: Inputs<Item>,
  batchSize: number,
  most: number,
): AsyncGenerator<Window<Item>> {
  let [items, batches]: [Item[], number] = [[], 1];
  const source = inputsOf(inputs);
  let fault: Window<Item>["fault"];
  try {
    for await (const item of source) {
      items.push(item);
      if (items.length < batches * batchSize) continue;
      yield { items };
      items = [];
      batches = Math.min(most, 2 * batches);
    }
  } catch (error) {
    fault = { error };
  }
  if (fault !== undefined) yield { items, fault };
  else if (items.length > 0) yield { items };
}

async function* inputsOf<Item>(inputs: Inputs<Item>): AsyncGenerator<Item> {
  yield* inputs;
}

function checkBatchSize(batchSize: number): void {
  if (Number.isInteger(batchSize) && batchSize > 0) return;
  throw new PeftError("option", {
    what: `batchSize is ${batchSize}.`,
    why: "it counts texts that are computed together.",
    fix: "use a whole number above 0, such as batchSize: 16.",
  });
}

function checkInput<Input, Output, Options, Result>(
  { definition }: Asked<Input, Output, Options, Result>,
  input: unknown,
  place: number,
): void {
  const { names, wants } = definition;
  expectArgument(place === 0 ? names[0] : `${names[0]}, at input ${place + 1},`, input, {
    is: definition.isInput(input),
    wants,
    fix: `give ${wants}; or several, in a list or an iterable.`,
  });
}

export const aborted = (): PeftError =>
  new PeftError("aborted", {
    what: "The prediction was stopped.",
    why: "its signal was aborted.",
    fix: "call it again.",
  });
