import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hashedStepper } from "../../tests/golden/hashed_model.js";
import { type GenerationConfig, parseGenerationConfig } from "./config.js";
import { generate } from "./generate.js";
import { applyRules, makeRules } from "./processors.js";
import { resolveGeneration } from "./resolve.js";
import { logSoftmax } from "./select.js";

interface Case {
  ids: number[][];
  mask: number[][];
  options: Record<string, unknown>;
  sequences: number[][];
  scores?: number[];
  /** What transformers refused. */
  error?: string;
}
interface Warped {
  ids: number[][];
  options: Record<string, unknown>;
  scores: (number | null)[];
}

// made by tools/golden/generate.py
const golden = JSON.parse(readFileSync("tests/golden/generate.json", "utf8")) as {
  vocab: number;
  cases: Case[];
  warped: Warped[];
};
const settings = (options: Record<string, unknown>): GenerationConfig =>
  parseGenerationConfig(options).config;

describe("generate equals transformers", () => {
  it.each(golden.cases.map((c, i) => [i, JSON.stringify(c.options), c] as const))(
    "case %i %s",
    async (_i, _o, c) => {
      const make = hashedStepper(c.ids, golden.vocab);
      const prompt = { ids: c.ids, mask: c.mask, isEncoderDecoder: false };
      const answer = generate(make, prompt, settings(c.options));
      if (c.error) return expect(answer).rejects.toThrow("[generation]");
      const { sequences, scores } = await answer;
      expect(sequences.map((row) => [...row])).toEqual(c.sequences);
      if (!c.scores) return;
      c.scores.forEach((score, i) => {
        expect(Math.abs(scores![i]! - score)).toBeLessThanOrEqual(1e-5 * Math.max(1, Math.abs(score)));
      });
    },
  );
});

describe("sampling draws from transformers' scores", () => {
  it.each(golden.warped.map((c, i) => [i, JSON.stringify(c.options), c] as const))(
    "case %i %s",
    async (_i, _o, c) => {
      const scores = await (await hashedStepper(c.ids, golden.vocab)(1)).start();
      const context = { promptLength: c.ids[0]!.length, vocabSize: golden.vocab };
      const decoding = resolveGeneration({ ...settings(c.options), doSample: true }, context);
      if (decoding.numBeams > 1) logSoftmax(scores);
      applyRules(makeRules(decoding), Int32Array.from(c.ids[0]!), scores, 0);
      expect([...scores].map(Number.isFinite)).toEqual(c.scores.map((score) => score !== null));
      c.scores.forEach((score, i) => {
        if (score !== null) expect(scores[i]).toBeCloseTo(score, 4);
      });
    },
  );
});
