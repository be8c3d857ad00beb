import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { collate } from "../../src/data/collate.js";
import { encodeRows } from "../../src/data/encode.js";
import type { Row } from "../../src/data/row.js";
import type { Sample } from "../../src/data/sample.js";
import { writeSafetensors } from "../../src/hub/tensors/safetensors.js";
import { PreTrainedModel } from "../../src/peft/base_model.js";
import { specOf } from "../../src/peft/spec.js";
import { normal, random, shuffled } from "../../src/random.js";
import { AutoTokenizer } from "../../src/tokenizers/auto.js";
import { takeInventory } from "../../src/trace/write.js";
import { AdamW } from "../../src/train/adamw.js";
import { pretrainingPairs } from "./pretraining_text.js";

/**
 * Pretrains the model that ships with the package, all its weights, with this very engine, on text that the
 * script beside makes. The weights that ship came from two stages (25 minutes on 2 cores), each with its own
 * decay to zero:
 *   node --import tsx tools/ship/pretrain.ts --out /tmp/stage1 && cp assets/model/tokenizer* /tmp/stage1
 *   node --import tsx tools/ship/pretrain.ts --from /tmp/stage1 --steps 2600 --lr 8e-4 --seed 7
 */
const { values } = parseArgs({
  options: {
    steps: { type: "string", default: "4500" },
    batch: { type: "string", default: "64" },
    lr: { type: "string", default: "1.2e-3" },
    warmup: { type: "string", default: "100" },
    seed: { type: "string", default: "0" },
    out: { type: "string", default: "assets/model" },
    from: { type: "string" },
  },
});
const [steps, batchSize, lr, warmup, seed] = [
  values.steps,
  values.batch,
  values.lr,
  values.warmup,
  values.seed,
].map(Number) as [number, number, number, number, number];
const out = values.out;
const tokenizerFolder = "assets/model";
const tokenizer = await AutoTokenizer.fromPretrained(tokenizerFolder);
const config = {
  architectures: ["T5ForConditionalGeneration"],
  model_type: "t5",
  vocab_size: 2048,
  d_model: 128,
  d_kv: 32,
  d_ff: 320,
  num_layers: 3,
  num_decoder_layers: 2,
  num_heads: 4,
  feed_forward_proj: "gated-gelu",
  dropout_rate: 0.0,
  layer_norm_epsilon: 1e-6,
  relative_attention_num_buckets: 32,
  relative_attention_max_distance: 64,
  tie_word_embeddings: true,
  decoder_start_token_id: 0,
  pad_token_id: 0,
  eos_token_id: 1,
  is_encoder_decoder: true,
  torch_dtype: "float32",
};

/**
 * Standard deviations as T5 starts: products of them keep their scale. The embedding is smaller, and the
 * decoder's last norm larger by as much: it is the head too, and learns faster so.
 */
const EMBEDDING = 0.2;

function deviation(name: string): number {
  const { d_model: d, d_kv: kv, d_ff: ff, num_heads: heads } = config;
  if (name === "shared.weight") return EMBEDDING;
  if (name.endsWith(".q.weight")) return (d * kv) ** -0.5;
  if (name.endsWith(".o.weight")) return (heads * kv) ** -0.5;
  return name.endsWith(".wo.weight") ? ff ** -0.5 : d ** -0.5;
}

/**
 * Heads that look near, back, ahead (2108.12409), and one that looks everywhere: order is learnt sooner than
 * from nothing.
 */
function distances(bidirectional: boolean): Float32Array {
  const {
    relative_attention_num_buckets: buckets,
    num_heads: heads,
    relative_attention_max_distance: far,
  } = config;
  const half = bidirectional ? buckets / 2 : buckets;
  const exact = half / 2;
  return Float32Array.from({ length: buckets * heads }, (_, i) => {
    const [bucket, head] = [Math.floor(i / heads), i % heads];
    const near = bucket % half;
    const distance = near < exact ? near : exact * (far / exact) ** ((near - exact) / (half - exact));
    const ahead = bidirectional && bucket >= half;
    if (head === 3 || (head === 2 && !bidirectional)) return 0;
    if (head === 0) return Math.max(-8, -0.7 * distance);
    return Math.max(-8, -0.35 * distance - ((head === 1) === ahead ? 4 : 0));
  });
}

function startOf(name: string, size: number, next: () => number): Float32Array {
  if (name.includes("relative_attention_bias")) return distances(name.startsWith("encoder"));
  if (name === "decoder.final_layer_norm.weight") return new Float32Array(size).fill(1 / EMBEDDING);
  if (name.includes("layer_norm")) return new Float32Array(size).fill(1);
  const std = deviation(name);
  return Float32Array.from({ length: size }, () => std * normal(next));
}

async function writeStart(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), `${JSON.stringify(config, null, 2)}\n`);
  const next = random(seed, 1);
  const { weights } = takeInventory(specOf(config, "SEQ_2_SEQ_LM"));
  const tensors = [...weights].map(([name, shape]) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const data = startOf(name, size, next);
    return [name, { dtype: "f32" as const, shape: [...shape], data: new Uint8Array(data.buffer) }] as const;
  });
  await writeSafetensors(join(folder, "model.safetensors"), new Map(tensors));
}

/** Batches of similar length out of the endless text. */
function* makeBatches(): Generator<Sample<"SEQ_2_SEQ_LM">[], never> {
  const pairs = pretrainingPairs(seed + 1);
  const next = random(seed, 2);
  for (;;) {
    const rows = Array.from({ length: 16 * batchSize }, (_, i): Row => {
      const { input, target } = pairs.next().value;
      return { kind: "prompt", at: `pair ${i}`, prompt: input, target } as Row;
    });
    const { samples } = encodeRows(rows, { tokenizer, task: "SEQ_2_SEQ_LM", maxLength: 128 });
    const sorted = [...samples].sort((a, b) => a.inputIds.length - b.inputIds.length);
    const cut = Array.from({ length: 16 }, (_, i) => sorted.slice(i * batchSize, (i + 1) * batchSize));
    yield* shuffled(cut, next);
  }
}

const start = values.from ?? join(tmpdir(), "peft-pretrain-start");
if (values.from === undefined) await writeStart(start);
const model = await PreTrainedModel.load("SEQ_2_SEQ_LM", start);
const parameters = model.trainableParameters();
console.log(`${parameters.size} parameters`);
const optimizer = new AdamW(parameters, { lr, weightDecay: 0.01, betas: [0.9, 0.98], maxGradNorm: 1 });
const batches = makeBatches();
const began = performance.now();
let running = 0;
for (let step = 0; step < steps; step++) {
  optimizer.lr = lr * (step < warmup ? (step + 1) / warmup : (steps - step) / steps);
  const batch = collate(batches.next().value, { padTokenId: 0, paddingSide: "right" });
  const { loss } = await model.forwardBackward(batch);
  await optimizer.step();
  running = step === 0 ? loss : 0.98 * running + 0.02 * loss;
  if (step % 100 === 99) {
    console.log(
      `step ${step + 1} loss ${running.toFixed(4)} ${Math.round((performance.now() - began) / 1000)} s`,
    );
    if (step % 1000 === 999) await save();
  }
}
await save();
await model.close();

async function save(): Promise<void> {
  await model.savePretrained(out, { dtype: "f16" });
  if (!existsSync(join(out, "model.safetensors"))) throw new Error("nothing was saved");
}
