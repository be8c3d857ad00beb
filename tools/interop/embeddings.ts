import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  AdamW,
  AutoModel,
  AutoTokenizer,
  batches,
  getPeftModel,
  LoraConfig,
  type PeftModel,
  type PreTrainedModel,
  rowsFrom,
  type Tokenizer,
} from "../../src/index.js";
import { predictVector } from "../../src/tasks/predict_vector.js";

/**
 * sentence-transformers loads what is written here and gives the same vectors: an adapter's folder, and a
 * merged one. PEFT_PYTHON=python-with-sentence-transformers node --import tsx tools/interop/embeddings.ts
 * MODEL_FOLDER
 */
const WITHIN = 1e-5;
const python = process.env["PEFT_PYTHON"] ?? "python3";
const [source = "/tmp/real/minilm"] = process.argv.slice(2);
const work = mkdtempSync(join(tmpdir(), "peft-embeddings-"));
const texts = [
  "How do I return a parcel?",
  "Returns are free for 30 days.",
  "Trains.",
  "We are open from 9 to 5, every day.",
];
const pairs = [
  { anchor: texts[0], positive: texts[1] },
  { anchor: texts[2], positive: texts[3] },
];

/** The model's folder, with how it pools where a copy lacks it. */
const folder = join(work, "base");
cpSync(source, folder, { recursive: true });
if (!existsSync(join(folder, "1_Pooling"))) {
  mkdirSync(join(folder, "1_Pooling"));
  writeFileSync(
    join(folder, "1_Pooling/config.json"),
    JSON.stringify({ word_embedding_dimension: 384, pooling_mode_mean_tokens: true }),
  );
}

type Model = PeftModel<"FEATURE_EXTRACTION"> | PreTrainedModel<"FEATURE_EXTRACTION">;

async function vectorsOf(model: Model, tokenizer: Tokenizer): Promise<number[][]> {
  const vectors: number[][] = [];
  for (const text of texts) {
    const { inputIds = [] } = tokenizer(text);
    const ids = { data: Int32Array.from(inputIds.flat()), shape: [1, inputIds[0]?.length ?? 0] as const };
    const attentionMask = { ...ids, data: new Int32Array(ids.data.length).fill(1) };
    const { logits } = await model.forward({ task: "FEATURE_EXTRACTION", inputIds: ids, attentionMask });
    const outputs = logits.shape.at(-1) ?? 0;
    vectors.push([...predictVector({ logits: logits.data, outputs, config: model.config }).vector]);
  }
  return vectors;
}

const base = await AutoModel.fromPretrained(folder);
const tokenizer = await AutoTokenizer.fromPretrained(folder);
const expected: Record<string, number[][]> = { base: await vectorsOf(base, tokenizer) };
const model = getPeftModel(base, new LoraConfig({ r: 8, targetModules: "all-linear" }));
const optimizer = new AdamW(model.trainableParameters(), { lr: 1e-2 });
for await (const batch of batches(await rowsFrom(pairs), { tokenizer, model, batchSize: 2, epochs: 5 })) {
  console.log((await model.forwardBackward(batch)).loss);
  await optimizer.step();
}
expected["adapter"] = expected["merged"] = await vectorsOf(model, tokenizer);
await model.savePretrained(join(work, "adapter"));
for (const name of readdirSync(folder)) // as a training run does it
  if (/^(tokenizer|vocab|special_tokens)/.test(name)) cpSync(join(folder, name), join(work, "adapter", name));
await model.saveMerged(join(work, "merged"));
await model.close();

const script = `
import json, sys
from sentence_transformers import SentenceTransformer
job = json.load(open(sys.argv[1]))
for name, vectors in job["expected"].items():
    try:
        found = SentenceTransformer(f"{job['work']}/{name}", device="cpu").encode(job["texts"])
        off = max(abs(a - b) for x, y in zip(found.tolist(), vectors) for a, b in zip(x, y))
    except Exception as error:
        print("FAILED", name, type(error).__name__, error)
        continue
    print("same" if off < job["within"] else "FAILED", name, off)
`;
writeFileSync(join(work, "job.json"), JSON.stringify({ work, texts, expected, within: WITHIN }));
writeFileSync(join(work, "job.py"), script);
const env = { ...process.env, HF_HUB_OFFLINE: "1" };
const { stdout, stderr, status } = spawnSync(python, [join(work, "job.py"), join(work, "job.json")], {
  encoding: "utf8",
  env,
});
console.log(stdout);
if (status !== 0) console.error(stderr);
process.exitCode = status === 0 && !stdout.includes("FAILED") ? 0 : 1;
