import type { NamesOf } from "../arguments.js";
import { padTokenOf } from "../data/batches.js";
import type { GenerationConfig } from "../generate/config.js";
import { generationTable } from "../generate/generation_table.js";
import { streamText } from "../generate/streamer.js";
import type { GenerateSettings } from "../peft/generate.js";
import { at } from "../present.js";
import type { TaskType } from "../task.js";
import type { ChatMessage } from "../tokenizers/chat.js";
import type { Opened, Part, PipelineDefinition } from "./definition.js";
import { partOf } from "./encode.js";

/** What is gone on with: a text as it stands, or a chat, which the model's template writes. */
export type PromptInput = string | readonly ChatMessage[];

/** How texts are written: settings of generate(). */
export interface TextGenerationOptions extends GenerationConfig {
  /** Seed of sampling. @default 0 */
  readonly seed?: number | undefined;
  /** Whether the prompt stands before what was written. @default false */
  readonly returnFullText?: boolean | undefined;
}

/** One answer; there are several where numReturnSequences says so. */
export interface GeneratedText {
  readonly generatedText: string;
}

const settingNames = Object.fromEntries(
  Object.entries(generationTable).map(([name, { python, also }]) => [
    name,
    { ...(python === undefined ? {} : { python }), ...(also === undefined ? {} : { also }) },
  ]),
) as unknown as NamesOf<GenerationConfig>;

function isPrompt(value: unknown): value is PromptInput {
  if (typeof value === "string") return true;
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((message) => typeof Object(message).role === "string")
  );
}

/** Whether a value is one chat, and no list of inputs. */
export function isOneChat(value: readonly unknown[]): boolean {
  return isPrompt(value);
}

type Definition = PipelineDefinition<PromptInput, GeneratedText[], TextGenerationOptions, string[]>;

function generation(names: Definition["names"], task: TaskType): Definition {
  return {
    names,
    task,
    options: { ...settingNames, seed: {}, returnFullText: {} },
    wants: "a text, or a chat: [{ role, content }, ...]",
    isInput: isPrompt,
    parts: (input, opened) => [promptPart(input, opened)],
    compute: answersTo,
    output(_, [part], [answers], { returnFullText = false }) {
      const before = returnFullText ? (part?.text ?? "") : "";
      return (answers ?? []).map((answer) => ({ generatedText: before + answer }));
    },
    stream: (opened, input, options, signal) =>
      streamText(opened.tokenizer, (streamer, left) => {
        const { inputIds } = promptPart(input, opened);
        const stops = signal === undefined ? left : AbortSignal.any([left, signal]);
        const settings = { ...settingsFor(opened, options), streamer, signal: stops };
        return opened.model.generate({ inputIds: [[...inputIds]] }, settings);
      }),
    window: 4,
  };
}

/** Texts that go on with prompts. Reference: transformers/pipelines/text_generation.py */
export const textGeneration: Definition = generation(["text-generation"], "CAUSAL_LM");
/** Texts made of texts: translations, summaries. Reference: transformers 4's text2text_generation.py */
export const text2TextGeneration: Definition = generation(["text2text-generation"], "SEQ_2_SEQ_LM");

function promptPart(input: PromptInput, { tokenizer }: Opened): Part {
  const isChat = typeof input !== "string";
  const text = isChat
    ? tokenizer.applyChatTemplate(input, { addGenerationPrompt: true, tokenize: false })
    : input;
  return partOf(tokenizer(text, { addSpecialTokens: !isChat, returnTokenTypeIds: false }), text, tokenizer);
}

/** Answers to a batch of prompts, several to each where that is asked for. */
async function answersTo(
  opened: Opened,
  parts: readonly Part[],
  options: TextGenerationOptions,
  signal?: AbortSignal,
): Promise<string[][]> {
  const { model, tokenizer } = opened;
  const isDecoder = !model.config.encoderDecoder;
  const width = parts.reduce((most, { inputIds }) => Math.max(most, inputIds.length), 0);
  const padded = (ids: readonly number[], value: number): number[] => {
    const padding = new Array<number>(width - ids.length).fill(value);
    return isDecoder ? [...padding, ...ids] : [...ids, ...padding];
  };
  const input = {
    inputIds: parts.map(({ inputIds }) => padded([...inputIds], padTokenOf(tokenizer))),
    attentionMask: parts.map(({ inputIds }) =>
      padded(
        Array.from(inputIds, () => 1),
        0,
      ),
    ),
  };
  const rows = await model.generate(input, { ...settingsFor(opened, options), signal });
  const each = rows.length / parts.length;
  return parts.map((_, i) =>
    Array.from({ length: each }, (_, k) =>
      tokenizer.decode(at(rows, i * each + k).slice(isDecoder ? width : 0), { skipSpecialTokens: true }),
    ),
  );
}

/** What is said, and the special tokens that the model's own files leave open. */
function settingsFor(
  { model, tokenizer, warnOnce }: Opened,
  { returnFullText: _, ...options }: TextGenerationOptions,
): GenerateSettings {
  const { padTokenId, eosTokenId } = model.base.generationConfig;
  return {
    ...(padTokenId === undefined ? { padTokenId: padTokenOf(tokenizer) } : {}),
    ...(eosTokenId === undefined && tokenizer.eosTokenId !== undefined
      ? { eosTokenId: tokenizer.eosTokenId }
      : {}),
    ...options,
    tokenizer,
    warn: warnOnce,
  };
}
