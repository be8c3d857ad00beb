import { at } from "../../present.js";
import { withinSpans } from "../../tokenizers/chat_spans.js";
import { ignoreIndex } from "../batch.js";
import { runs } from "../pieces.js";
import type { Conversation, PromptRow, Row } from "../row.js";
import { chatOf, writeChat } from "./chat_text.js";
import { type DataTask, type EncodeContext, type Encoded, inputsOf, learntOf, padLabels } from "./task.js";

/** Token ids and, for each, whether it is learnt. */
interface Marked {
  ids: number[];
  learn: boolean[];
  isChat?: boolean;
}

/**
 * Prompts (the target and the end token are learnt), chats (what the assistant says), plain text (all of it).
 */
export const causalLM: DataTask<"CAUSAL_LM"> = {
  name: "CAUSAL_LM",
  accepts: ["prompt", "chat", "text"],
  tables: ["chat", "prompt", "text"],
  encode(row, context) {
    const marked = mark(row, context);
    if (typeof marked === "string") return marked;
    // a text that is packed goes on in another sample
    return cut(
      marked,
      context.packing && row.kind === "text" ? { ...context, maxLength: Infinity } : context,
    );
  },
  collate: (samples, _inputs, options) => ({ labels: padLabels(samples, options) }),
  preview: ({ inputIds, labels }, { tokenizer }) =>
    runs(inputIds, (i) => labels[i] !== ignoreIndex, tokenizer),
  labelled: ({ labels }) => labels.reduce((n, label) => n + Number(label >= 0), 0),
  question({ inputIds, labels }) {
    const last = labels.findLastIndex((label) => label !== ignoreIndex);
    const before = labels.subarray(0, last + 1).lastIndexOf(ignoreIndex);
    if (last < 0 || before < 0) return undefined;
    return { ids: [...inputIds.subarray(0, before + 1)], expected: learntOf(labels.subarray(before + 1)) };
  },
};

function mark(row: Row, context: EncodeContext): Marked | string {
  if (row.kind === "chat") return markChat(row, context);
  if (row.kind === "prompt") {
    const chat = chatOf(row, context.tokenizer);
    if (chat !== undefined) return markChat(chat, context);
    if (row.chat?.tools !== undefined)
      context.notes.add("Without a chat template the tools are not written.");
    return markPrompt(row, context);
  }
  if (row.kind !== "text") return `a row of kind "${row.kind}"`;
  const ids = withEnd(at(context.tokenizer(row.text).inputIds, 0), context);
  return { ids, learn: ids.map(() => row.text !== "") };
}

/**
 * Prompt and target are tokenized each on its own, as Python's recipes do; the tokenizer's own start stays,
 * no end between.
 */
function markPrompt({ prompt, target }: PromptRow, context: EncodeContext): Marked {
  const { tokenizer } = context;
  const bare = (text: string): number[] => at(tokenizer(text, { addSpecialTokens: false }).inputIds, 0);
  const whole = at(tokenizer(prompt).inputIds, 0);
  const added = countAtEnd(whole, tokenizer.eosTokenId) - countAtEnd(bare(prompt), tokenizer.eosTokenId);
  const start = whole.slice(0, whole.length - added);
  const rest = withEnd(bare(target), context);
  return {
    ids: [...start, ...rest],
    learn: [...start.map(() => false), ...rest.map(() => target !== "")],
  };
}

/**
 * The chat template writes its own special tokens, so the tokenizer adds none. What is learnt is what the
 * template itself marks ({% generation %}), where all of the assistant's turns are learnt; or else every
 * token that begins in a learnt turn.
 */
function markChat(chat: Conversation, context: EncodeContext): Marked | string {
  const { tokenizer } = context;
  const written = writeChat(chat, context);
  if (typeof written === "string") return written;
  const { learn = [], messages, tools } = chat;
  const isUsual = learn.every((yes, i) => yes === (messages[i]?.role === "assistant"));
  if (isUsual && /\{%-?\s*generation\b/.test(tokenizer.chatTemplate ?? "")) {
    const options = { returnAssistantMask: true as const, ...(tools === undefined ? {} : { tools }) };
    const marked = tokenizer.applyChatTemplate!(written.messages, options);
    return {
      ids: at(marked.inputIds, 0),
      learn: at(marked.assistantMask!, 0).map((mark) => mark === 1),
      isChat: true,
    };
  }
  const encoded = tokenizer(written.text, { addSpecialTokens: false, returnOffsets: true });
  const offsets = encoded.offsets?.[0];
  if (offsets === undefined)
    return "a chat, but the tokenizer gives no offsets to find the assistant's turns by";
  const marks = withinSpans(written.text, offsets, written.spans);
  return { ids: at(encoded.inputIds, 0), learn: marks, isChat: true };
}

function countAtEnd(ids: readonly number[], id: number | undefined): number {
  return ids.length - 1 - ids.findLastIndex((other) => other !== id);
}

function withEnd(ids: number[], { tokenizer }: EncodeContext): number[] {
  const end = tokenizer.eosTokenId;
  return end === undefined || ids.at(-1) === end ? ids : [...ids, end];
}

function cut(
  { ids, learn, isChat = false }: Marked,
  { maxLength, truncationSide }: EncodeContext,
): Encoded<"CAUSAL_LM"> {
  const from = truncationSide === "left" ? Math.max(0, ids.length - maxLength) : 0;
  const kept = ids.slice(from, from + maxLength);
  const keptLearn = learn.slice(from, from + maxLength);
  // The first position has nothing before it to be predicted from.
  const learnt = keptLearn.filter((yes, i) => yes && i > 0).length;
  const all = learn.filter((yes, i) => yes && i > 0).length;
  const labels = Int32Array.from(kept, (id, i) => (keptLearn[i] ? id : ignoreIndex));
  return {
    fields: { ...inputsOf(kept), labels },
    truncated: kept.length < ids.length,
    labelsCut: learnt < all,
    learnt,
    isChat,
  };
}
