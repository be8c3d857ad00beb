import { TemplateFault } from "./fault.js";

/**
 * What a rendering may take. Each node that is evaluated, each item that is made or looked at and each 16
 * characters of text cost a step, so that time and memory are bounded alike.
 */
export type Budget = {
  spend(steps: number): void;
  /** Pays for a text that is about to be made, or looked through. */
  spendText(characters: number): void;
  /** Runs a function one level deeper. */
  deeper<T>(run: () => T): T;
};

const CHARACTERS_PER_STEP = 16;
/** Python's own limit of recursion stands at about as many macros. */
const MOST_LEVELS = 200;

/** @param steps how many there are; more may be asked for by who has larger inputs */
export function makeBudget(steps: number): Budget {
  let left = steps;
  let level = 0;
  const spend = (count: number): void => {
    left -= count;
    if (!(left >= 0)) throw new TemplateFault("budget", `it takes more than ${steps} steps`);
  };
  return {
    spend,
    spendText: (characters) => spend(1 + characters / CHARACTERS_PER_STEP),
    deeper: (run) => {
      if (++level > MOST_LEVELS) throw new TemplateFault("budget", `it nests more than ${MOST_LEVELS} calls`);
      const result = run();
      level--;
      return result;
    },
  };
}
