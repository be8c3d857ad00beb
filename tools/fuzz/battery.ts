import { PeftError } from "../../src/errors.js";
import { random } from "../../src/random.js";
import { mutate } from "./mutate.js";
import type { Target } from "./targets.js";

/** What an input did that no input may do. */
export interface Finding {
  /** The input's number: `mutated` makes it again. */
  readonly at: number;
  readonly says: string;
}

/** The input of a number. */
export function mutated({ seeds }: Target, seed: number, at: number): Uint8Array {
  const next = random(seed, at);
  const start = seeds[next() % seeds.length]!;
  return mutate(start, seeds, next);
}

/** Runs one input. Right is an answer or a PeftError that is no bug of ours; else what happened. */
export async function tryInput(target: Target, bytes: Uint8Array): Promise<string | undefined> {
  try {
    await target.run(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof PeftError && error.code !== "internal") return undefined;
    const { name, message, stack } =
      error instanceof Error ? error : { name: typeof error, message: `${error}`, stack: "" };
    const place = /\((?:file:\/\/)?[^()]*?(src\/[^():]+:\d+)/.exec(stack ?? "")?.[1] ?? "";
    return `${name}: ${message.slice(0, 200)} ${place}`;
  }
}
