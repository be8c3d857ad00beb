import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { Bases } from "./bases.js";
import { runCase } from "./case.js";
import { runConverted } from "./converted.js";
import { foldersIn } from "./files.js";
import { formatNames, runFormat } from "./formats.js";
import { runMixtures } from "./mixtures.js";
import { runMulti } from "./multi.js";
import { isImageProcessor, runImageProcessor, runImages } from "./pictures.js";
import { runQuantized } from "./quantized.js";
import type { CaseResult } from "./result.js";
import { isRlhf, runRlhf } from "./rlhf/case.js";
import { runSchedules, runScores } from "./rules.js";
import { failure } from "./tensors.js";
import { runText, runTokenizer } from "./text.js";

interface Case {
  readonly name: string;
  readonly run: (bases: Bases) => Promise<CaseResult>;
}

/** Everything in a kit's folder that can be run, by name. */
export function casesOf(kit: string): Case[] {
  const has = (...path: string[]): boolean => existsSync(join(kit, ...path));
  const cases = foldersIn(kit, "cases").map((name) => ({
    name,
    run: (bases: Bases) => (isRlhf(kit, name) ? runRlhf : runCase)(kit, name, bases),
  }));
  const one = (name: string, run: Case["run"]): Case[] => (has(name) ? [{ name, run }] : []);
  return [
    ...cases,
    ...foldersIn(kit, "converted").map((name) => ({
      name: `converted/${name}`,
      run: (bases: Bases) => runConverted(kit, name, bases),
    })),
    ...foldersIn(kit, "mixtures").map((name) => ({
      name: `mixtures/${name}`,
      run: (bases: Bases) => runMixtures(kit, name, bases),
    })),
    ...one("multi", (bases) => runMulti(kit, bases)),
    ...formatNames(kit).map((name) => ({ name: `formats/${name}`, run: () => runFormat(kit, name) })),
    ...foldersIn(kit, "tokenizers").map((name) => ({
      name: `tokenizers/${name}`,
      run: () => runTokenizer(join(kit, "tokenizers", name)),
    })),
    ...foldersIn(kit, "models")
      .filter((name) => has("models", name, "expect.json"))
      .map((name) => ({ name: `models/${name}`, run: () => runText(join(kit, "models", name)) })),
    ...foldersIn(kit, "processors")
      .filter((name) => isImageProcessor(kit, name))
      .map((name) => ({ name: `processors/${name}`, run: () => runImageProcessor(kit, name) })),
    ...(has("inputs", "images") ? [{ name: "inputs/images", run: () => runImages(kit) }] : []),
    ...one("schedules.json", async () => runSchedules(join(kit, "schedules.json"))),
    ...one("scores.safetensors", () => runScores(join(kit, "scores.safetensors"))),
  ];
}

function quantizedCasesOf(kit: string, load: NonNullable<LoadOptions["load"]>): Case[] {
  return foldersIn(kit, "cases").map((name) => ({
    name,
    run: (bases: Bases) => runQuantized(kit, name, bases, load),
  }));
}

/**
 * Runs what of a kit has a name like `only`, one case after another. An error of a case is a failed check
 * of it.
 */
export async function* runKit(
  kit: string,
  only: RegExp = /./,
  options: LoadOptions = {},
): AsyncGenerator<CaseResult & { readonly name: string }> {
  const bases = new Bases(options);
  const { load } = options;
  try {
    for (const { name, run } of load === undefined ? casesOf(kit) : quantizedCasesOf(kit, load)) {
      if (!only.test(name)) continue;
      try {
        yield { name, ...(await run(bases)) };
      } catch (error) {
        await bases.close();
        yield { name, checks: [failure(error)] };
      }
    }
  } finally {
    await bases.close();
  }
}
