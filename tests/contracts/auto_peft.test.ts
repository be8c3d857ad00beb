import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  AutoPeftModelForSequenceClassification,
  AutoPeftModelForTokenClassification,
  classFields,
  inspectAdapter,
  LoraConfig,
  PeftModel,
} from "../../src/index.js";
import { batchOf, disturb, loadBase, temporaryFolder } from "./kit.js";

const names = ["billing", "delivery", "a|b <i>"];
const rows = [[5, 7, 9, 11, 3]];

/** A classifier of these classes, with an adapter that says something. */
async function classifier(config: Record<string, unknown>): Promise<PeftModel<"SEQ_CLS">> {
  const base = await loadBase("SEQ_CLS", "bert", { config });
  onTestFinished(() => base.close());
  const model = new PeftModel(base);
  model.addAdapter("default", new LoraConfig({ taskType: "SEQ_CLS", r: 2 }));
  await model.ready();
  disturb(model.activeAdapter);
  return model;
}

test("the classes' names travel with the adapter, and its base is loaded for them", async () => {
  const model = await classifier({ ...classFields(names), problem_type: "single_label_classification" });
  const folder = temporaryFolder();
  await model.savePretrained(folder);
  const file = JSON.parse(readFileSync(join(folder, "adapter_labels.json"), "utf8"));
  expect(file).toEqual({
    id2label: { 0: "billing", 1: "delivery", 2: "a|b <i>" },
    label2id: { billing: 0, delivery: 1, "a|b <i>": 2 },
    problem_type: "single_label_classification",
  });
  expect(readFileSync(join(folder, "README.md"), "utf8")).toContain(
    "| 1 | delivery |\n| 2 | a\\|b \\<i\\> |\n",
  );
  expect(await inspectAdapter(folder)).toMatchObject({ labels: names, numLabels: undefined });

  const again = await AutoPeftModelForSequenceClassification.fromPretrained(folder, { threads: 1 });
  onTestFinished(() => again.close());
  expect(again.classNames).toEqual(names);
  expect(again.config.numLabels).toBe(3);
  const batch = batchOf("SEQ_CLS", rows, undefined);
  expect((await again.forward(batch)).logits).toEqual((await model.forward(batch)).logits);

  const second = temporaryFolder();
  await again.savePretrained(second);
  expect(JSON.parse(readFileSync(join(second, "adapter_labels.json"), "utf8"))).toEqual(file);
});

test("without names there is no file; the head's size is found all the same", async () => {
  const model = await classifier({ num_labels: 5, id2label: undefined, label2id: undefined });
  const folder = temporaryFolder();
  await model.savePretrained(folder);
  expect(existsSync(join(folder, "adapter_labels.json"))).toBe(false);
  const again = await AutoPeftModelForSequenceClassification.fromPretrained(folder, { threads: 1 });
  onTestFinished(() => again.close());
  expect([again.config.numLabels, again.classNames]).toEqual([5, undefined]);
});

test("what does not fit is refused, with the class that does", async () => {
  const model = await classifier(classFields(names));
  const folder = temporaryFolder();
  await model.savePretrained(folder);
  const base = await loadBase("SEQ_CLS", "bert");
  onTestFinished(() => base.close());
  await expect(PeftModel.fromPretrained(base, folder)).rejects.toThrow(
    /head for 3 labels, the model one for 4.*AutoPeftModelForSequenceClassification\.fromPretrained\(/s,
  );
  await expect(AutoPeftModelForTokenClassification.fromPretrained(folder)).rejects.toThrow(
    /trained for SEQ_CLS, not for TOKEN_CLS.*autoPeftModelFor\("SEQ_CLS"\)/s,
  );
  const config = join(folder, "adapter_config.json");
  const json = JSON.parse(readFileSync(config, "utf8"));
  writeFileSync(config, JSON.stringify({ ...json, base_model_name_or_path: "/no/such/base" }));
  await expect(AutoPeftModelForSequenceClassification.fromPretrained(folder)).rejects.toThrow(
    /The base "\/no\/such\/base" of the adapter .* name the base: base: "FOLDER_OR_HUB_ID"/s,
  );
  writeFileSync(config, JSON.stringify({ ...json, base_model_name_or_path: null }));
  await expect(AutoPeftModelForSequenceClassification.fromPretrained(folder)).rejects.toThrow(
    /does not name its base/,
  );
  writeFileSync(join(folder, "adapter_labels.json"), '{"id2label": {"0": "no", "2": "yes"}}');
  await expect(inspectAdapter(folder)).rejects.toThrow(
    /adapter_labels.json" names no classes: id2label has "2": "yes"/,
  );
});
