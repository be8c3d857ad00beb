import type { ChatRow, Conversation, PromptRow } from "../row.js";
import { isObject } from "../tables/values.js";
import { conversation, readHistory, type Surroundings, textOr, turn } from "./conversation.js";
import { type Entry, type Kind, readEntries, refuseEntry } from "./kind.js";
import { fromJson, readTurns, type Turn } from "./messages.js";

/**
 * A prompt and the text to be learnt after it: two columns, or Alpaca's (`input`, `system`, `history`),
 * Dolly's (`context`), or TRL's, whose prompt and completion may be lists of messages.
 */
export const prompt: Kind<PromptRow | ChatRow> = {
  kind: "prompt",
  slots: {
    prompt: { names: ["prompt", "instruction", "question", "query", "input"] },
    target: { names: ["completion", "response", "output", "target", "answer"] },
    input: { names: ["input", "context"], optional: true },
    system: { names: ["system", "system_prompt"], optional: true },
    history: { names: ["history"], optional: true },
    tools: { names: ["tools"], optional: true, ofChats: true },
  },
  convert: (entries, faults, { literal = false }) =>
    readEntries(entries, faults, (entry) => {
      const { prompt: asked, target } = entry.values;
      if (isTurns(asked) || isTurns(target)) return ofMessages(entry);
      return literal ? plain(entry) : { ...plain(entry), chat: asChat(entry) };
    }),
};

function isTurns(value: unknown): boolean {
  const list = fromJson(value);
  const isTurn = (item: unknown): boolean => isObject(item) && ("role" in item || "from" in item);
  return Array.isArray(value) || (Array.isArray(list) && list.length > 0 && list.every(isTurn));
}

/** TRL's conversational form: what the assistant says in the completion is learnt, nothing of the prompt. */
function ofMessages({ at, values }: Entry): ChatRow {
  const turnsOf = (slot: string, role: string): Turn[] =>
    isTurns(values[slot])
      ? readTurns(values[slot], slot)
      : [turn(role, needed(values[slot], slot), role === "assistant")];
  const completion = turnsOf("target", "assistant");
  if (!completion.some(({ message }) => message.role === "assistant"))
    refuseEntry("no message of the completion has the role assistant");
  if (textOr(values["input"], "input") !== "") refuseEntry("an input stands beside a prompt of messages");
  const before = turnsOf("prompt", "user").map(({ message }) => ({ message, learn: false }));
  return { kind: "chat", at, ...conversation([...before, ...completion], values) };
}

/** Everything before the target, in paragraphs. */
function plain({ at, values }: Entry): PromptRow {
  const past = readHistory(values["history"]).flat();
  const parts = [textOr(values["system"], "system"), ...past, question(values)];
  const text = parts.filter((part) => part !== "").join("\n\n");
  return { kind: "prompt", at, prompt: text, target: needed(values["target"], "target") };
}

function asChat({ values }: Entry): Conversation {
  const target = needed(values["target"], "target");
  const turns = [turn("user", question(values), false), turn("assistant", target, target !== "")];
  return conversation(turns, values as Surroundings);
}

/** Alpaca's instruction with its input, Dolly's with its context. */
function question(values: Entry["values"]): string {
  const parts = [needed(values["prompt"], "prompt"), textOr(values["input"], "input")];
  return parts.filter((part, i) => i === 0 || part !== "").join("\n\n");
}

function needed(value: unknown, slot: string): string {
  return value === undefined || value === null ? refuseEntry(`no value for ${slot}`) : textOr(value, slot);
}
