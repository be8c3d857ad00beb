import { cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { nodeFiles } from "../../src/hub/files.js";
import { openSafetensors, writeSafetensors } from "../../src/hub/tensors/safetensors.js";

/**
 * The part of the kit that the repository carries: each variant of a method, each task, each model once.
 * Further methods on layers are in tests/golden/adapters.json, which takes less.
 */
const CASES = [
  ...["lora", "lora-all-linear", "rslora-bias", "dora", "ia3"].map((m) => `t5--${m}`),
  ...["prompt", "p-tuning", "p-tuning-lstm", "prefix", "prefix-projection"].map((m) => `t5--${m}`),
  ...["t5-v1_1--lora", "t5-v1_1-new--lora", "mt5--lora", "llama--lora", "llama-rope3--lora"],
  ...["tokens", "embedding", "patterns", "regex", "pissa", "olora"].map((m) => `llama--lora-${m}`),
  ...[
    "llama--dora-patterns",
    "llama--lora-modules-to-save",
    "llama--prefix",
    "llama--prompt",
    "llama--ln-tuning",
  ],
  ...["bert--lora", "bert--lora-bias-lora-only", "bert--prompt", "llama-seq_cls--lora"],
  ...["bert-regression--lora", "bert-multilabel--lora", "bert-token_cls--p-tuning"],
  ...["bert-question_ans--prompt", "bert-feature_extraction--ia3"],
  ...["opt", "opt-postnorm", "opt-seq_cls", "qwen2", "mistral"].map((m) => `${m}--lora`),
  ...["gpt2", "gpt2-seq_cls", "roberta", "bloom", "gpt_neox"].map((m) => `${m}--lora`),
];
/** From a kit of hidden size 16, models too: at 32 these would be 700 KB. */
const SMALL = [
  ...["qwen3--prefix", "gemma2--lora", "bart--prompt"],
  ...["mixtral-aux--lora-experts", "gpt_oss--lora-experts", "deepseek_v3--lora-all-linear"],
];
/**
 * Whole models in one .bin are above 200 KB and stay outside; the two forms of .bin are in adapter-bin and
 * src/hub/fixtures.
 */
const FORMATS = ["adapter-bin", "bf16", "bin-sharded", "f16", "refused", "sharded"];

/**
 * npx tsx tools/conformance/carry.ts KIT SMALL_KIT: copies the part into tests/kit. Models and tokenizers are
 * there already.
 */
const [kit = "", small = "", target = "tests/kit"] = process.argv.slice(2);
for (const folder of ["cases", "multi", "formats"])
  rmSync(join(target, folder), { recursive: true, force: true });
const copy = (path: string): void => cpSync(join(kit, path), join(target, path), { recursive: true });
for (const name of CASES) copy(`cases/${name}`);
for (const name of SMALL)
  cpSync(join(small, "cases", name), join(target, "cases", name), { recursive: true });
for (const name of FORMATS) copy(`formats/${name}`);
copy("multi");
await copyNumbers("formats/expect.safetensors", FORMATS);

/** The inputs, and the numbers of the folders that are carried. */
async function copyNumbers(path: string, folders: readonly string[]): Promise<void> {
  const { tensors } = await openSafetensors(join(kit, path));
  const kept = [...tensors].filter(
    ([key]) => key.startsWith("input.") || folders.includes(key.split(".")[0]!),
  );
  mkdirSync(join(target, "formats"), { recursive: true });
  await writeSafetensors(
    join(target, path),
    new Map(
      kept.map(([key, { dtype, shape, offset, bytes }]) => [
        key,
        { dtype, shape, data: () => nodeFiles.read(join(kit, path), offset, bytes) },
      ]),
    ),
  );
}
