import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { commitId, startHub } from "../../tests/support/hub_server.js";
import { type Chain, filesIn, once } from "./kill_chain.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const peft = join(root, "bin", "peft.js");
const model = join(root, "tests", "kit", "models", "t5-text");
const NEVER = /^$/;

type Parts = Pick<Chain, "command" | "env" | "ignores"> & { close?: () => Promise<void> };

/** Runs the command twice, to know its time (the first run fills caches of code), and keeps what it wrote. */
async function measured({ close = async () => {}, ...parts }: Parts): Promise<Chain> {
  for (let time = 0; ; time++) {
    const folder = await mkdtemp(join(tmpdir(), "peft-kills-"));
    const start = performance.now();
    const { code, said } = await once(parts.command(folder), parts.env(folder));
    const milliseconds = performance.now() - start;
    const wanted = await filesIn(folder);
    await rm(folder, { recursive: true });
    if (code !== 0) throw new Error(`the command ends with ${code}: ${said}`);
    if (time > 0) return { ...parts, close, wanted, milliseconds };
  }
}

function trainArgs(data: string, output: string): string[] {
  const rows = ["--data", data, "--template", "{message} Label :", "--target", "{label}"];
  const steps = ["--batch-size", "2", "--epochs", "3", "--save-every", "2", "--samples", "0"];
  return [peft, "train", "--model", model, ...rows, ...steps, "--lora-dropout", "0.1", "--output", output];
}

async function rowsFile(folder: string): Promise<string> {
  const path = join(folder, "train.csv");
  const rows = Array.from({ length: 12 }, (_, i) => `"message ${i}, world",${i % 2 === 0 ? "yes" : "no"}`);
  await writeFile(path, ["message,label", ...rows].join("\n"));
  return path;
}

/** Checkpoints every two steps, dropout on: what is left is the adapter, whatever happened on the way. */
async function train(): Promise<Chain> {
  const folder = await mkdtemp(join(tmpdir(), "peft-kills-data-"));
  const data = await rowsFile(folder);
  return measured({
    command: (output) => trainArgs(data, join(output, "out")),
    env: () => ({}),
    ignores: /(metrics\.jsonl|report\.html|training_state\.json|training_config\.json)$/,
    close: () => rm(folder, { recursive: true }),
  });
}

async function merge(): Promise<Chain> {
  const folder = await mkdtemp(join(tmpdir(), "peft-kills-data-"));
  const adapter = join(folder, "adapter");
  const { code, said } = await once(trainArgs(await rowsFile(folder), adapter), {});
  if (code !== 0) throw new Error(`no adapter to merge: ${said}`);
  return measured({
    command: (output) => [peft, "merge", "--adapter", adapter, "--output", join(output, "merged")],
    env: () => ({}),
    ignores: NEVER,
    close: () => rm(folder, { recursive: true }),
  });
}

async function quantize(): Promise<Chain> {
  const shipped = join(root, "assets", "model");
  return measured({
    command: () => [peft, "generate", "--model", shipped, "--load-in", "int8", "--prompt", "x"],
    env: (folder) => ({ PEFT_QUANTIZED_CACHE: folder }),
    ignores: NEVER,
  });
}

/** 24 MB in six files from a server of this process. */
async function download(): Promise<Chain> {
  const hub = await startHub();
  const files = new Map([["config.json", Buffer.from("{}")]]);
  for (let i = 1; i <= 6; i++) files.set(`model-0000${i}-of-00006.safetensors`, randomBytes(4 << 20));
  files.set("model.safetensors.index.json", Buffer.from('{"weight_map":{}}'));
  hub.repos.set("org/tiny", { commit: commitId(1), files });
  const script = fileURLToPath(new URL("download.ts", import.meta.url));
  return measured({
    command: (folder) => ["--import", "tsx", script, "org/tiny", folder],
    env: () => ({ HF_ENDPOINT: hub.endpoint }),
    ignores: NEVER,
    close: () => hub.close(),
  });
}

export const chains: Readonly<Record<string, () => Promise<Chain>>> = { train, merge, quantize, download };
