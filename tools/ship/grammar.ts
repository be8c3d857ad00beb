/**
 * The customers' world: fragments, slots, and the expansion of a frame into a sentence. Seeded; nothing is
 * kept between calls.
 */
import { readFileSync } from "node:fs";
import { parse } from "yaml";

export type Random = () => number;

/** One subject of customers' messages with the clauses and noun phrases that tell about it (world.txt). */
export interface Issue {
  readonly topic: string;
  /** Whether one can say that it works or fails. */
  readonly works: boolean;
  readonly slots: Readonly<Record<string, string>>;
}

export type Frames = Readonly<Record<string, readonly string[]>>;
export interface MessageFrames {
  readonly opener: readonly string[];
  readonly closer: readonly string[];
  /** `share`: how often its turn comes; default 1. */
  readonly skills: Readonly<
    Record<string, Readonly<Record<"complaint" | "no complaint", readonly string[]>> & { share?: number }>
  >;
}
export interface PretrainingFrames {
  readonly opener: readonly string[];
  readonly closer: readonly string[];
  readonly situations: Frames;
  readonly replies: Frames;
}

const days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const months = ["january", "march", "april", "may", "june", "july", "august", "october", "december"];
const hours = ["one", "two", "three", "four", "five", "six", "seven", "eight"].map((n) => `${n} o'clock`);
const dates = ["the first", "the second", "the third", "the fourth", "the fifth", "the sixth"];
const numbers = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
const ordinals = ["second", "third", "fourth", "fifth", "sixth", "tenth"];
const tens = ["20", "30", "40", "50", "60", "70", "80", "90"];
const spans = ["day", "week", "month", "evening", "morning", "year"];
const names = [
  "anna",
  "ben",
  "carla",
  "david",
  "emma",
  "felix",
  "grace",
  "henry",
  "ida",
  "jonas",
  "lena",
  "maria",
];
const cities = ["bern", "cork", "leeds", "lyon", "oslo", "porto", "turin", "york"];
const rivals = [
  "my old provider",
  "your rival",
  "the firm next door",
  "the company before you",
  "the big chain",
];

/** Predicates after "the {topic}"; those in `works` only for things that work or fail. */
const predicates = {
  pos: [
    "is fine",
    "is fine again",
    "is in order",
    "is better than ever",
    "could not be better",
    "leaves nothing to wish for",
    "is back to normal",
    "gives me no more trouble",
    "is far from bad",
    "is a joy",
    "has not let me down once",
    "is no longer a problem",
  ],
  neg: [
    "is not fine",
    "is not fine at all",
    "is not in order",
    "is worse than ever",
    "could not be worse",
    "leaves a lot to wish for",
    "is not back to normal",
    "gives me nothing but trouble",
    "is far from good",
    "is a nightmare",
    "has let me down more than once",
    "is still a problem",
  ],
  posWorks: [
    "works",
    "works again",
    "never fails",
    "no longer fails",
    "is not broken any more",
    "has no fault",
  ],
  negWorks: [
    "fails",
    "fails again",
    "never works",
    "no longer works",
    "is broken again",
    "has one fault after another",
  ],
};

const slotNames = ["bad", "badNow", "good", "goodNow", "fix", "if", "badNp", "goodNp"];

/** A seeded generator of numbers in [0, 1) (mulberry32). */
export function makeRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function pick<T>(random: Random, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

export function shuffle<T>(random: Random, values: readonly T[]): T[] {
  const out = [...values];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

function readText(name: string): string {
  return readFileSync(new URL(name, import.meta.url), "utf8");
}

export function readMessageFrames(): MessageFrames {
  return parse(readText("messages.yaml")) as MessageFrames;
}

export function readPretrainingFrames(): PretrainingFrames {
  return parse(readText("pretraining.yaml")) as PretrainingFrames;
}

export function readIssues(): Issue[] {
  const blocks = readText("world.txt")
    .replace(/^#.*\n/gm, "")
    .trim()
    .split(/\n\n+/);
  return blocks.map((block) => {
    const [head = "", ...lines] = block.split("\n");
    if (lines.length !== slotNames.length) throw new Error(`world.txt: "${head}" has ${lines.length} lines`);
    const slots = Object.fromEntries(slotNames.map((name, i) => [name, lines[i]!]));
    const bare = (phrase: string): string => phrase.replace(/^(a|an) /, "");
    const more = { badN: bare(slots["badNp"]!), goodN: bare(slots["goodNp"]!) };
    const topic = head.replace("*", "");
    return { topic, works: head.endsWith("*"), slots: { ...slots, ...more, topic } };
  });
}

/** Two different values of one ordered scale, the smaller first. */
function pair(random: Random, scale: readonly string[]): [string, string] {
  const i = Math.floor(random() * (scale.length - 1));
  const j = i + 1 + Math.floor(random() * (scale.length - 1 - i));
  return [scale[i]!, scale[j]!];
}

/** Values for every slot of one message. */
export function drawSlots(random: Random, issue: Issue): Record<string, string> {
  const [early, late] = pair(random, pick(random, [days, days, months, hours, dates]));
  const [few, many] = pair(random, random() < 0.7 ? numbers : tens);
  const span = pick(random, spans);
  const works = issue.works && random() < 0.6;
  return {
    ...issue.slots,
    pos: pick(random, works ? predicates.posWorks : predicates.pos),
    neg: pick(random, works ? predicates.negWorks : predicates.neg),
    ...{ early, late, few, many, span, spans: `${span}s` },
    nth: pick(random, ordinals),
    day: pick(random, days),
    month: pick(random, months),
    name: pick(random, names),
    city: pick(random, cities),
    other: pick(random, rivals),
    code: String(1000 + Math.floor(random() * 9000)),
    year: String(2005 + Math.floor(random() * 20)),
  };
}

/** A frame with its choices made and its slots filled; `{Bad}` is `{bad}` with a capital. */
export function expand(random: Random, frame: string, slots: Readonly<Record<string, string>>): string {
  const chosen = frame.replace(/\(([^()]*\|[^()]*)\)/g, (_, all: string) => pick(random, all.split("|")));
  const filled = chosen.replace(/\{(\w)(\w*)\}/g, (_, first: string, rest: string) => {
    const value = slots[first.toLowerCase() + rest];
    if (value === undefined) throw new Error(`unknown slot {${first}${rest}} in "${frame}"`);
    return first === first.toLowerCase() ? value : value[0]!.toUpperCase() + value.slice(1);
  });
  return filled.replace(/\b([Aa]) (?=[aeiou])/g, "$1n ");
}

/** A letter lost, doubled or swapped in one longer word. */
export function misspell(random: Random, text: string): string {
  const words = text.split(" ");
  const long = words.flatMap((word, i) => (/^[a-z]{5,}$/.test(word) ? [i] : []));
  if (long.length === 0) return text;
  const at = pick(random, long);
  const word = words[at]!;
  const i = 1 + Math.floor(random() * (word.length - 2));
  const swapped = word.slice(0, i) + word[i + 1]! + word[i]! + word.slice(i + 2);
  const forms = [word.slice(0, i) + word.slice(i + 1), word.slice(0, i) + word[i]! + word.slice(i), swapped];
  words[at] = pick(random, forms);
  return words.join(" ");
}

/** Capitals as people write them. */
export function capitalise(text: string): string {
  const proper = [...days, ...months.filter((month) => month !== "may"), ...names, ...cities];
  return text
    .replace(new RegExp(`\\b(${proper.join("|")})\\b`, "g"), (word) => word[0]!.toUpperCase() + word.slice(1))
    .replace(/\bi\b/g, "I")
    .replace(/(^|[.?!] )([a-z])/g, (_, before: string, letter: string) => before + letter.toUpperCase());
}

/**
 * Everything that can fill a slot, longest first: what check_overlap.ts masks to see a sentence's template.
 */
export function slotFillers(issues: readonly Issue[]): string[] {
  const fragments = issues.flatMap((issue) => Object.values(issue.slots));
  const units = spans.flatMap((span) => [span, `${span}s`]);
  const scales = [days, months, hours, dates, ordinals, numbers, tens, units, names, cities, rivals].flat();
  const all = new Set([...fragments, ...Object.values(predicates).flat(), ...scales]);
  return [...all].sort((x, y) => y.length - x.length);
}
