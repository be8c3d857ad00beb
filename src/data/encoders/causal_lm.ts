import { ignoreIndex } from "../batch.js";
import type { ChatRow, PromptRow, Row } from "../row.js";
import { isWithin, learntSpans } from "./chat_spans.js";
import { type EncodeContext, type Encoded, type Encoder, inputsOf } from "./encoder.js";

/** Token ids and, for each, whether it is learnt. */
interface Marked {
  ids: number[];
  learn: boolean[];
}

/** Prompts (the target and the end token are learnt), chats (what the assistant says), plain text (all of it). */
export const causalLM: Encoder<"CAUSAL_LM"> = {
  accepts: ["prompt", "chat", "text"],
  encode(row, context) {
    const marked = mark(row, context);
    return typeof marked === "string" ? marked : cut(marked, context);
  },
};

function mark(row: Row, context: EncodeContext): Marked | string {
  if (row.kind === "prompt") return markPrompt(row, context);
  if (row.kind === "chat") return markChat(row, context);
  if (row.kind !== "text") return `a row of kind "${row.kind}"`;
  const ids = withEnd(context.tokenizer(row.text).inputIds[0]!, context);
  return { ids, learn: ids.map(() => row.text !== "") };
}

/** Prompt and target are tokenized each on its own, as Python's recipes do; the tokenizer's own start stays, no end between. */
function markPrompt({ prompt, target }: PromptRow, context: EncodeContext): Marked {
  const { tokenizer } = context;
  const bare = (text: string): number[] => tokenizer(text, { addSpecialTokens: false }).inputIds[0]!;
  const whole = tokenizer(prompt).inputIds[0]!;
  const added = countAtEnd(whole, tokenizer.eosTokenId) - countAtEnd(bare(prompt), tokenizer.eosTokenId);
  const start = whole.slice(0, whole.length - added);
  const rest = withEnd(bare(target), context);
  return {
    ids: [...start, ...rest],
    learn: [...start.map(() => false), ...rest.map(() => target !== "")],
  };
}

/**
 * The chat template writes its own special tokens, so the tokenizer adds none. What is learnt is what the template itself marks
 * ({% generation %}), or else every token that begins in a turn of the assistant.
 */
function markChat({ messages }: ChatRow, { tokenizer }: EncodeContext): Marked | string {
  if (tokenizer.applyChatTemplate === undefined) return "a chat, but the tokenizer has no chat template";
  if (/\{%-?\s*generation\b/.test(tokenizer.chatTemplate ?? "")) {
    const chat = tokenizer.applyChatTemplate([...messages], { returnAssistantMask: true });
    return { ids: chat.inputIds[0]!, learn: chat.assistantMask![0]!.map((mark) => mark === 1) };
  }
  const found = learntSpans(messages, (list) => tokenizer.applyChatTemplate!([...list], { tokenize: false }));
  if (typeof found === "string") return found;
  const encoded = tokenizer(found.text, { addSpecialTokens: false, returnOffsets: true });
  const offsets = encoded.offsets?.[0];
  if (offsets === undefined)
    return "a chat, but the tokenizer gives no offsets to find the assistant's turns by";
  const learn = offsets.map((range) => found.spans.some((span) => isWithin(found.text, range, span)));
  return { ids: encoded.inputIds[0]!, learn };
}

function countAtEnd(ids: readonly number[], id: number | undefined): number {
  return ids.length - 1 - ids.findLastIndex((other) => other !== id);
}

function withEnd(ids: number[], { tokenizer }: EncodeContext): number[] {
  const end = tokenizer.eosTokenId;
  return end === undefined || ids.at(-1) === end ? ids : [...ids, end];
}

function cut({ ids, learn }: Marked, { maxLength, truncationSide }: EncodeContext): Encoded<"CAUSAL_LM"> {
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
  };
}
