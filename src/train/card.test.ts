import { expect, it } from "vitest";
import { trainingCard } from "./card.js";
import type { RunHeader } from "./events.js";

const header: RunHeader = {
  model: "/home/ann/minilm",
  task: "SEQ_CLS",
  classes: [{ label: "~~~~~~ **late**", rows: 3 }],
  rows: 3,
  validationRows: 0,
  isValidationSplit: false,
  method: "LORA",
  targets: [],
  lr: 1e-3,
  schedule: "linear",
  batchSize: 8,
  gradientAccumulationSteps: 1,
  threads: 1,
  device: "cpu",
};

it("a card says what was trained and how, and nobody's paths", () => {
  const evaluation = { type: "evaluation", step: 1, loss: 0.5, metrics: { accuracy: 0.75 } } as const;
  const command = "peft train --model org/minilm --data '/home/ann/my rows.csv' --test=/data/b.csv --lr 1e-3";
  const card = trainingCard(header, { evaluation }, command);
  expect(card).not.toContain("/home");
  expect(card).toContain("result    accuracy 0.7500, loss 0.5000");
  expect(card).toContain("peft train --model org/minilm --data 'my rows.csv' --test=b.csv --lr 1e-3\n");
  expect(card).toContain("task      SEQ_CLS, 1 class: ~~~~~ **late** 3\n");
});
