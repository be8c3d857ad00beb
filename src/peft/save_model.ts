import type { NamesOf } from "../arguments.js";
import { PeftError } from "../errors.js";
import { nodeFiles } from "../hub/files.js";
import { formatJson, parseJsonWithFloats } from "../hub/json.js";
import { fromF32 } from "../hub/tensors/dtypes.js";
import { writeSafetensors } from "../hub/tensors/safetensors.js";
import { TOKENIZER_FILE } from "../hub/tokenizer_files.js";
import type { TaskType } from "../models/model.js";
import type { Runtime } from "../run/runtime.js";
import { classOf } from "../tasks/registry.js";
import { tieOf, untied } from "../weights/tie.js";
import { writePooling } from "./embedding_files.js";

interface Saved {
  readonly taskType: TaskType;
  readonly folder: string;
  readonly configJson: Readonly<Record<string, unknown>>;
  readonly runtime: Runtime;
}

const DTYPE_NAMES = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const;

/** Files beside the weights that make a folder whole: copied as they are. */
const isCompanion = (name: string): boolean => name === "generation_config.json" || TOKENIZER_FILE.test(name);

/** How a whole model is written. */
export interface SaveModelOptions {
  /** How weights are stored. @default "f32" */
  readonly dtype?: "f32" | "f16" | "bf16";
  /** Stops the writing; nothing of it stays. */
  readonly signal?: AbortSignal;
}

export const savedNames: NamesOf<SaveModelOptions> = { dtype: { also: ["torch_dtype"] }, signal: {} };

type Changed = ReadonlyMap<string, () => Float32Array | Promise<Float32Array>>;

/**
 * Writes a plain Hub folder: config.json, model.safetensors (one tensor at a time), and the tokenizer's
 * files. A folder that is not there yet gets its name when it is whole.
 */
export async function saveModel(
  model: Saved,
  changed: Changed,
  folder: string,
  options: SaveModelOptions = {},
): Promise<void> {
  const isThere = await nodeFiles.exists(folder); // it may be a disk of its own, which cannot be replaced
  if (!isThere) await nodeFiles.makeFolder(nodeFiles.parent(nodeFiles.resolve(folder)));
  const path = isThere ? nodeFiles.join(folder, "model") : nodeFiles.resolve(folder);
  const draft = await nodeFiles.temporary(path);
  try {
    await writeModel(model, changed, draft, options);
    if (!isThere) await nodeFiles.rename(draft, folder);
    else
      for (const name of await nodeFiles.list(draft))
        await nodeFiles.rename(nodeFiles.join(draft, name), nodeFiles.join(folder, name));
  } finally {
    await nodeFiles.remove(draft);
  }
}

async function writeModel(
  model: Saved,
  changed: Changed,
  folder: string,
  { dtype = "f32", signal }: SaveModelOptions,
): Promise<void> {
  const { runtime } = model;
  await nodeFiles.makeFolder(folder);
  const tie = tieOf(runtime.weights.inventory);
  const isUntied = runtime.isUntied || (tie !== undefined && changed.has(tie.own));
  const { inventory } = tie !== undefined && isUntied ? untied(runtime.weights, tie) : runtime.weights;
  const tables = [...inventory.tables].map(([name, { shape }]) => [name, shape] as const);
  const tensors = new Map(
    [...inventory.weights, ...tables].map(([name, shape]) => [
      name,
      {
        dtype,
        shape: [...shape],
        data: async (): Promise<Uint8Array> => {
          if (signal?.aborted) throw stopped(folder);
          return fromF32(await (changed.get(name)?.() ?? runtime.weight(name)), dtype);
        },
      },
    ]),
  );
  await writeSafetensors(nodeFiles.join(folder, "model.safetensors"), tensors, { format: "pt" });
  const { architecture } = runtime.weights.spec;
  const fields = isUntied ? { tie_word_embeddings: false, ...architecture.untied } : {};
  await writeConfig(model, fields, folder, dtype);
  const { pooling, hiddenSize } = runtime.weights.spec.config;
  if (pooling !== undefined) await writePooling(folder, pooling, { width: hiddenSize, from: model.folder });
  for (const name of await nodeFiles.list(model.folder))
    if (isCompanion(name) && nodeFiles.resolve(folder) !== nodeFiles.resolve(model.folder)) {
      const path = nodeFiles.join(model.folder, name);
      const bytes = await nodeFiles.read(path, 0, await nodeFiles.size(path));
      await nodeFiles.writeAtomic(nodeFiles.join(folder, name), [bytes]);
    }
}

function stopped(folder: string): PeftError {
  return new PeftError("aborted", {
    what: `Writing the model to "${folder}" was stopped.`,
    why: "its signal was aborted.",
    fix: "the same call starts it anew: nothing half written is left.",
  });
}

async function writeConfig(
  model: Saved,
  fields: Readonly<Record<string, boolean>>,
  folder: string,
  dtype: "f32" | "f16" | "bf16",
): Promise<void> {
  const source = nodeFiles.join(model.folder, "config.json");
  const { floats } = parseJsonWithFloats(await nodeFiles.text(source), source);
  const key = "torch_dtype" in model.configJson ? "torch_dtype" : "dtype";
  const own = classOf(model.configJson, model.taskType);
  const architectures = own === undefined ? {} : { architectures: [own] };
  const plain = { quantization_config: undefined, compression_config: undefined, quantization: undefined };
  const json = { ...model.configJson, ...plain, ...architectures, ...fields, [key]: DTYPE_NAMES[dtype] };
  const text = `${formatJson(json, floats)}\n`;
  await nodeFiles.writeAtomic(nodeFiles.join(folder, "config.json"), [new TextEncoder().encode(text)]);
}
