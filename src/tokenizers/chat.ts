import { type NamesOf, pickOptions } from "../arguments.js";
import { internal, PeftError } from "../errors.js";
import { toCode } from "../words.js";
import { learntSpans } from "./chat_spans.js";
import type { EncodeOptions, Encoding } from "./encode.js";
import { encodeNames } from "./encode.js";
import type { ChatTemplate, Rendered, TemplateSource } from "./template.js";
import { compileTemplate } from "./template.js";

/** One turn of a chat; templates may read more than role and content. */
export type ChatMessage = {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
};

/** Chat templates by name; the one that counts is `default`, or `tool_use` where tools are given. */
export type ChatTemplates = ReadonlyMap<string, TemplateSource>;

/** How a chat is written and encoded. */
export type ChatOptions = Omit<EncodeOptions, "textPair" | "addSpecialTokens"> & {
  /** False gives the text itself. @default true */
  tokenize?: boolean;
  /** End with the header of an assistant's turn, so that the model goes on from there. @default false */
  addGenerationPrompt?: boolean;
  /** Functions that the assistant may call. */
  tools?: readonly unknown[];
  /** Texts that it may cite. */
  documents?: readonly unknown[];
  /** Mark the tokens that the assistant writes, for training on those alone. */
  returnAssistantMask?: boolean;
  /** A template, or the name of one of the tokenizer's. */
  chatTemplate?: string;
  /** Other variables of the template, such as enable_thinking. */
  variables?: { readonly [name: string]: unknown };
  /** The date for templates that print it. */
  now?: Date;
};

const { textPair: _pair, addSpecialTokens: _special, ...textNames } = encodeNames;
export const chatNames: NamesOf<ChatOptions> = {
  ...textNames,
  tokenize: {},
  addGenerationPrompt: {},
  tools: {},
  documents: {},
  returnAssistantMask: { python: "return_assistant_tokens_mask" },
  chatTemplate: {},
  variables: { python: "chat_template_kwargs", also: ["enable_thinking"] },
  now: {},
};

/** A rendered chat, with the spans of its text that the assistant writes, where they were asked for. */
export type RenderedChat = {
  readonly text: string;
  readonly assistant: readonly (readonly [number, number])[];
};

/** Renders a chat. Reference: transformers/utils/chat_template_utils.py */
export function applyTemplate(
  templates: ChatTemplates,
  messages: readonly ChatMessage[],
  tokens: { readonly [name: string]: string },
  options: ChatOptions,
  compile: (source: TemplateSource) => ChatTemplate = compileTemplate,
): RenderedChat {
  if (messages.length === 0) {
    throw new PeftError("data", {
      what: "The chat is empty.",
      why: "a chat template needs at least one message.",
      fix: `pass messages such as [{ role: "user", content: "Hello" }].`,
    });
  }
  const template = compile(chooseTemplate(templates, options));
  const now = options.now ?? new Date();
  const render = (turns: readonly ChatMessage[], prompt: boolean): Rendered =>
    template.render(
      {
        ...tokens,
        tools: options.tools ?? null,
        documents: options.documents ?? null,
        ...options.variables,
        messages: turns.map(nameReasoning),
        add_generation_prompt: prompt,
      },
      now,
    );
  const whole = render(messages, options.addGenerationPrompt ?? false);
  if (!options.returnAssistantMask) return { text: whole.text, assistant: [] };
  if (template.marksGeneration) return { text: whole.text, assistant: whole.generated };
  const learn = messages.map(({ role }) => role === "assistant");
  const found = learntSpans(messages, learn, (turns) => render(turns, false).text);
  if (typeof found === "string") return unmarked(found);
  return { text: whole.text, assistant: found.spans.map(({ start, end }) => [start, end] as const) };
}

const reasoningNames = ["reasoning_content", "thinking", "reasoning"];

/**
 * What a turn's reasoning is called differs between data sets and templates: it gets both names that are
 * read.
 */
function nameReasoning(message: ChatMessage): ChatMessage {
  const name = reasoningNames.find((key) => message[key] !== null && message[key] !== undefined);
  if (name === undefined) return message;
  return { thinking: message[name], ...message, reasoning_content: message[name] };
}

function chooseTemplate(templates: ChatTemplates, options: ChatOptions): TemplateSource {
  const wanted = options.chatTemplate;
  if (wanted !== undefined) return templates.get(wanted) ?? { text: wanted, where: "chatTemplate" };
  const found = (options.tools && templates.get("tool_use")) ?? templates.get("default");
  if (found !== undefined) return found;
  const names = [...templates.keys()];
  throw new PeftError("tokenizer", {
    what: "This tokenizer has no default chat template.",
    why:
      names.length > 0 ? `it has only ${names.join(", ")}.` : "its folder holds none: it is no chat model.",
    fix: toCode(
      "pass chatTemplate: a Jinja template, or the name of one that it has.",
      "put a chat_template.jinja beside the model, or take prompts as they are: --raw.",
    ),
  });
}

function unmarked(why: string): never {
  throw new PeftError("tokenizer", {
    what: "The assistant's turns cannot be found in the rendered chat.",
    why: `${why}, and it has no {% generation %} marks.`,
    fix: "pass a chatTemplate with {% generation %} ... {% endgeneration %} around what the assistant writes.",
  });
}

/** Tokens of a rendered chat: no special tokens are added, the template wrote them. */
export function encodeChat(
  tokenizer: (text: string, options: EncodeOptions) => Encoding,
  chat: RenderedChat,
  options: ChatOptions,
): Encoding & { assistantMask?: number[][] } {
  const wantMask = options.returnAssistantMask ?? false;
  const wantOffsets = options.returnOffsets ?? false;
  const encoding = tokenizer(chat.text, {
    ...pickOptions(options, textNames),
    addSpecialTokens: false,
    returnOffsets: wantOffsets || wantMask,
  });
  if (!wantMask) return encoding;
  const { offsets, ...rest } = encoding;
  const assistantMask = (offsets ?? internal("an encoding without offsets")).map((row) =>
    row.map(([start, end]) => (chat.assistant.some(([from, to]) => start < to && end > from) ? 1 : 0)),
  );
  return wantOffsets ? { ...encoding, assistantMask } : { ...rest, assistantMask };
}
