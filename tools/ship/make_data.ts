/**
 * Writes assets/complaints/{train,validation,test}.csv: rows written by hand (by_hand.yaml) and rows from the
 * frames of messages.yaml, both labels of each skill equally often, no row twice. Run: node --import tsx
 * tools/ship/make_data.ts
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import {
  capitalise,
  drawSlots,
  expand,
  type Issue,
  type MessageFrames,
  makeRandom,
  misspell,
  pick,
  type Random,
  readIssues,
  readMessageFrames,
  shuffle,
} from "./grammar.js";

export type Label = "complaint" | "no complaint";
export interface Row {
  readonly message: string;
  readonly label: Label;
}
export type Split = "train" | "validation" | "test";

const sizes: Readonly<Record<Split, number>> = { train: 640, validation: 120, test: 200 };
const labels = ["complaint", "no complaint"] as const;

function roughen(random: Random, text: string): string {
  let out = random() < 0.05 ? misspell(random, text) : text;
  if (random() < 0.08) out = out.toLowerCase();
  if (random() < 0.08) out = out.replace(/\.$/, "");
  return out;
}

function writeMessage(
  random: Random,
  frames: MessageFrames,
  issues: readonly Issue[],
  frame: string,
): string {
  const slots = drawSlots(random, pick(random, issues));
  const parts = [pick(random, frames.opener), frame, pick(random, frames.closer)];
  const text = parts.map((part) => expand(random, part, slots)).filter((part) => part !== "");
  return roughen(random, capitalise(text.join(" ")));
}

/** `count` new rows of one label, the skills in turn. */
function draw(random: Random, label: Label, count: number, seen: Set<string>): Row[] {
  const frames = readMessageFrames();
  const issues = readIssues();
  const skills = Object.values(frames.skills).flatMap((skill) =>
    Array<typeof skill>(skill.share ?? 1).fill(skill),
  );
  const rows: Row[] = [];
  while (rows.length < count) {
    const skill = skills[rows.length % skills.length]!;
    const message = writeMessage(random, frames, issues, pick(random, skill[label]));
    if (seen.has(message.toLowerCase())) continue;
    seen.add(message.toLowerCase());
    rows.push({ message, label });
  }
  return rows;
}

export function makeData(seed: number): Record<Split, Row[]> {
  const random = makeRandom(seed);
  const byHand = parse(readFileSync(new URL("by_hand.yaml", import.meta.url), "utf8")) as Record<
    Label,
    string[]
  >;
  const seen = new Set(labels.flatMap((label) => byHand[label].map((message) => message.toLowerCase())));
  const hand = labels.map((label) => shuffle(random, byHand[label]).map((message) => ({ message, label })));
  const total = sizes.train + sizes.validation + sizes.test;
  const out: Record<Split, Row[]> = { train: [], validation: [], test: [] };
  for (const split of Object.keys(sizes) as Split[]) {
    for (const [i, label] of labels.entries()) {
      const written = hand[i]!.splice(0, Math.round((byHand[label].length * sizes[split]) / total));
      out[split].push(...written, ...draw(random, label, sizes[split] / 2 - written.length, seen));
    }
    out[split] = shuffle(random, out[split]);
  }
  return out;
}

function quote(field: string): string {
  return /[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field;
}

function main(): void {
  const folder = new URL("../../assets/complaints/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  for (const [split, rows] of Object.entries(makeData(3))) {
    const lines = ["message,label", ...rows.map((row) => `${quote(row.message)},${row.label}`)];
    writeFileSync(new URL(`${split}.csv`, folder), `${lines.join("\n")}\n`);
    console.log(`${split}: ${rows.length} rows`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
