// Text in, JSON out: an encoder-decoder learns to write the fields that you want.
//   npx tsx structured_extraction.mts google/flan-t5-base
import { AutoModelForSeq2SeqLM, AutoTokenizer, getPeftModel, LoraConfig, rowsFrom, Trainer } from "peft.js";

const [name = "google/flan-t5-base", epochs = "20"] = process.argv.slice(2);
// A few hundred of these make a model; see docs/guide.md.
const mails = [
  { mail: "Two red chairs for Ann, please.", order: { item: "chair", count: 2, name: "Ann" } },
  { mail: "Bob here, I need a desk.", order: { item: "desk", count: 1, name: "Bob" } },
];
const rows = rowsFrom(mails, {
  columns: ({ mail, order }) => ({ prompt: `order: ${mail}`, completion: JSON.stringify(order) }),
});

const tokenizer = await AutoTokenizer.fromPretrained(name);
await using base = await AutoModelForSeq2SeqLM.fromPretrained(name);
const model = getPeftModel(base, new LoraConfig({ r: 16, loraAlpha: 32, targetModules: "all-linear" }));
const options = { outputDir: "orders", overwrite: true, epochs: Number(epochs), lr: 1e-3, batchSize: 2 };
for await (const event of new Trainer({ model, tokenizer, train: rows, ...options }).run())
  if (event.type === "end") console.log("trained", event.step, "steps");

const ids = await model.generate(tokenizer(["order: Three lamps for Eve."]), { maxNewTokens: 40 });
const [said = ""] = tokenizer.batchDecode(ids, { skipSpecialTokens: true });
try {
  console.log("order", JSON.parse(said)); // check it against your schema before you use it
} catch {
  console.log("no JSON yet:", said);
}
