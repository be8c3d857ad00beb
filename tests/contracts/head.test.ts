import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { LoraConfig } from "../../src/methods/index.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { labelsOfAdapter } from "../../src/peft/head_size.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { ShippedTask } from "../../src/task.js";
import { folderOf, temporaryFolder } from "./kit.js";

// A head that was made for an adapter: the base's own config.json knows nothing of it.
const folder = folderOf("bert-feature_extraction");
const plain = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));

async function saved(task: ShippedTask, config: Readonly<Record<string, unknown>>): Promise<string> {
  const base = await PreTrainedModel.load(task, folder, { config });
  const out = temporaryFolder();
  const model = new PeftModel(base);
  model.addAdapter("default", new LoraConfig({ taskType: task, r: 2 }));
  await model.savePretrained(join(out, "adapter"));
  await (await model.mergeAndUnload()).savePretrained(join(out, "merged"));
  await base.close();
  return out;
}

it("says how many labels it has", async () => {
  expect(plain.architectures).toEqual(["BertModel"]);
  for (const [task, count] of [
    ["SEQ_CLS", 5],
    ["TOKEN_CLS", 1],
  ] as const) {
    const out = await saved(task, { num_labels: count });
    expect(await labelsOfAdapter(join(out, "adapter"), plain, task)).toBe(count);
    const merged = JSON.parse(readFileSync(join(out, "merged", "config.json"), "utf8"));
    const name = task === "SEQ_CLS" ? "BertForSequenceClassification" : "BertForTokenClassification";
    expect(merged).toMatchObject({ num_labels: count, architectures: [name] });
  }
});

it("is none where the task has none of its own", async () => {
  const out = await saved("FEATURE_EXTRACTION", {});
  expect(await labelsOfAdapter(join(out, "adapter"), plain, "FEATURE_EXTRACTION")).toBeUndefined();
  const merged = JSON.parse(readFileSync(join(out, "merged", "config.json"), "utf8"));
  expect(merged.architectures).toEqual(["BertModel"]);
});
