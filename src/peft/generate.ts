import type { Adapter } from "../adapters/adapter.js";
import type { View } from "../adapters/view.js";
import { expectArgument } from "../arguments.js";
import type { BatchColumn } from "../data/batch.js";
import { PeftError } from "../errors.js";
import type { GenerationConfig, GenerationSource } from "../generate/config.js";
import { decoderStartToken, mergeGeneration } from "../generate/config.js";
import { generate } from "../generate/generate.js";
import type { GenerationContext } from "../generate/resolve.js";
import { resolveGeneration, samplingInVain } from "../generate/resolve.js";
import type { Rule } from "../generate/rule.js";
import type { TokenDecoder } from "../generate/stepper.js";
import type { TokenStreamer } from "../generate/streamer.js";
import type { Input } from "../graph/inputs.js";
import type { ModelConfig, TaskType } from "../models/model.js";
import { methodInputs } from "../plan/requests.js";
import { warnOnConsole } from "../printable.js";
import type { Runtime } from "../run/runtime.js";
import { makeStepper } from "../run/stepper.js";
import { taskOf } from "../tasks/registry.js";
import { type ColumnBatch, checkColumns } from "../trace/feeds.js";
import { inputOf, inputsOf } from "../trace/inputs.js";
import type { ModelSpec } from "../trace/write.js";
import type { Words } from "../words.js";
import { option, toCode, words } from "../words.js";

/** Encoded prompts, as a tokenizer returns them: rows of one length, padded on the left for decoders. */
export interface GenerateInput {
  /** [rows, tokens]. An encoder that reads sound has `columns` in their place. */
  readonly inputIds?: readonly (readonly number[])[] | undefined;
  /** 1 for tokens, 0 for padding. @default no padding */
  readonly attentionMask?: readonly (readonly number[])[] | undefined;
  /**
   * What the model or an adapter's method reads beside the prompt, by name: a number, or numbers, for each
   * row, or a column as batches have it.
   * @default none
   * @example { taskIds: [0, 2] }
   */
  readonly columns?:
    | Readonly<Record<string, BatchColumn | readonly (number | readonly number[])[]>>
    | undefined;
  /**
   * What the decoder of an encoder-decoder starts with, [rows, tokens].
   * @default the one token that its config says
   */
  readonly decoderInputIds?: readonly (readonly number[])[] | undefined;
}

/** Settings of a call of generate(). */
export interface GenerateSettings extends GenerationConfig {
  /** Gets tokens as they come (one row, no beams). */
  streamer?: TokenStreamer | undefined;
  /** Ends the call at the next token: it throws "aborted". */
  signal?: AbortSignal | undefined;
  /** Gets what is said in vain, such as a temperature without sampling. @default console.warn */
  warn?: ((message: Words) => void) | undefined;
  /** For stop strings. */
  tokenizer?: TokenDecoder | undefined;
  /** Seed of sampling. @default 0 */
  seed?: number | undefined;
  /** Rules of your own on the scores of the next token, behind those of the settings. @default none */
  rules?: readonly Rule[] | undefined;
}

/** What generation asks of a model. */
export interface Generator {
  readonly taskType: TaskType;
  readonly config: ModelConfig;
  readonly configJson: Readonly<Record<string, unknown>>;
  readonly generationConfig: GenerationConfig;
  readonly generationSource: GenerationSource;
}

/** Answers are planned for up to this length: a limit of more tokens is seldom reached. */
const LONGEST_PLANNED = 2048;

/** Plans the memory of generation that is called now. Throws "generation", "batch". */
export function planGeneration(
  model: Generator,
  runtime: Runtime,
  adapters: readonly Adapter[],
  input: GenerateInput,
  settings: GenerateSettings,
): Promise<void> {
  checkPrompt(input);
  checkInput(model, input);
  const { options } = callOf(settings);
  const width = input.inputIds?.[0]?.length ?? model.config.encoded ?? 0;
  const promptLength = model.config.encoderDecoder ? (input.decoderInputIds?.[0]?.length ?? 1) : width;
  const { numBeams, numReturnSequences, maxLength } = resolveGeneration(
    mergeGeneration(options, model.generationConfig),
    { ...contextOf(model, options), promptLength, vocabSize: Number.POSITIVE_INFINITY },
  );
  const sizes = {
    batch: rowsIn(input) * Math.max(numBeams, numReturnSequences),
    seq: Math.max(1, width),
    target: Math.max(1, Math.min(maxLength - promptLength, LONGEST_PLANNED)),
  };
  return runtime.planAhead(adapters, sizes, "generation");
}

/** Generation on a model with the adapters of a view. Throws "generation", "batch", "aborted". */
export async function generateWith(
  model: Generator,
  runtime: Runtime,
  view: View,
  input: GenerateInput,
  settings: GenerateSettings,
): Promise<number[][]> {
  const { call, warn, options } = callOf(settings);
  checkPrompt(input);
  checkInput(model, input);
  const config = mergeGeneration(options, model.generationConfig);
  const inVain = samplingInVain(options, config);
  if (inVain !== undefined) warn(inVain);
  const { inputIds: ids = [] } = input;
  const mask = input.attentionMask ?? ids.map((row) => row.map(() => 1));
  const start = model.config.encoderDecoder ? startsOf(model, config, input) : undefined;
  const columns = columnsOf(input);
  const { spec } = runtime.weights;
  const reads = [...methodInputs(view.adapters), ...rowInputs(spec)];
  checkColumns(spec, reads, asBatch(spec.task, ids, columns));
  const prompt = { ids, mask, start, columns };
  const { sequences } = await generate(
    (expand) => makeStepper(runtime, view, prompt, expand),
    start === undefined ? { ids, mask, isEncoderDecoder: false } : { ids: start, isEncoderDecoder: true },
    config,
    { ...call, ...contextOf(model, options) },
  );
  return sequences.map((row) => [...row]);
}

/** How many prompts there are. */
export function rowsIn({ inputIds, columns = {} }: GenerateInput): number {
  const [first] = Object.values(columnsOf({ columns }));
  return inputIds?.length ?? first?.shape[0] ?? 0;
}

/** What the decoder of each row starts with. */
function startsOf(
  model: Generator,
  config: GenerationConfig,
  input: GenerateInput,
): readonly (readonly number[])[] {
  if (input.decoderInputIds !== undefined) return input.decoderInputIds;
  const start = startToken(model, config);
  return Array.from({ length: rowsIn(input) }, () => [start]);
}

/** What a model reads of a row as a whole, where it reads no tokens. */
function rowInputs(spec: ModelSpec): readonly Input[] {
  const inputs = inputsOf(spec);
  return inputOf(inputs, "tokens") === undefined ? Object.values(inputs) : [];
}

/** Numbers by row as columns. */
function columnsOf({ columns = {} }: GenerateInput): Record<string, BatchColumn> {
  const column = (rows: BatchColumn | readonly (number | readonly number[])[]): BatchColumn => {
    if ("data" in rows) return rows;
    const width = Array.isArray(rows[0]) ? [rows[0].length] : [];
    return { data: Float32Array.from(rows.flat()), shape: [rows.length, ...width] };
  };
  return Object.fromEntries(Object.entries(columns).map(([name, rows]) => [name, column(rows)]));
}

/** Prompts as what methods read of a batch. */
function asBatch(
  task: TaskType,
  ids: readonly (readonly number[])[],
  columns: Record<string, BatchColumn>,
): ColumnBatch {
  if (ids.length === 0) return { task, columns };
  const inputIds = { data: Int32Array.from(ids.flat()), shape: [ids.length, ids[0]?.length ?? 0] };
  return { task, columns: { inputIds, ...columns } };
}

function startToken({ config, generationSource }: Generator, generation: GenerationConfig): number {
  const named = decoderStartToken(generation);
  const start = named ?? config.decoderStartTokenId ?? config.padTokenId ?? 0;
  if (Number.isInteger(start) && start >= 0 && start < config.vocabSize) return start;
  throw new PeftError("generation", {
    what: `"${generationSource.file}": the answer would start with token ${start}.`,
    why: `${named === undefined ? "config.json beside it" : "it"} says so as "decoder_start_token_id" (else "bos_token_id"), and the model has tokens 0 to ${config.vocabSize - 1}.`,
    fix: words`correct the file, or set ${option("decoderStartTokenId")}.`,
  });
}

/** What a call may say, and the settings of generation. */
function callOf(settings: GenerateSettings): {
  call: Pick<GenerateSettings, "streamer" | "signal" | "tokenizer" | "seed" | "rules">;
  warn: (message: Words) => void;
  options: GenerationConfig;
} {
  const { streamer, signal, tokenizer, seed, rules, warn = warnOnConsole, ...options } = settings;
  return { call: { streamer, signal, tokenizer, seed, rules }, warn, options };
}

/** What settings are judged by. */
function contextOf(
  model: Generator,
  given: GenerationConfig,
): Pick<GenerationContext, "maxPositions" | "source" | "given"> {
  return { maxPositions: maxPositions(model.configJson), source: model.generationSource, given };
}

function maxPositions(json: Readonly<Record<string, unknown>>): number | undefined {
  const value = json["max_position_embeddings"] ?? json["n_positions"];
  return typeof value === "number" ? value : undefined;
}

/** Throws "option" where prompts are not encoded. */
export function checkPrompt(input: GenerateInput): void {
  const isTable = (rows: unknown): boolean =>
    Array.isArray(rows) && rows.every((row) => Array.isArray(row) && row.every(Number.isInteger));
  const { inputIds, decoderInputIds, columns } = input ?? {};
  const hasPrompt = inputIds === undefined ? columns !== undefined : isTable(inputIds);
  expectArgument("generate", input, {
    is: hasPrompt && (decoderInputIds === undefined || isTable(decoderInputIds)),
    wants: "encoded prompts",
    fix: 'encode them: model.generate(tokenizer("Hello")).',
  });
}

/** Throws "generation" for a task without a head over the vocabulary. */
export function checkGenerates(taskType: TaskType): void {
  if (taskOf(taskType).generates) return;
  throw new PeftError("generation", {
    what: `A model for ${taskType} cannot generate.`,
    why: "it has no head over the vocabulary.",
    fix: toCode(
      "load it with AutoModelForCausalLM or AutoModelForSeq2SeqLM.",
      "use peft predict for what it tells apart, or a model that has one: --task CAUSAL_LM, or SEQ_2_SEQ_LM.",
    ),
  });
}

function checkInput({ taskType, config }: Generator, input: GenerateInput): void {
  checkGenerates(taskType);
  const tokens = [...(input.inputIds ?? []), ...(input.decoderInputIds ?? [])].flat();
  const beyond = tokens.find((id) => id < 0 || id >= config.vocabSize);
  if (beyond === undefined && rowsIn(input) > 0) return;
  throw new PeftError("batch", {
    what: beyond === undefined ? "There is no prompt." : `Token id ${beyond} is in a prompt.`,
    why: `the vocabulary has ${config.vocabSize} tokens.`,
    fix: "use this model's own tokenizer.",
  });
}
