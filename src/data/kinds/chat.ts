import type { ChatRow } from "../row.js";
import { conversation } from "./conversation.js";
import { type Kind, readEntries, refuseEntry } from "./kind.js";
import { readTools, readTurns } from "./messages.js";

/**
 * Conversations: `[{ role, content }]`, or ShareGPT's `[{ from, value }]`. What the assistant says is learnt.
 */
export const chat: Kind<ChatRow> = {
  kind: "chat",
  slots: {
    messages: { names: ["messages", "conversations", "conversation", "chat"] },
    system: { names: ["system", "system_prompt"], optional: true },
    tools: { names: ["tools"], optional: true },
    functions: { names: ["functions"], optional: true },
  },
  convert: (entries, faults) =>
    readEntries(entries, faults, ({ at, values }) => {
      const turns = readTurns(values["messages"], "messages");
      if (!turns.some(({ message }) => message.role === "assistant"))
        refuseEntry("no message has the role assistant");
      const tools = [...(readTools(values["tools"]) ?? []), ...(readTools(values["functions"]) ?? [])];
      return { kind: "chat", at, ...conversation(turns, { system: values["system"], tools }) };
    }),
};
