import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeSafetensors } from "../src/hub/safetensors.js";
import { specOf } from "../src/peft/base_model.js";
import { takeInventory } from "../src/peft/write.js";
import { random } from "../src/random.js";
import { shapes } from "./shapes.js";

/** A folder with a model of true shape and random weights in f32, written once to the temporary folder. */
export async function randomModel(name: string, layers: number | undefined): Promise<string> {
  const shape = shapes[name];
  if (shape === undefined) throw new Error(`--model is one of ${Object.keys(shapes).join(", ")}`);
  const config: Record<string, unknown> = { ...shape.config };
  if (layers !== undefined) {
    const keys = "num_layers" in config ? ["num_layers", "num_decoder_layers"] : ["num_hidden_layers"];
    for (const key of keys) config[key] = layers;
  }
  const folder = join(tmpdir(), "peft-bench", layers === undefined ? name : `${name}-${layers}`);
  const text = `${JSON.stringify(config, null, 2)}\n`;
  const configFile = join(folder, "config.json");
  if (existsSync(configFile) && readFileSync(configFile, "utf8") === text) return folder;
  mkdirSync(folder, { recursive: true });
  const { weights } = takeInventory(specOf(config, shape.task));
  const next = random(0);
  const fill = (n: number): Uint8Array => {
    const data = new Float32Array(n);
    for (let i = 0; i < n; i++) data[i] = (next() / 2 ** 32 - 0.5) * 0.04;
    return new Uint8Array(data.buffer);
  };
  const tensors = [...weights].map(([key, dims]) => {
    const size = dims.reduce((a, b) => a * b, 1);
    return [key, { dtype: "f32" as const, shape: [...dims], data: () => fill(size) }] as const;
  });
  await writeSafetensors(join(folder, "model.safetensors"), new Map(tensors));
  writeFileSync(configFile, text);
  return folder;
}
