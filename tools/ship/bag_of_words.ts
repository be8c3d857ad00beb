/**
 * The baseline that the data set must be too hard for: logistic regression on which words occur, L2, its
 * strength chosen on the validation split. Run: node --import tsx tools/ship/bag_of_words.ts [--ngrams 2]
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { parse } from "csv-parse/sync";

interface Sample {
  readonly words: readonly number[];
  readonly y: number;
}

const steps = 400;
const strengths = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1];

function readRows(split: string): { message: string; label: string }[] {
  const url = new URL(`../../assets/complaints/${split}.csv`, import.meta.url);
  return parse(readFileSync(url, "utf8"), { columns: true });
}

function wordsOf(message: string, n: number): Set<string> {
  const words = message.toLowerCase().match(/[a-z0-9']+|[?!]/g) ?? [];
  const out = new Set<string>(words);
  for (let size = 2; size <= n; size++)
    for (let i = 0; i + size <= words.length; i++) out.add(words.slice(i, i + size).join(" "));
  return out;
}

function samplesOf(split: string, vocabulary: ReadonlyMap<string, number>, n: number): Sample[] {
  return readRows(split).map(({ message, label }) => ({
    words: [...wordsOf(message, n)].map((word) => vocabulary.get(word)).filter((id) => id !== undefined),
    y: label === "complaint" ? 1 : 0,
  }));
}

function score(weights: Float64Array, sample: Sample): number {
  let sum = weights[weights.length - 1]!;
  for (const word of sample.words) sum += weights[word]!;
  return sum;
}

/** minimise mean(log(1 + exp(-y s))) + l2/2 |w|^2 by Adam on the whole split; the bias is the last weight. */
function solve(samples: readonly Sample[], vocab: number, l2: number): Float64Array {
  const w = new Float64Array(vocab + 1);
  const m = new Float64Array(vocab + 1);
  const v = new Float64Array(vocab + 1);
  for (let step = 1; step <= steps; step++) {
    const dw = Float64Array.from(w, (value, i) => (i === vocab ? 0 : l2 * value));
    for (const sample of samples) {
      const error = (1 / (1 + Math.exp(-score(w, sample))) - sample.y) / samples.length;
      for (const word of sample.words) dw[word]! += error;
      dw[vocab]! += error;
    }
    for (let i = 0; i <= vocab; i++) {
      m[i] = 0.9 * m[i]! + 0.1 * dw[i]!;
      v[i] = 0.99 * v[i]! + 0.01 * dw[i]! ** 2;
      const scaled = m[i]! / (1 - 0.9 ** step) / (Math.sqrt(v[i]! / (1 - 0.99 ** step)) + 1e-8);
      w[i] = w[i]! - 0.05 * scaled;
    }
  }
  return w;
}

function accuracy(w: Float64Array, samples: readonly Sample[]): number {
  return samples.filter((sample) => score(w, sample) > 0 === (sample.y === 1)).length / samples.length;
}

function main(): void {
  const { values } = parseArgs({ options: { ngrams: { type: "string", default: "1" } } });
  const n = Number(values.ngrams);
  const all = new Set(readRows("train").flatMap(({ message }) => [...wordsOf(message, n)]));
  const vocabulary = new Map([...all].map((word, id) => [word, id]));
  const [train, validation, test] = ["train", "validation", "test"].map((split) =>
    samplesOf(split, vocabulary, n),
  );
  const tried = strengths.map((l2) => {
    const w = solve(train!, vocabulary.size, l2);
    return { l2, w, validation: accuracy(w, validation!) };
  });
  const best = tried.reduce((x, y) => (y.validation > x.validation ? y : x));
  const share = (value: number): string => value.toFixed(3);
  console.log(`bag of words (1..${n} words), ${vocabulary.size} features, l2 ${best.l2}:`);
  console.log(`train ${share(accuracy(best.w, train!))} validation ${share(best.validation)}`);
  console.log(`test accuracy ${share(accuracy(best.w, test!))}`);
}

main();
