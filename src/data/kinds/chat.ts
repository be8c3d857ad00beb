import type { ChatRow } from "../row.js";
import { isRecord, show } from "../tables/table.js";
import type { Message } from "../types.js";
import type { Kind } from "./kind.js";

/** ShareGPT's names of the roles. */
const roles: Readonly<Record<string, string>> = { human: "user", gpt: "assistant" };

/** Conversations: `[{ role, content }]`, or ShareGPT's `[{ from, value }]`. What the assistant says is learnt. */
export const chat: Kind<ChatRow> = {
  kind: "chat",
  slots: { messages: { names: ["messages", "conversations", "conversation", "chat"] } },
  convert: (entries, faults) =>
    entries.flatMap(({ at, values }) => {
      const messages = readMessages(values["messages"]);
      if (typeof messages === "string") faults.push({ at, says: messages });
      else return [{ kind: "chat" as const, at, messages }];
      return [];
    }),
};

/** The messages, or words that say why they are none. Keys beyond role and content stay, for templates that read them. */
function readMessages(value: unknown): Message[] | string {
  const list = typeof value === "string" ? parsed(value) : value;
  if (!Array.isArray(list) || list.length === 0) return `messages is ${show(value)}, not a list of messages`;
  const messages: Message[] = [];
  for (const [i, item] of list.entries()) {
    const { from, value: said, ...rest } = isRecord(item) ? item : {};
    const role = rest["role"] ?? from;
    const content = rest["content"] ?? said ?? ("tool_calls" in rest ? "" : undefined);
    if (typeof role !== "string" || typeof content !== "string") {
      return `message ${i + 1} is ${show(item)}, without a role and content`;
    }
    messages.push({ ...rest, role: rest["role"] === undefined ? (roles[role] ?? role) : role, content });
  }
  if (!messages.some(({ role }) => role === "assistant")) return "no message has the role assistant";
  return messages;
}

/** CSV has no lists: there a conversation stands as JSON text. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
