import { fromF32 } from "../hub/dtypes.js";
import { nodeFiles } from "../hub/files.js";
import { formatJson, parseJsonWithFloats } from "../hub/json.js";
import { writeSafetensors } from "../hub/safetensors.js";
import type { Runtime } from "./runtime.js";

interface Saved {
  readonly folder: string;
  readonly configJson: Readonly<Record<string, unknown>>;
  readonly runtime: Runtime;
}

const DTYPE_NAMES = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const;

/** Files beside the weights that make a folder whole: copied as they are. */
const COMPANIONS =
  /^(tokenizer.*|vocab\..*|merges\.txt|special_tokens_map\.json|added_tokens\.json|spiece\.model|generation_config\.json|chat_template\..*)$/;

/** Writes a plain Hub folder: config.json, model.safetensors (one tensor at a time), and the tokenizer's files. */
export async function saveModel(
  model: Saved,
  changed: ReadonlyMap<string, Float32Array>,
  folder: string,
  dtype: "f32" | "f16" | "bf16" = "f32",
): Promise<void> {
  const { runtime } = model;
  await nodeFiles.makeFolder(folder);
  const tensors = new Map(
    [...runtime.weights.inventory.weights].map(([name, shape]) => [
      name,
      {
        dtype,
        shape: [...shape],
        data: async (): Promise<Uint8Array> =>
          fromF32(changed.get(name) ?? (await runtime.weight(name)), dtype),
      },
    ]),
  );
  await writeSafetensors(nodeFiles.join(folder, "model.safetensors"), tensors, { format: "pt" });
  await writeConfig(model, folder, dtype);
  for (const name of await nodeFiles.list(model.folder))
    if (COMPANIONS.test(name) && nodeFiles.resolve(folder) !== nodeFiles.resolve(model.folder)) {
      const path = nodeFiles.join(model.folder, name);
      const bytes = await nodeFiles.read(path, 0, await nodeFiles.size(path));
      await nodeFiles.writeAtomic(nodeFiles.join(folder, name), [bytes]);
    }
}

async function writeConfig(model: Saved, folder: string, dtype: "f32" | "f16" | "bf16"): Promise<void> {
  const source = nodeFiles.join(model.folder, "config.json");
  const { floats } = parseJsonWithFloats(await nodeFiles.text(source), source);
  const key = "torch_dtype" in model.configJson ? "torch_dtype" : "dtype";
  const json = { ...model.configJson, [key]: DTYPE_NAMES[dtype] };
  const text = `${formatJson(json, floats)}\n`;
  await nodeFiles.writeAtomic(nodeFiles.join(folder, "config.json"), [new TextEncoder().encode(text)]);
}
