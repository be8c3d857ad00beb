import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Checkpoint } from "../../hub/checkpoint.js";
import { openCheckpoint } from "../../hub/checkpoint.js";
import { nodeFiles } from "../../hub/files.js";
import type { StoredType } from "../../hub/tensors/dtypes.js";
import { bytesPer, elements } from "../../hub/tensors/dtypes.js";
import { writeSafetensors } from "../../hub/tensors/safetensors.js";
import { PreTrainedModel } from "../../peft/base_model.js";
import { specOf } from "../../peft/spec.js";
import { takeInventory } from "../../trace/write.js";
import { quantizationOf, unpackedWeights } from "./index.js";

const golden = (name: string): string =>
  fileURLToPath(new URL(`../../../tests/golden/packed/${name}`, import.meta.url));

describe("weights as codes and scales are the numbers that their own libraries make of them, to the bit", async () => {
  const all = await openCheckpoint("", {
    ...nodeFiles,
    join: () => golden("layers.safetensors"),
    exists: async () => true,
  });
  const names = [...all.tensors.keys()].flatMap((name) => /^(.*)\.expected$/.exec(name)?.slice(1) ?? []);
  it.each(names)("%s", async (name) => {
    const tensors = new Map(
      [...all.tensors].filter(([key]) => key.startsWith(`${name}.`) && !key.endsWith("expected")),
    );
    const checkpoint: Checkpoint = { ...all, tensors };
    const v2 = quantizationOf({
      quantization_config: { quant_method: "gptq", checkpoint_format: "gptq_v2" },
    });
    const { plain, packed } = await unpackedWeights(checkpoint, name.startsWith("v2") ? v2 : undefined);
    expect(plain).toEqual([]);
    expect(packed.map((weight) => weight.name)).toEqual([`${name}.weight`]);
    const { shape } = all.tensors.get(`${name}.expected`)!;
    expect(packed[0]!.shape).toEqual(shape);
    const [found, expected] = [await packed[0]!.values(), await all.readF32(`${name}.expected`)];
    expect([...found].filter((value, i) => value !== expected[i])).toEqual([]);
    const exact = { "nf4-double": "nf4", "nf4-odd": "nf4", "int8-bnb": "int8" }[name];
    expect(packed[0]!.exact?.format).toBe(exact);
  });
});

describe("models", () => {
  let cache: string;
  beforeAll(() => {
    cache = fs.mkdtempSync(path.join(os.tmpdir(), "peft-packed-"));
  });
  afterAll(() => fs.rmSync(cache, { recursive: true }));

  async function logits(
    name: string,
    load?: "f32" | "int8" | "nf4",
  ): Promise<{ wrong: number; said: string; held: Set<string>; all: Float32Array }> {
    const expected = JSON.parse(fs.readFileSync(path.join(golden(name), "expect.json"), "utf8"));
    const said: string[] = [];
    const warn = (message: unknown): void => void said.push(`${message}`);
    const model = await PreTrainedModel.load("CAUSAL_LM", golden(name), {
      load,
      warn,
      quantizedCache: cache,
      threads: 1,
    });
    const shape = [2, 8] as const;
    const { logits } = await model.forward({
      task: "CAUSAL_LM",
      inputIds: { data: Int32Array.from(expected.ids.flat()), shape },
      attentionMask: { data: new Int32Array(16).fill(1), shape },
    } as Parameters<typeof model.forward>[0]);
    const held = new Set([...model.runtime.weights.sources.values()].map(({ format }) => format));
    await model.close();
    const all = logits.data as Float32Array;
    const last = [...all.subarray(7 * 96, 8 * 96), ...all.subarray(15 * 96)];
    const wrong = Math.max(...last.map((value, i) => Math.abs(value - expected.last[i])));
    return { wrong, said: said.join(), held, all };
  }

  it("of bitsandbytes in nf4 are held in our nf4 and compute what transformers does", async () => {
    const { wrong, said, held } = await logits("llama-nf4");
    expect(said).toMatch(/is quantized: 14 weights in bitsandbytes nf4, held here in nf4/);
    expect(held).toContain("nf4");
    expect(wrong).toBeLessThan(1e-4);
    // the head goes to int8, the layers are not quantized a second time
    expect((await logits("llama-nf4", "nf4")).wrong).toBeLessThan(0.1);
  });

  it("of bitsandbytes in int8 are dequantized: transformers rounds activations as well, we do where int8 is asked for", async () => {
    const plain = await logits("llama-int8");
    expect(plain.said).toMatch(/14 weights in bitsandbytes int8, held here in f32/);
    expect(plain.wrong).toBeLessThan(0.5);
    const int8 = await logits("llama-int8", "int8");
    expect(int8.held).toContain("int8");
    expect(int8.wrong).toBeLessThan(0.5);
  });

  it("whose weights are of no known form are refused by the method's name, and raw codes are never weights", async () => {
    const folder = path.join(cache, "odd");
    const write = async (
      quantization: object | undefined,
      change: (name: string) => StoredType,
    ): Promise<void> => {
      const json = JSON.parse(fs.readFileSync(path.join(golden("llama-nf4"), "config.json"), "utf8"));
      const { weights } = takeInventory(specOf(json, "CAUSAL_LM"));
      const tensors = [...weights].map(([name, shape]) => {
        const dtype = change(name);
        return [
          name,
          { dtype, shape: [...shape], data: new Uint8Array(elements(shape) * bytesPer[dtype]) },
        ] as const;
      });
      fs.mkdirSync(folder, { recursive: true });
      await writeSafetensors(path.join(folder, "model.safetensors"), new Map(tensors));
      fs.writeFileSync(
        path.join(folder, "config.json"),
        JSON.stringify({ ...json, quantization_config: quantization }),
      );
    };
    const load = (): Promise<unknown> => PreTrainedModel.load("CAUSAL_LM", folder, { quantizedCache: cache });
    const isLayer = (name: string): boolean => name.endsWith("proj.weight");
    await write({ quant_method: "hqq", bits: 3 }, (name) => (isLayer(name) ? "u8" : "f32"));
    await expect(load()).rejects.toThrow(
      /quantized with hqq \(3 bits\).*stored as U8, which is no type of weights.*load: "nf4"/s,
    );
    await write(undefined, (name) => (isLayer(name) ? "i8" : "f32"));
    await expect(load()).rejects.toThrow(/does not fit.*stored as I8, which is no type of weights/s);
    await write({ quant_method: "fp8" }, (name) => (isLayer(name) ? "f8_e4m3" : "f32"));
    await expect(load()).rejects.toThrow(/quantized with fp8.*stored as F8_E4M3 without its scale/s);
  });
});
