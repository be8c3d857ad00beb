import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { NO_ADAPTERS } from "../src/adapters/view.js";
import type { LoadOptions, PreTrainedModel } from "../src/peft/base_model.js";
import { below, random } from "../src/random.js";
import type { makeStepper } from "../src/run/stepper.js";

export interface CachesBench {
  readonly folder: string;
  /** Folders of other versions of the package, to be measured beside this one. */
  readonly versions: readonly string[];
  readonly batches: readonly number[];
  /** Tokens in the caches. */
  readonly caches: readonly number[];
  readonly load: LoadOptions;
}

interface Version {
  readonly name: string;
  readonly model: PreTrainedModel;
  readonly makeStepper: typeof makeStepper;
}

const [ROUNDS, STEPS] = [5, 4];

/** One decoded token of each row behind caches of some lengths: versions of the package by turns. */
export async function benchCaches(o: CachesBench): Promise<void> {
  const folders = [...o.versions, resolve(import.meta.dirname, "..")];
  const versions: Version[] = [];
  for (const name of folders) {
    const module = async (file: string): Promise<Record<string, never>> =>
      import(pathToFileURL(join(name, "src", file)).href);
    const { PreTrainedModel: Model } = (await module("peft/base_model.ts")) as never as {
      PreTrainedModel: typeof PreTrainedModel;
    };
    const { makeStepper: make } = (await module("run/stepper.ts")) as never as {
      makeStepper: typeof makeStepper;
    };
    versions.push({ name, model: await Model.load("CAUSAL_LM", o.folder, o.load), makeStepper: make });
  }
  for (const rows of o.batches)
    for (const length of o.caches) {
      const times = await timesOf(versions, rows, length);
      const all = times.map((ms, i) => `${versions[i]!.name} ${ms.toFixed(1)} ms`);
      console.log(`batch ${rows}, cache ${length}: ${all.join(", ")} a token`);
    }
  for (const { model } of versions) await model.close();
}

/** Milliseconds of a step, the median of each version. */
async function timesOf(versions: readonly Version[], rows: number, length: number): Promise<number[]> {
  const next = random(1);
  const ids = Array.from({ length }, () => 4 + below(next, 1000));
  const prompt = { ids: [ids], mask: [ids.map(() => 1)], start: undefined };
  const steppers = [];
  for (const { model, makeStepper: make } of versions) {
    const stepper = await make(model.runtime, NO_ADAPTERS, prompt, rows);
    await stepper.start();
    await stepper.next(new Int32Array(rows).fill(7));
    steppers.push(stepper);
  }
  const times = steppers.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++)
    for (const [i, stepper] of steppers.entries()) {
      const start = performance.now();
      for (let step = 0; step < STEPS; step++) await stepper.next(new Int32Array(rows).fill(7));
      times[i]!.push((performance.now() - start) / STEPS);
    }
  for (const stepper of steppers) await stepper.end();
  return times.map((each) => each.sort((a, b) => a - b)[ROUNDS >> 1]!);
}
