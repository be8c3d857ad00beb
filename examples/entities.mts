// Words with tags: names, places, amounts. Trains a token classifier and saves it with its class names.
//   npx tsx entities.mts sentence-transformers/all-MiniLM-L6-v2
import {
  AutoModelForTokenClassification,
  AutoTokenizer,
  evaluate,
  getPeftModel,
  LoraConfig,
  labelNames,
  rowsFrom,
  Trainer,
} from "peft.js";

const [name = "sentence-transformers/all-MiniLM-L6-v2", epochs = "10"] = process.argv.slice(2);
const rows = rowsFrom([
  { tokens: ["Ann", "Lee", "lives", "in", "Rome"], ner_tags: ["B-PER", "I-PER", "O", "O", "B-LOC"] },
  { tokens: ["Write", "to", "Bob", "in", "Oslo"], ner_tags: ["O", "O", "B-PER", "O", "B-LOC"] },
]);
const labels = labelNames(rows);

const tokenizer = await AutoTokenizer.fromPretrained(name);
const config = { num_labels: labels.length };
await using base = await AutoModelForTokenClassification.fromPretrained(name, { config });
const model = getPeftModel(base, new LoraConfig({ taskType: "TOKEN_CLS", r: 8, loraAlpha: 16 }));
const options = {
  outputDir: "entities",
  overwrite: true,
  epochs: Number(epochs),
  lr: 1e-3,
  batchSize: 2,
  labels,
};
for await (const event of new Trainer({ model, tokenizer, train: rows, ...options }).run())
  if (event.type === "end") console.log("trained", event.step, "steps");
const { loss, metrics } = await evaluate(model, rows, { tokenizer, batchSize: 2 });
console.log("loss", loss.toFixed(3), metrics);
