import { describe, expect, it } from "vitest";
import { directionOf, measureBy } from "./custom_metrics.js";

const predictions = [
  { row: 0, prompt: "a", output: "yes", expected: "yes" },
  { row: 1, prompt: "b", output: "no", expected: "yes" },
];

describe("metrics of one's own", () => {
  it("get the predictions, and may take their time", async () => {
    const right = await measureBy(async (said) => {
      const hits = said.filter(({ output, expected }) => output === expected);
      return { hits: hits.length };
    }, predictions);
    expect(right).toEqual({ hits: 1 });
  });

  it("are named where they throw, and where they give no numbers", async () => {
    const broken = (): Record<string, number> => {
      throw new TypeError("no such field");
    };
    await expect(measureBy(broken, predictions)).rejects.toThrow(
      /^\[option\] The metrics function threw "no such field"\. .* predictions of an evaluation, 2 of them/,
    );
    const text = { accuracy: "high" } as unknown as Record<string, number>;
    await expect(measureBy(() => text, predictions)).rejects.toThrow(
      '[option] The metrics function gave {"accuracy":"high"}.',
    );
  });

  it("are better where they are more, but for losses and errors", () => {
    expect(["cost", "valLoss", "meanSquaredError"].map(directionOf)).toEqual(["higher", "lower", "lower"]);
  });
});
