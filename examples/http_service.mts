// Trains on the messages that ship with peft.js, then answers over HTTP.
//   npx tsx http_service.mts          (or: npx tsc -m nodenext http_service.mts && node http_service.mjs)
//   curl -d '{"message": "My parcel never came"}' http://localhost:3000
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import {
  AutoModelForSeq2SeqLM,
  AutoTokenizer,
  getPeftModel,
  LoraConfig,
  loadDataset,
  Trainer,
} from "peft.js";

const root = import.meta.resolve("peft.js/package.json");
const shipped = (path: string): string => fileURLToPath(new URL(`assets/${path}`, root));
const name = shipped("model"); // yours: "google/flan-t5-base", a Hub id or a folder
const rows = { template: "message: {message} label:", target: "{label}" };

const tokenizer = await AutoTokenizer.fromPretrained(name);
const base = await AutoModelForSeq2SeqLM.fromPretrained(name);
const model = getPeftModel(base, new LoraConfig({ r: 8, loraAlpha: 16, targetModules: "all-linear" }));
const trainer = new Trainer({
  ...{ model, tokenizer, outputDir: "complaints", overwrite: true },
  train: await loadDataset(shipped("complaints/train.csv"), rows),
  validation: await loadDataset(shipped("complaints/validation.csv"), rows),
  ...{ epochs: Number(process.env["EPOCHS"] ?? 5), lr: 2e-3, batchSize: 16 },
});
for await (const event of trainer.run())
  if (event.type === "evaluation") console.log(`step ${event.step}: loss ${event.loss.toFixed(3)}`);

async function classify(message: string): Promise<string | undefined> {
  const ids = await model.generate(tokenizer([`message: ${message} label:`]), { maxNewTokens: 6 });
  return tokenizer.batchDecode(ids, { skipSpecialTokens: true })[0];
}

const server = createServer(async (request, response) => {
  try {
    let body = "";
    for await (const chunk of request) body += chunk;
    response.end(JSON.stringify({ label: await classify(JSON.parse(body).message) }));
  } catch (error) {
    response.writeHead(400).end(String(error));
  }
});
server.listen(Number(process.env["PORT"] ?? 3000), () => console.log("listening", server.address()));
