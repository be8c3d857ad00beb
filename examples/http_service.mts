// Trains on the messages that ship with peft.js, then answers over HTTP.
//   npx tsx http_service.mts          (or: npx tsc -m nodenext http_service.mts && node http_service.mjs)
//   curl -d '{"message": "My parcel never came"}' http://localhost:3000
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { LoraConfig, loadDataset, pipeline, train } from "peft.js";

const root = import.meta.resolve("peft.js/package.json");
const shipped = (path: string): string => fileURLToPath(new URL(`assets/${path}`, root));
const form = { template: "message: {message} label:", target: "{label}" };

const run = train({
  model: shipped("model"), // yours: "google/flan-t5-base", a Hub id or a folder
  rows: await loadDataset(shipped("complaints/train.csv"), form),
  validation: await loadDataset(shipped("complaints/validation.csv"), form),
  adapter: new LoraConfig({ r: 8, loraAlpha: 16, targetModules: "all-linear" }),
  ...{ output: "complaints", overwrite: true },
  ...{ epochs: Number(process.env["EPOCHS"] ?? 5), lr: 2e-3, batchSize: 16 },
});
for await (const event of run) if (event.type === "evaluation") console.log(event.line);

const write = await pipeline("text2text-generation", "complaints", { maxNewTokens: 6 });

async function classify(message: string): Promise<string | undefined> {
  const [answer] = await write(`message: ${message} label:`);
  return answer?.generatedText;
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
