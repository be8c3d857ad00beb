/**
 * Fails if a sentence of the data set, or its template, occurs in the pretraining text, or if a label is an
 * answer there. A template is a sentence with every fragment, name, number and day masked. Also fails on a
 * row that two splits share. Run: node --import tsx tools/ship/check_overlap.ts [--lines 200000] [--seed 1]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parse } from "csv-parse/sync";
import { readIssues, slotFillers } from "./grammar.js";
import { pretrainingPairs } from "./pretraining_text.js";

const splits = ["train", "validation", "test"];

function sentencesOf(text: string): string[] {
  const plain = (sentence: string): string =>
    sentence
      .toLowerCase()
      .replace(/[^a-z0-9' ]/g, " ")
      .replace(/\s+/g, " ")
      .trim();
  return text
    .split(/[.?!]+/)
    .map(plain)
    .filter((sentence) => sentence !== "");
}

function makeMask(): (sentence: string) => string {
  const fillers = slotFillers(readIssues()).map((filler) => filler.replace(/[^a-z0-9' ]/g, " "));
  const pattern = new RegExp(`\\b(${fillers.join("|")}|\\d+)\\b`, "g");
  return (sentence) => sentence.replace(pattern, "<>").replace(/\ban? /g, "a ");
}

function readMessages(split: string): string[] {
  const url = new URL(`../../assets/complaints/${split}.csv`, import.meta.url);
  const rows: { message: string }[] = parse(readFileSync(url, "utf8"), { columns: true });
  return rows.map((row) => row.message);
}

function sharedRows(): string[] {
  const seen = new Set<string>();
  const rows = splits.flatMap((split) => readMessages(split).map((message) => message.toLowerCase()));
  return rows.filter((row) => seen.size === seen.add(row).size).map((row) => `row twice: ${row}`);
}

function main(): void {
  const { values } = parseArgs({
    options: { lines: { type: "string", default: "200000" }, seed: { type: "string", default: "1" } },
  });
  const mask = makeMask();
  const sentences = new Set(splits.flatMap(readMessages).flatMap(sentencesOf));
  const templates = new Map([...sentences].map((sentence) => [mask(sentence), sentence]));
  const faults = new Set(sharedRows());
  let left = Number(values.lines);
  for (const { message, target } of pretrainingPairs(Number(values.seed))) {
    if (/^(no )?complaint$/.test(target)) faults.add(`label as an answer: ${target}`);
    for (const sentence of [message, target].flatMap(sentencesOf)) {
      const template = mask(sentence);
      if (sentences.has(sentence)) faults.add(`sentence: ${sentence}`);
      else if (templates.has(template)) faults.add(`template: ${template} (${templates.get(template)})`);
    }
    if (--left === 0) break;
  }
  for (const fault of faults) console.error(fault);
  console.log(`${sentences.size} sentences, ${templates.size} templates, ${faults.size} faults`);
  process.exitCode = faults.size === 0 ? 0 : 1;
}

main();
