import type { Conversation } from "../row.js";
import { isScalar, print, show } from "../tables/values.js";
import { refuseEntry } from "./kind.js";
import { fromJson, readTools, type Turn } from "./messages.js";

/** What may stand beside what is said. */
export interface Surroundings {
  readonly system?: unknown;
  /** Alpaca's turns before the last one: `[[asked, answered], ...]`. */
  readonly history?: unknown;
  readonly tools?: unknown;
}

/** A column's text; "" where there is none. */
export function textOr(value: unknown, name: string): string {
  if (value === undefined || value === null) return "";
  return isScalar(value) ? print(value) : refuseEntry(`${name} is ${show(value)}, not text`);
}

/** System text, former turns and tools around the turns of a row. Throws what becomes a fault. */
export function conversation(turns: readonly Turn[], { system, history, tools }: Surroundings): Conversation {
  const opening = textOr(system, "system");
  const first = turns[0]?.message;
  const hasOwn = first?.role === "system";
  if (hasOwn && opening !== "" && opening.trim() !== first.content.trim())
    refuseEntry("system says one thing, and the first message, of role system, another");
  const before = hasOwn || opening === "" ? [] : [turn("system", opening, false)];
  const past = readHistory(history).flatMap(([asked, answered]) => [
    turn("user", asked, false),
    turn("assistant", answered, true),
  ]);
  const all = [...before, ...past, ...turns];
  const known = readTools(tools);
  return {
    messages: all.map(({ message }) => message),
    learn: all.map(({ learn }) => learn),
    ...(known === undefined ? {} : { tools: known }),
  };
}

export function turn(role: string, content: string, learn: boolean): Turn {
  return { message: { role, content }, learn };
}

/** Pairs of what was asked and answered, as lists or as their JSON. */
export function readHistory(value: unknown): [asked: string, answered: string][] {
  const list = fromJson(value);
  if (list === undefined || list === null || list === "") return [];
  if (!Array.isArray(list)) return refuseEntry(`history is ${show(value)}, not a list of pairs`);
  return list.map((pair) =>
    Array.isArray(pair) && pair.length === 2
      ? [textOr(pair[0], "history"), textOr(pair[1], "history")]
      : refuseEntry(`history holds ${show(pair)}, not a pair [asked, answered]`),
  );
}
