import { PeftError } from "../../errors.js";
import { learntSpans, type Span, standIn } from "../../tokenizers/chat_spans.js";
import { TemplateFault } from "../../tokenizers/jinja/fault.js";
import { callText, knownRoles } from "../kinds/messages.js";
import type { Conversation, PromptRow, Row } from "../row.js";
import type { Message } from "../types.js";
import type { EncodeContext } from "./task.js";

/**
 * What a row of prompt and completion is learnt as: nothing where its form was given, or the model has no
 * template.
 */
export function chatOf(
  row: PromptRow,
  tokenizer: Pick<EncodeContext["tokenizer"], "chatTemplate">,
): Conversation | undefined {
  return tokenizer.chatTemplate === undefined ? undefined : row.chat;
}

/** Whether the model's chat template writes a row. */
export function isChat(row: Row, tokenizer: Pick<EncodeContext["tokenizer"], "chatTemplate">): boolean {
  return row.kind === "chat" || (row.kind === "prompt" && chatOf(row, tokenizer) !== undefined);
}

/** A conversation as the chat template writes it, and where in it is learnt. */
export interface ChatText {
  readonly text: string;
  readonly spans: readonly Span[];
  /** What was written: calls stand in it as text where the template writes none. */
  readonly messages: readonly Message[];
}

/** Words say what is wrong with the conversation. What the template leaves out is noted. */
export function writeChat(chat: Conversation, context: EncodeContext): ChatText | string {
  const { tokenizer } = context;
  if (tokenizer.applyChatTemplate === undefined) return "a chat, but the tokenizer has no chat template";
  const strange = chat.messages.find(({ role }) => !isKnown(role, tokenizer.chatTemplate ?? ""));
  if (strange !== undefined)
    return `the role ${JSON.stringify(strange.role)}: known are ${knownRoles.join(", ")}, and what the chat template names`;
  const render = (messages: readonly Message[], tools = chat.tools): string =>
    tokenizer.applyChatTemplate!(messages, { tokenize: false, ...(tools === undefined ? {} : { tools }) });
  try {
    const messages = withCalls(chat.messages, render, context);
    const learn = chat.learn ?? messages.map(({ role }) => role === "assistant");
    const found = learntSpans(messages, learn, render);
    if (typeof found === "string") return found;
    noteLosses({ ...chat, messages }, found.text, render, context);
    return { ...found, messages };
  } catch (error) {
    if (!(error instanceof PeftError) || error.code !== "tokenizer" || isTemplateBroken(error)) throw error;
    return error.what.replace(/\.$/, "");
  }
}

/** Whether a template fails on every conversation: then the row is not to blame. */
function isTemplateBroken({ cause }: PeftError): boolean {
  return cause instanceof TemplateFault && (cause.kind === "syntax" || cause.kind === "budget");
}

function isKnown(role: string, template: string): boolean {
  return knownRoles.includes(role) || [`"${role}"`, `'${role}'`].some((name) => template.includes(name));
}

type Render = (messages: readonly Message[], tools?: readonly unknown[]) => string;

/** Calls become text where the template writes none: they are what is to be learnt. */
function withCalls(
  messages: readonly Message[],
  render: Render,
  { notes, written }: EncodeContext,
): readonly Message[] {
  const calls = (message: Message): readonly unknown[] =>
    Array.isArray(message["tool_calls"]) ? message["tool_calls"] : [];
  const first = messages.find((message) => calls(message).length > 0);
  if (first === undefined) return messages;
  const other = { type: "function", function: { name: standIn, arguments: {} } };
  const probe = messages.map((message) =>
    message === first ? { ...message, tool_calls: [other] } : message,
  );
  if (isWritten("tool_calls", written, () => render(probe))) return messages;
  notes.add(
    'The chat template writes no tool calls: they are learnt as text, {"name": ..., "arguments": ...}.',
  );
  return messages.map((message) => {
    const { tool_calls: _, ...rest } = message;
    const lines = [message.content, ...calls(message).map(callText)].filter((line) => line !== "");
    return calls(message).length === 0 ? message : { ...rest, role: message.role, content: lines.join("\n") };
  });
}

/** Whether the stand-in that was put in a place appears; a template that refuses it reads that place. */
function isWritten(place: string, written: Map<string, boolean>, probe: () => string): boolean {
  const known = written.get(place);
  if (known !== undefined) return known;
  let found = true;
  try {
    found = probe().includes(standIn);
  } catch {} // it reads the place: the stand-in is not what it takes there
  written.set(place, found);
  return found;
}

/** Notes what the conversation holds and its text does not. */
function noteLosses(
  chat: Conversation,
  text: string,
  render: Render,
  { notes, written }: EncodeContext,
): void {
  const { messages, tools } = chat;
  const stand = { type: "function", function: { name: standIn, description: standIn, parameters: {} } };
  if (tools !== undefined && !isWritten("tools", written, () => render(messages, [stand])))
    notes.add("The chat template does not write the tools.");
  const keys = new Set(messages.flatMap((message) => Object.keys(message)));
  for (const key of keys) {
    if (key === "role" || key === "content" || key === "tool_calls") continue;
    const probe = messages.map((message) => (key in message ? { ...message, [key]: standIn } : message));
    if (!isWritten(`messages.${key}`, written, () => render(probe)))
      notes.add(`The chat template does not write ${JSON.stringify(key)} of messages.`);
  }
  let from = 0; // messages stand in their order, mostly
  for (const { role, content } of messages) {
    const said = content.trim();
    const at = text.indexOf(said, from);
    if (at >= 0) from = at + said.length;
    else if (!text.includes(said)) notes.add(`The chat template leaves out words of role ${role}.`);
  }
}
