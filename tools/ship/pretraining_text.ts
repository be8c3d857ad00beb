/**
 * The pretraining text: an endless seeded stream of text-to-text pairs about customers' messages. The tasks
 * ask for parts of what a reader understands: what happened, in which order, in which tone, and whether a
 * word applies ("X or no X?"). No sentence, no template and no label of the data set is in it
 * (check_overlap.ts). Run: node --import tsx tools/ship/pretraining_text.ts --lines 40000 --seed 1 > text.tsv
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  drawSlots,
  expand,
  type Issue,
  makeRandom,
  misspell,
  type PretrainingFrames,
  pick,
  type Random,
  readIssues,
  readPretrainingFrames,
  shuffle,
} from "./grammar.js";

export interface Pair {
  readonly input: string;
  readonly target: string;
  /** The message inside the prompt, as it was before words were hidden; empty for tasks without one. */
  readonly message: string;
}

interface World {
  readonly random: Random;
  readonly frames: PretrainingFrames;
  readonly issues: readonly Issue[];
  readonly situations: readonly string[];
}

interface Draft {
  readonly frame: string;
  readonly message: string;
  readonly situation: string;
  readonly issue: Issue;
  readonly slots: Readonly<Record<string, string>>;
}

/** What each situation means, one column per task. */
const meaning: Readonly<Record<string, { state: string; tone: string; story: string; act: string }>> = {
  fixed: { state: "fine", tone: "relieved", story: "wrong then fine", act: "news" },
  relapse: { state: "wrong", tone: "angry", story: "fine then wrong", act: "news" },
  open: { state: "wrong", tone: "upset", story: "wrong all along", act: "demand" },
  ironic: { state: "wrong", tone: "bitter", story: "wrong again", act: "irony" },
  happy: { state: "fine", tone: "pleased", story: "fine all along", act: "praise" },
  curious: { state: "unknown", tone: "curious", story: "nothing yet", act: "question" },
  plain: { state: "unknown", tone: "calm", story: "nothing at all", act: "note" },
  later: { state: "wrong", tone: "upset", story: "later than planned", act: "comparison" },
  dearer: { state: "wrong", tone: "upset", story: "less for more", act: "comparison" },
  sooner: { state: "fine", tone: "pleased", story: "sooner than planned", act: "comparison" },
  cheaper: { state: "fine", tone: "pleased", story: "more for less", act: "comparison" },
  otherBad: { state: "fine", tone: "pleased", story: "others are worse", act: "comparison" },
  otherGood: { state: "wrong", tone: "disappointed", story: "others are better", act: "comparison" },
  fearUnmet: { state: "fine", tone: "relieved", story: "better than feared", act: "comparison" },
  hopeUnmet: { state: "wrong", tone: "disappointed", story: "worse than hoped", act: "comparison" },
};

/** Properties asked as "X or no X". */
const properties: Readonly<Record<string, readonly string[]>> = {
  delay: ["later"],
  repair: ["fixed"],
  irony: ["ironic"],
  question: ["curious"],
  praise: ["happy", "otherBad", "fearUnmet"],
  return: ["relapse"],
  rival: ["otherBad", "otherGood"],
  surprise: ["fearUnmet", "hopeUnmet", "sooner", "cheaper", "later", "dearer"],
};

function draft(world: World): Draft {
  const { random, frames } = world;
  const situation = pick(random, world.situations);
  const issue = pick(random, world.issues);
  const slots = drawSlots(random, issue);
  const around = (some: readonly string[]): string => (random() < 0.3 ? pick(random, some) : "");
  const frame = pick(random, frames.situations[situation]!);
  const parts = [around(frames.opener), frame, around(frames.closer)];
  const text = parts.map((part) => expand(random, part, slots)).filter((part) => part !== "");
  const message = text.join(" ");
  return { frame, message: random() < 0.06 ? misspell(random, message) : message, situation, issue, slots };
}

function ask(random: Random, message: string, question: string): string {
  return `${pick(random, ["message", "message", "message", "text", "mail"])}: ${message} ${question}`;
}

/** Whether each fragment by itself is good or bad, in their order, whatever the message makes of them. */
function partsOf(frame: string): string {
  const slots = [...frame.matchAll(/\{(bad|good|fix|if|pos|neg)\w*\}/g)].map((match) => match[1]!);
  return slots.map((slot) => (["bad", "if", "neg"].includes(slot) ? "bad" : "good")).join(" ") || "none";
}

/** One or two questions about a message at once; two answers cost little more than one. */
function meaningTask(world: World): Pair {
  const { random } = world;
  const { message, situation, frame } = draft(world);
  const answers: Record<string, string> = { ...meaning[situation]!, parts: partsOf(frame) };
  const columns = shuffle(random, ["state", "state", "state", "tone", "parts"]);
  if (random() < 0.2) {
    // "label" asks for any apt word, so that the new label of a fine-tuning finds all that was understood.
    const target = answers[pick(random, ["state", "tone", "story", "act"])]!;
    return { input: ask(random, message, "label:"), target, message };
  }
  const asked = [...new Set(columns)].slice(0, random() < 0.6 ? 1 : 2);
  const target = asked.map((column) => answers[column]!).join(", ");
  return { input: ask(random, message, `${asked.join(", ")}:`), target, message };
}

function propertyTask(world: World): Pair {
  const { random } = world;
  const word = pick(random, Object.keys(properties));
  const wanted = random() < 0.5;
  for (;;) {
    const { message, situation } = draft(world);
    const has = properties[word]!.includes(situation);
    if (has !== wanted) continue;
    return {
      input: ask(random, message, `about: ${word} or no ${word}?`),
      target: has ? word : `no ${word}`,
      message,
    };
  }
}

/** Whether a word stands in the message; teaches to answer with any word of the prompt. */
function wordTask(world: World): Pair {
  const { random } = world;
  const here = draft(world);
  const from = random() < 0.5 ? here : draft(world);
  const words = (from.message.match(/[a-z]{4,}/g) ?? []).filter((word) => word !== "complaint");
  const word = words.length === 0 ? here.issue.topic : pick(random, words);
  const has = ` ${here.message.replace(/[^a-z ]/g, " ")} `.includes(` ${word} `);
  const input = ask(random, here.message, `about: ${word} or no ${word}?`);
  return { input, target: has ? word : `no ${word}`, message: here.message };
}

function replyTask(world: World): Pair {
  const { random, frames } = world;
  const { message, situation, slots } = draft(world);
  const target = expand(random, pick(random, frames.replies[situation]!), slots);
  return { input: `message: ${message} reply:`, target, message };
}

/** Single fragments: whether they are good or bad news, and which of two values comes first. */
function fragmentTask(world: World): Pair {
  const { random } = world;
  const slots = drawSlots(random, pick(random, world.issues));
  const key = pick(random, [
    "bad",
    "badNow",
    "good",
    "goodNow",
    "fix",
    "if",
    "badNp",
    "goodNp",
    "pos",
    "neg",
  ]);
  if (random() < 0.2) {
    const [low, high] = pick(random, [
      [slots["early"]!, slots["late"]!] as const,
      [slots["few"]!, slots["many"]!],
    ]);
    const name = pick(random, ["first", "last"]);
    const both = shuffle(random, [low, high]).join(" or ");
    return { input: `order: ${name}: ${both}?`, target: name === "first" ? low : high, message: "" };
  }
  const bad = ["bad", "badNow", "if", "badNp", "neg"].includes(key);
  const text = key === "pos" || key === "neg" ? `the ${slots["topic"]} ${slots[key]}` : slots[key]!;
  const input = `part: when ${text} that is:`;
  return { input, target: bad ? "bad" : "good", message: `when ${text}` };
}

/** T5's own task: runs of words hidden behind sentinels, which the target spells out. */
function hiddenTask(world: World): Pair {
  const { random } = world;
  const { message } = draft(world);
  const input: string[] = [];
  const target: string[] = [];
  const words = message.split(" ");
  for (let i = 0, hidden = 0; i < words.length; ) {
    if (hidden < 19 && random() < 0.13) {
      const length = 1 + Math.floor(random() * 3);
      input.push(`<extra_id_${hidden}>`);
      target.push(`<extra_id_${hidden}>`, ...words.slice(i, i + length));
      hidden += 1;
      i += length;
    } else {
      input.push(words[i]!);
      i += 1;
    }
  }
  if (target.length === 0) return hiddenTask(world);
  return { input: input.join(" "), target: target.join(" "), message };
}

/** Tasks and their shares. */
const tasks: readonly (readonly [number, (world: World) => Pair])[] = [
  [0.72, meaningTask],
  [0.04, hiddenTask],
  [0.06, propertyTask],
  [0.03, wordTask],
  [0.02, replyTask],
  [0.13, fragmentTask],
];

/** An endless stream of pairs; the same seed gives the same pairs. */
export function* pretrainingPairs(seed: number): Generator<Pair, never> {
  const frames = readPretrainingFrames();
  const world = { random: makeRandom(seed), frames, issues: readIssues(), situations: Object.keys(meaning) };
  for (;;) {
    let left = world.random();
    const task = tasks.find(([share]) => (left -= share) < 0) ?? tasks[0]!;
    yield task[1](world);
  }
}

function main(): void {
  const { values } = parseArgs({
    options: { lines: { type: "string", default: "40000" }, seed: { type: "string", default: "1" } },
  });
  const lines: string[] = [];
  for (const { input, target, message } of pretrainingPairs(Number(values.seed))) {
    lines.push(`${input}\t${target}\t${message}`);
    if (lines.length === Number(values.lines)) break;
  }
  process.stdout.write(`${lines.join("\n")}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
