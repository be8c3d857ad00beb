import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { architectures } from "../../src/models/index.js";
import { modelsPage, modelsPath } from "../../tools/generate-models.js";

it("docs/models.md says of every architecture what it can do (npm run generate)", () => {
  const page = readFileSync(modelsPath, "utf8");
  expect(modelsPage(page)).toBe(page);
  for (const { modelTypes } of architectures) expect(page).toContain(`| ${modelTypes.join(", ")} | `);
});
