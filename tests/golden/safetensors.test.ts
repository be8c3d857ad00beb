import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { differences } from "./safetensors.js";

test("the safetensors parser takes what the reference parser takes, and refuses what it refuses", async () => {
  const golden = readFileSync(new URL("safetensors.json", import.meta.url), "utf8");
  expect(await differences(golden)).toEqual([]);
});
