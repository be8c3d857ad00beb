import type { Message } from "../types.js";

export interface Span {
  readonly start: number;
  readonly end: number;
}

type Render = (messages: readonly Message[]) => string;

/**
 * The whole conversation as the template writes it, and where in it the learnt turns stand, each with its end mark.
 * A turn is found by writing the conversation once more with other words in its place: what then differs is the turn. So it does
 * not matter what the template does to the others (Qwen drops earlier reasoning, Llama trims). Words say why it failed.
 */
export function learntSpans(
  messages: readonly Message[],
  learn: readonly boolean[],
  render: Render,
): { text: string; spans: Span[] } | string {
  const text = render(messages);
  const spans: Span[] = [];
  for (const i of messages.keys()) {
    if (!learn[i]) continue;
    const span = findTurn(messages, i, text, render);
    if (span === undefined || span.start < (spans.at(-1)?.end ?? 0)) {
      return `the chat template does not write message ${i + 1} in a place of its own`;
    }
    spans.push(span);
  }
  return { text, spans };
}

// Words that stand in no conversation, with nothing in them that a template trims or splits at.
export const standIn = "\u2b1aassistant\u2b1aturn\u2b1a";

function findTurn(messages: readonly Message[], i: number, text: string, render: Render): Span | undefined {
  const { role } = messages[i]!;
  const replaced = messages.with(i, { role, content: standIn }); // calls and reasoning are part of the turn
  const other = render(replaced);
  const at = other.indexOf(standIn);
  if (at < 0) return undefined;
  const after = other.slice(at + standIn.length);
  const start = commonStart(text, other.slice(0, at));
  const contentEnd = text.length - commonEnd(text.slice(start), after);
  const upTo = render(replaced.slice(0, i + 1));
  const tail = upTo.slice(upTo.indexOf(standIn) + standIn.length);
  const mark = after.slice(0, commonStart(after, tail)).trimEnd();
  return { start, end: contentEnd + (text.startsWith(mark, contentEnd) ? mark.length : 0) };
}

/** Whether a token belongs to a span; white space that a tokenizer puts into a turn's first token counts as the turn. */
export function isWithin(text: string, [start, end]: readonly [number, number], span: Span): boolean {
  if (start >= span.start) return start < span.end;
  return end > span.start && text.slice(start, span.start).trim() === "";
}

function commonStart(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[n] === b[n]) n++;
  return n;
}

function commonEnd(a: string, b: string): number {
  let n = 0;
  while (n < a.length && n < b.length && a[a.length - 1 - n] === b[b.length - 1 - n]) n++;
  return n;
}
