import { PeftError } from "../errors.js";

export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A turn, and one of other words in its place. */
type Turn = { readonly role: string };
type Replaced = { readonly role: string; readonly content: string };
type Render<M> = (messages: readonly (M | Replaced)[]) => string;

/**
 * The whole conversation as the template writes it, and where in it the learnt turns stand, each with its end
 * mark. The turns are found by writing the conversation once more with stand-ins in their places: what stands
 * between these is text that both have. A turn whose place that leaves open is looked at by itself
 * (`findTurn`). Words say why it failed.
 */
export function learntSpans<M extends Turn>(
  messages: readonly M[],
  learn: readonly boolean[],
  render: Render<M>,
): { text: string; spans: Span[] } | string {
  const text = render(messages);
  const turns = [...messages.keys()].filter((i) => learn[i] === true);
  const whole: Whole<M> = { text, messages, render, tails: new Map() };
  const between = textBetween(messages, turns, render);
  const spans: Span[] = [];
  let start = between !== undefined && text.startsWith(between[0]!) ? between[0]!.length : undefined;
  for (const [k, i] of turns.entries()) {
    const after = between?.[k + 1];
    const found =
      start === undefined || after === undefined
        ? undefined
        : endOfTurn(whole, i, { start, after, isLast: k === turns.length - 1 });
    const turn =
      start === undefined || found === undefined
        ? findTurn(whole, i)
        : { start, contentEnd: found, after: text.slice(found) };
    const last = spans.at(-1)?.end ?? 0;
    if (turn === undefined || turn.start < last)
      return `the chat template does not write message ${i + 1} in a place of its own`;
    spans.push({ start: turn.start, end: turn.contentEnd + endMark(whole, i, turn) });
    const next = turn.contentEnd + (after ?? "").length;
    start = after !== undefined && text.startsWith(after, turn.contentEnd) ? next : undefined;
  }
  return { text, spans };
}

/**
 * A conversation as it is written, and what its template writes after a turn that is the last, by the kind of
 * turn.
 */
interface Whole<M> {
  readonly text: string;
  readonly messages: readonly M[];
  readonly render: Render<M>;
  readonly tails: Map<string, string>;
}

// Words that stand in no conversation, with nothing in them that a template trims or splits at.
export const standIn = "\u2b1aassistant\u2b1aturn\u2b1a";

/** A turn of other words; calls and reasoning are part of what it replaces. */
function replaced({ role }: Turn): Replaced {
  return { role, content: standIn };
}

/**
 * What stands before, between and after the turns; undefined: the template does not write each of them once.
 */
function textBetween<M extends Turn>(
  messages: readonly M[],
  turns: readonly number[],
  render: Render<M>,
): readonly string[] | undefined {
  const isTurn = new Set(turns);
  let parts: readonly string[] = [];
  try {
    parts = render(messages.map((message, i) => (isTurn.has(i) ? replaced(message) : message))).split(
      standIn,
    );
  } catch (error) {
    if (!(error instanceof PeftError)) throw error; // the template refuses so many turns of one text
  }
  return parts.length === turns.length + 1 ? parts : undefined;
}

/**
 * Where a turn ends, by the text that comes after it; undefined where that text may be part of the turn
 * itself.
 */
function endOfTurn<M>(
  { text, messages }: Whole<M>,
  i: number,
  { start, after, isLast }: { start: number; after: string; isLast: boolean },
): number | undefined {
  if (isLast)
    return text.length - after.length >= start && text.endsWith(after)
      ? text.length - after.length
      : undefined;
  const isAmbiguous =
    after === "" || textsIn(messages[i]).some((said) => `${said}${after}`.indexOf(after) < said.length);
  const end = isAmbiguous ? -1 : text.indexOf(after, start);
  return end < 0 ? undefined : end;
}

/** All that a message says, wherever it stands in it, as it is and trimmed. */
function textsIn(value: unknown): readonly string[] {
  if (typeof value === "string") return [value, value.trim()];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

interface Place {
  readonly start: number;
  readonly contentEnd: number;
  /** What is written after it. */
  readonly after: string;
}

/**
 * A turn by itself: the conversation is written with other words in its place alone, and what then differs is
 * the turn. So it does not matter what the template does to the others (Qwen drops earlier reasoning, Llama
 * trims).
 */
function findTurn<M extends Turn>({ text, messages, render }: Whole<M>, i: number): Place | undefined {
  const other = render([...messages.slice(0, i), replaced(messages[i]!), ...messages.slice(i + 1)]);
  const at = other.indexOf(standIn);
  if (at < 0) return undefined;
  const after = other.slice(at + standIn.length);
  const start = commonStart(text, other.slice(0, at));
  return { start, contentEnd: text.length - commonEnd(text.slice(start), after), after };
}

/**
 * Length of the mark that ends a turn: what is written after it both there and where the conversation ends
 * with it.
 */
function endMark<M extends Turn>(
  { text, messages, render, tails }: Whole<M>,
  i: number,
  { contentEnd, after }: Place,
): number {
  const kind = [messages[i - 1]?.role, ...Object.keys(messages[i]!), messages[i]!.role].join("\n");
  const write = (): string => {
    const upTo = render([...messages.slice(0, i), replaced(messages[i]!)]);
    return upTo.slice(upTo.indexOf(standIn) + standIn.length);
  };
  const tail = tails.get(kind) ?? write();
  tails.set(kind, tail);
  const mark = after.slice(0, commonStart(after, tail)).trimEnd();
  return text.startsWith(mark, contentEnd) ? mark.length : 0;
}

/** For tokens in their order: whether each belongs to one of the spans, which are in order too. */
export function withinSpans(
  text: string,
  ranges: readonly (readonly [number, number])[],
  spans: readonly Span[],
): boolean[] {
  let next = 0;
  return ranges.map((range) => {
    while (next < spans.length && spans[next]!.end <= range[0]) next++;
    const span = spans[next];
    return span !== undefined && isWithin(text, range, span);
  });
}

/**
 * Whether a token belongs to a span; white space that a tokenizer puts into a turn's first token counts as
 * the turn.
 */
function isWithin(text: string, [start, end]: readonly [number, number], span: Span): boolean {
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
