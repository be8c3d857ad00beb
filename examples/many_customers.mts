// One base in memory, an adapter of a few MB per customer: rows of one batch may each take another.
//   npx tsx many_customers.mts google/flan-t5-base
import {
  AutoModelForSeq2SeqLM,
  AutoTokenizer,
  batches,
  getPeftModel,
  LoraConfig,
  PeftModel,
  rowsFrom,
  Trainer,
} from "peft.js";

const [name = "google/flan-t5-base"] = process.argv.slice(2);
const tokenizer = await AutoTokenizer.fromPretrained(name);
const customers = {
  acme: [{ ask: "Where is my parcel?", answer: "ACME sends it today." }],
  bolt: [{ ask: "Where is my parcel?", answer: "Ask the driver." }],
};
const form = { template: "{ask}", target: "{answer}" };

for (const [customer, asked] of Object.entries(customers)) {
  await using base = await AutoModelForSeq2SeqLM.fromPretrained(name);
  const model = getPeftModel(base, new LoraConfig({ r: 4, targetModules: ["q", "v"] }));
  const train = rowsFrom(asked, form);
  const options = { outputDir: `adapters/${customer}`, overwrite: true, epochs: 3, lr: 1e-3 };
  for await (const event of new Trainer({ model, tokenizer, train, ...options }).run())
    if (event.type === "end") console.log(customer, "trained", event.step, "steps");
}

// A service: the base is loaded once, adapters as customers come. Switching compiles nothing.
await using base = await AutoModelForSeq2SeqLM.fromPretrained(name);
const model = await PeftModel.fromPretrained(base, "adapters/acme", { adapterName: "acme" });
await model.loadAdapter("adapters/bolt", "bolt");
const prompts = tokenizer(["Where is my parcel?"]);
for (const customer of ["acme", "bolt"]) {
  model.setAdapter(customer);
  const ids = await model.generate(prompts, { maxNewTokens: 8 });
  console.log(customer, tokenizer.batchDecode(ids, { skipSpecialTokens: true }));
}
// Both at once, and the base itself: an adapter per row.
const rows = rowsFrom([...customers.acme, ...customers.bolt, ...customers.acme], form);
for await (const batch of batches(rows, { tokenizer, model, batchSize: 3, shuffle: false })) {
  const { loss } = await model.forward(batch, { adapterNames: ["acme", "bolt", "__base__"] });
  console.log("mixed loss", loss);
}
