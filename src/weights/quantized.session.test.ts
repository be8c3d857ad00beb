import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { formats } from "../engine/formats/index.js";
import { fromF32, toF32 } from "../hub/tensors/dtypes.js";
import { writeSafetensors } from "../hub/tensors/safetensors.js";
import { LoraConfig } from "../methods/index.js";
import { PreTrainedModel } from "../peft/base_model.js";
import { PeftModel } from "../peft/peft_model.js";
import type { QuantizeEvent } from "./quantized.js";

const HIDDEN = 128;
const CONFIG = {
  model_type: "opt",
  hidden_size: HIDDEN,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  ffn_dim: 256,
  vocab_size: 64,
  max_position_embeddings: 32,
  word_embed_proj_dim: HIDDEN,
  dropout: 0,
  pad_token_id: 1,
};

let folder: string;
let cache: string;
beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "peft-quantized-"));
  cache = path.join(folder, "cache");
  await writeModel(1);
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

async function writeModel(seed: number): Promise<void> {
  const { specOf } = await import("../peft/spec.js");
  const { takeInventory } = await import("../trace/write.js");
  let state = seed;
  const next = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return ((state >>> 8) / 2 ** 24 - 0.5) * 0.2;
  };
  const { weights } = takeInventory(specOf(CONFIG, "CAUSAL_LM"));
  const tensors = [...weights].map(([name, shape]) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next);
    return [name, { dtype: "f16" as const, shape: [...shape], data: fromF32(data, "f16") }] as const;
  });
  await writeSafetensors(path.join(folder, "model.safetensors"), new Map(tensors));
  fs.writeFileSync(path.join(folder, "config.json"), JSON.stringify(CONFIG));
}

async function load(
  format: keyof typeof formats,
  events: QuantizeEvent[] = [],
  signal?: AbortSignal,
): Promise<PreTrainedModel<"CAUSAL_LM">> {
  return PreTrainedModel.load("CAUSAL_LM", folder, {
    load: format,
    quantizedCache: cache,
    quantizing: (event) => void events.push(event),
    threads: 1,
    ...(signal ? { signal } : {}),
  });
}

async function kindsOf(format: keyof typeof formats): Promise<string[]> {
  const events: QuantizeEvent[] = [];
  await (await load(format, events)).close();
  return [...new Set(events.map((e) => e.kind))];
}

const batch = {
  task: "CAUSAL_LM" as const,
  inputIds: { data: Int32Array.from({ length: 24 }, (_, i) => 4 + ((i * 7) % 50)), shape: [2, 12] as const },
  attentionMask: { data: new Int32Array(24).fill(1), shape: [2, 12] as const },
  labels: { data: Int32Array.from({ length: 24 }, (_, i) => 4 + ((i * 7) % 50)), shape: [2, 12] as const },
};

it.each(["int8", "int4", "nf4", "bf16"] as const)(
  "%s is made once, and computes nearly the same",
  async (format) => {
    expect(await kindsOf(format)).toEqual(["start", "progress", "done"]);
    expect(await kindsOf(format)).toEqual([]);
    const logits: Float32Array[] = [];
    for (const f of ["f32", format] as const) {
      const base = await load(f);
      logits.push((await base.forward(batch as never)).logits.data);
      await base.close();
    }
    const [exact, made] = logits as [Float32Array, Float32Array];
    const norm = (of: (i: number) => number): number =>
      Math.sqrt(exact.reduce((n, _, i) => n + of(i) ** 2, 0));
    const error = norm((i) => exact[i]! - made[i]!) / norm((i) => exact[i]!);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan({ int8: 0.03, int4: 0.25, nf4: 0.25, bf16: 0.01 }[format]);
  },
);

it("holds the head apart in 8 bits, and leaves embeddings and norms as they are", async () => {
  const base = await load("int8");
  const held = [...base.runtime.weights.sources].map(([name, { format }]) => `${format} ${name}`);
  await base.close();
  expect(held.filter((line) => line.startsWith("int8")).length).toBe(13);
  expect(held).toContain("int8 lm_head.weight");
  expect(held.filter((line) => /embed|norm|bias/.test(line) && !line.startsWith("f16"))).toEqual([]);
});

it("a damaged cache, and one of a checkpoint that changed, are made anew; the former is said", async () => {
  await kindsOf("int8");
  const [file] = fs.readdirSync(cache).map((name) => path.join(cache, name)) as [string];
  fs.truncateSync(file, fs.statSync(file).size - 100);
  expect(await kindsOf("int8")).toEqual(["rebuilt", "start", "progress", "done"]);
  await writeModel(2);
  expect(await kindsOf("int8")).toEqual(["start", "progress", "done"]);
  expect(fs.readdirSync(cache).length).toBe(2);
});

it("what a killed process left is removed, and the next start is clean", async () => {
  const script = `
    import { PreTrainedModel } from ${JSON.stringify(new URL("../peft/base_model.ts", import.meta.url).href)};
    await PreTrainedModel.load("CAUSAL_LM", ${JSON.stringify(folder)}, {
      load: "int8", quantizedCache: ${JSON.stringify(cache)},
      quantizing: ({ kind }) => { if (kind === "progress") process.kill(process.pid, "SIGKILL"); },
    });`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script]);
  const ended = await new Promise((resolve) => child.on("exit", (_, signal) => resolve(signal)));
  expect(ended).toBe("SIGKILL");
  expect(fs.readdirSync(cache).some((name) => name.endsWith(".tmp"))).toBe(true);
  expect(await kindsOf("int8")).toEqual(["start", "progress", "done"]);
  expect(fs.readdirSync(cache).length).toBe(1);
});

it("stops at a signal and leaves nothing", async () => {
  const stop = new AbortController();
  stop.abort();
  await expect(load("int8", [], stop.signal)).rejects.toMatchObject({ code: "aborted" });
  expect(fs.existsSync(cache) ? fs.readdirSync(cache) : []).toEqual([]);
});

it("refuses a format that is none", async () => {
  await expect(load("int7" as never)).rejects.toMatchObject({ code: "option" });
});

it("is not merged in place, but into a full-precision copy on the disk", async () => {
  const base = await load("nf4");
  const model = new PeftModel(base as unknown as PreTrainedModel);
  model.addAdapter("default", new LoraConfig({ r: 4, targetModules: ["q_proj", "fc1"] }));
  await model.ready();
  const { entries } = model.activeAdapter;
  for (const entry of entries.values())
    entry.data.forEach((_, i) => void (entry.data[i] = 0.01 * (1 + (i % 5))));
  model.activeAdapter.state.touch();
  await expect(model.mergeAdapter()).rejects.toMatchObject({ code: "adapter-config" });
  await expect(model.mergeAndUnload()).rejects.toMatchObject({ code: "adapter-config" });
  const merged = path.join(folder, "merged");
  await model.saveMerged(merged);
  const name = "model.decoder.layers.0.fc1";
  const key = (part: string): Float32Array => model.activeAdapter.entry(`${name}.${part}`).data;
  const [A, B] = [key("lora_A.weight"), key("lora_B.weight")];
  const again = await PreTrainedModel.load("CAUSAL_LM", merged, { threads: 1 });
  const [was, is] = [
    await base.runtime.weight(`${name}.weight`),
    await again.runtime.weight(`${name}.weight`),
  ];
  for (const [i, k] of [
    [0, 0],
    [200, 100],
  ] as const) {
    let delta = 0;
    for (let r = 0; r < 4; r++) delta += B[i * 4 + r]! * A[r * HIDDEN + k]!;
    const scale = 8 / 4;
    expect(is[i * HIDDEN + k]).toBeCloseTo(was[i * HIDDEN + k]! + scale * delta, 5);
  }
  expect(toF32(fromF32(was, "f16"), "f16")).toEqual(was); // it came from the checkpoint, not from 4 bits
  await again.close();
  await base.close();
});
