import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { mutated, tryInput } from "../tools/fuzz/battery.js";
import { targets } from "../tools/fuzz/targets.js";

/** A short round of `npm run fuzz`: the same inputs every time. What hangs runs into vitest's own limit. */
const INPUTS = 60;
const SEED = 11;

beforeEach(() => void vi.spyOn(console, "warn").mockImplementation(() => undefined));
afterEach(() => void vi.restoreAllMocks());

describe.each(Object.entries(targets))("damaged input for %s", (_, open) => {
  test("is answered, or refused by an error of ours", async () => {
    const target = await open();
    try {
      await target.run(target.seeds[0]!); // sound: damage has something to break
      for (let at = 0; at < INPUTS; at++)
        expect(await tryInput(target, mutated(target, SEED, at)), `input ${at}`).toBeUndefined();
    } finally {
      await target.close?.();
    }
  });
});
