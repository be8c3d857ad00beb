import { existsSync } from "node:fs";
import { join } from "node:path";
import type { LoadOptions } from "../../src/peft/base_model.js";
import { Bases } from "./bases.js";
import { runCase } from "./case.js";
import { runConverted } from "./converted.js";
import { runCtc } from "./ctc.js";
import { runDocuments } from "./documents.js";
import { foldersIn } from "./files.js";
import { formatNames, runFormat } from "./formats.js";
import { runLetters } from "./letters.js";
import { runMixtures } from "./mixtures.js";
import { runMulti } from "./multi.js";
import { isImageProcessor, runImageProcessor, runImages } from "./pictures.js";
import { runQuantized } from "./quantized.js";
import type { CaseResult } from "./result.js";
import { isRlhf, runRlhf } from "./rlhf/case.js";
import { runSchedules, runScores } from "./rules.js";
import { type Case, eachFolder, one, type Section } from "./section.js";
import { soundSections } from "./sound.js";
import { speechSections } from "./speech.js";
import { failure } from "./tensors.js";
import { runText, runTokenizer } from "./text.js";

/** What kits have, in the order in which it is run: a new part is a file of its own and a line here. */
const sections: readonly Section[] = [
  eachFolder("cases", (kit, name, bases) => (isRlhf(kit, name) ? runRlhf : runCase)(kit, name, bases), ""),
  eachFolder("converted", runConverted),
  eachFolder("mixtures", runMixtures),
  one("multi", runMulti),
  (kit) => formatNames(kit).map((name) => ({ name: `formats/${name}`, run: () => runFormat(kit, name) })),
  eachFolder("tokenizers", (kit, name) => runTokenizer(join(kit, "tokenizers", name))),
  (kit) =>
    foldersIn(kit, "models")
      .filter((name) => existsSync(join(kit, "models", name, "expect.json")))
      .map((name) => ({ name: `models/${name}`, run: () => runText(join(kit, "models", name)) })),
  eachFolder("processors", (kit, name) => runImageProcessor(kit, name), "processors/", isImageProcessor),
  one("inputs/images", (kit) => runImages(kit)),
  ...soundSections,
  ...speechSections,
  one("ctc", runCtc),
  one("ctc/text.json", runLetters),
  one("documents", runDocuments),
  one("schedules.json", async (kit) => runSchedules(join(kit, "schedules.json"))),
  one("scores.safetensors", (kit) => runScores(join(kit, "scores.safetensors"))),
];

/** Everything in a kit's folder that can be run, by name. */
export function casesOf(kit: string): Case[] {
  return sections.flatMap((section) => section(kit));
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
