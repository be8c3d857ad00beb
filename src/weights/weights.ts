import type { WeightSource } from "../engine/messages.js";
import { givenWeight, inFiles } from "../engine/weights/source.js";
import { internal, PeftError } from "../errors.js";
import { axes } from "../graph/dims.js";
import type { Checkpoint, StoredTensor } from "../hub/checkpoint.js";
import { nodeFiles } from "../hub/files.js";
import { isReal, storedTypes } from "../hub/tensors/dtypes.js";
import type { Architecture, ModelConfig } from "../models/model.js";
import { entry } from "../present.js";
import { normal, random } from "../random.js";
import { headModules } from "../tasks/registry.js";
import type { Inventory } from "../trace/trace.js";
import type { ModelSpec } from "../trace/write.js";
import { takeInventory } from "../trace/write.js";
import { moduleNamesOf } from "./module_names.js";
import type { PackedWeight, Quantization } from "./packed/index.js";
import { unpackedWeights, unreadQuantization } from "./packed/index.js";
import { turned as transposed } from "./packed/packing.js";
import { splitTensors } from "./split_tensors.js";
import type { Named, Stored } from "./stacks.js";
import { isPacked, isStacked, stackOf, tensorsOf } from "./stacks.js";

/** A model's weights, found in a checkpoint (or made new), by module name. */
export interface BoundWeights {
  readonly spec: ModelSpec;
  readonly inventory: Inventory;
  readonly sources: ReadonlyMap<string, WeightSource>;
  /** Weights that the checkpoint lacks and that were made new (a fresh head). */
  readonly fresh: readonly string[];
  /** Tensors of the checkpoint that the model does not use. */
  readonly unused: readonly string[];
  readonly readF32: (name: string) => Promise<Float32Array>;
  /**
   * Weights that are stored as codes and scales. Their sources only name their bytes: see `quantizedSources`.
   */
  readonly packed: ReadonlyMap<string, PackedWeight>;
  readonly quantization: Quantization | undefined;
}

/**
 * The module names that a checkpoint's tensor may have: current names, with and without the bare model's
 * prefix.
 */
export function moduleNames(architecture: Architecture, name: string): string[] {
  const { checkpoint } = architecture;
  const plain = (checkpoint?.rename ?? []).reduce((name, [from, to]) => name.replace(from, to), name);
  const renamed = moduleNamesOf(checkpoint).today(plain);
  const { prefix } = architecture;
  if (prefix === "") return [renamed];
  const start = `${prefix}.`;
  return renamed.startsWith(start) ? [renamed, renamed.slice(start.length)] : [renamed, start + renamed];
}

/**
 * Finds every weight of the model in the checkpoint. Throws PeftError "checkpoint" with all that is missing
 * or of wrong shape.
 */
export async function bindWeights(
  spec: ModelSpec,
  file: Checkpoint,
  seed: number,
  quantization?: Quantization,
): Promise<BoundWeights> {
  const checkpoint = splitTensors(file, spec.architecture.checkpoint);
  const weights = await unpackedWeights(checkpoint, quantization);
  const stored = new Map<string, Named>();
  for (const tensor of [...weights.plain, ...weights.packed])
    for (const name of moduleNames(spec.architecture, tensor.name))
      if (!stored.has(name)) stored.set(name, tensor);
  const settled = { ...spec, config: { ...spec.config, tied: await isTied(spec, stored) } };
  const inventory = takeInventory(settled);
  const matrices = [...inventory.linears.values(), ...inventory.stacks.values()];
  const turned = new Set(matrices.filter((l) => l.transposed).map((l) => l.weight));
  const found = findAll(settled, inventory, { path: checkpoint.path, stored, turned, quantization });
  const sources = new Map<string, WeightSource>();
  const packed = new Map<string, PackedWeight>();
  for (const [name, shape] of inventory.weights) {
    const tensor = found.tensors.get(name);
    if (isPacked(tensor)) {
      packed.set(name, tensor);
      sources.set(name, codesOf(tensor, shape, turned.has(name)));
    } else
      sources.set(
        name,
        tensor
          ? await sourceOf(tensor, checkpoint)
          : givenWeight(shape, freshValues(name, shape, spec.config, seed)),
      );
  }
  for (const [name, { shape, initial }] of inventory.tables) {
    const tensor = stored.get(name);
    const isStored = tensor !== undefined && !isPacked(tensor) && `${tensor.shape}` === `${shape}`;
    if (isStored) found.tensors.set(name, tensor);
    sources.set(name, isStored ? await sourceOf(tensor, checkpoint) : givenWeight(shape, initial()));
  }
  const used = new Set([...found.tensors.values()].flatMap((t) => tensorsOf(t).map((u) => u.name)));
  return {
    spec: settled,
    inventory,
    sources,
    packed,
    quantization,
    fresh: found.fresh,
    unused: [...checkpoint.tensors.keys()].filter((name) => !used.has(name)),
    readF32: async (name) => {
      const tensor = found.tensors.get(name);
      if (tensor === undefined) return valuesInMemory(entry(sources, name));
      if (!isPacked(tensor)) return await readPlain(tensor, checkpoint);
      const values = await tensor.values();
      const [rows, columns] = turned.has(name) ? axes(tensor.shape, 2) : [];
      return rows === undefined || columns === undefined ? values : transposed(values, rows, columns);
    },
  };
}

/** A weight that no file has: it starts in memory. */
function valuesInMemory({ parts }: WeightSource): Float32Array {
  const { data } = parts;
  return data instanceof Float32Array ? data : internal("a fresh weight that is not f32");
}

/** The places of a packed weight's bytes. No format of the engine reads these. */
function codesOf({ tensors }: PackedWeight, shape: readonly number[], transposed: boolean): WeightSource {
  const parts = tensors.map(({ name, path, offset, data }) => [name, data ?? { path, offset }] as const);
  return { format: "f32", shape, transposed, parts: Object.fromEntries(parts) };
}

/** A checkpoint's own head wins over the config's flag; without one the head is the embedding. */
async function isTied(
  { architecture, config }: ModelSpec,
  stored: ReadonlyMap<string, Named>,
): Promise<boolean> {
  if (architecture.tie === undefined) return config.tied;
  const [head, embedding] = architecture.tie.map((name) => stored.get(name));
  if (head === undefined) return true;
  if (embedding === undefined || isPacked(head) || isPacked(embedding)) return false;
  if (head.dtype !== embedding.dtype) return false;
  return config.tied && (await sameBytes(head, embedding));
}

/** Piece by piece, as far as they are equal: heads are as large as embeddings. */
async function sameBytes(a: StoredTensor, b: StoredTensor): Promise<boolean> {
  const piece = 1 << 20;
  const read = async ({ data, path, offset, bytes }: StoredTensor, at: number): Promise<Uint8Array> =>
    data?.subarray(at, at + piece) ?? (await nodeFiles.read(path, offset + at, Math.min(piece, bytes - at)));
  if (a.bytes !== b.bytes) return false;
  for (let at = 0; at < a.bytes; at += piece) {
    const [x, y] = await Promise.all([read(a, at), read(b, at)]);
    if (x.some((byte, i) => byte !== y[i])) return false;
  }
  return true;
}

interface Found {
  readonly tensors: Map<string, Stored>;
  readonly fresh: string[];
}

interface Given {
  readonly path: string;
  readonly stored: ReadonlyMap<string, Named>;
  /** Weights that the model holds [in, out]. */
  readonly turned: ReadonlySet<string>;
  readonly quantization: Quantization | undefined;
}

function findAll(
  { architecture, config, task }: ModelSpec,
  inventory: Inventory,
  { path, stored, turned, quantization }: Given,
): Found {
  const tensors = new Map<string, Stored>();
  const fresh: string[] = [];
  const missing: string[] = [];
  const wrong: string[] = [];
  const faults = { missing, wrong };
  const [head, embedding] = architecture.tie ?? [];
  const newModules = [...architecture.newModules, ...headModules(task)];
  for (const [name, shape] of inventory.weights) {
    const site = inventory.stacks.get(name);
    const before = missing.length + wrong.length;
    const tensor =
      stored.get(name) ??
      (config.tied && name === embedding ? stored.get(head ?? "") : undefined) ??
      (site && stackOf(site, architecture.checkpoint?.experts, stored, faults));
    if (missing.length + wrong.length > before) continue;
    const isNew = newModules.some((m) => `.${name}`.includes(`.${m}.`));
    if (tensor === undefined) (isNew ? fresh : missing).push(name);
    else if (!isPacked(tensor) && !isReal(tensor.dtype))
      wrong.push(`${name} is stored as ${storedTypes[tensor.dtype]}, which is no type of weights`);
    else if (!isPacked(tensor) && tensor.dtype.startsWith("f8") && quantization !== undefined)
      wrong.push(`${name} is stored as ${storedTypes[tensor.dtype]} without its scale`);
    else if (
      `${isPacked(tensor) && turned.has(name) ? tensor.shape.toReversed() : tensor.shape}` === `${shape}`
    )
      tensors.set(name, tensor);
    else if (isNew) fresh.push(name);
    else wrong.push(`${name} is [${tensor.shape}], not [${shape}]`);
  }
  if (missing.length === 0 && wrong.length === 0) return { tensors, fresh };
  const shown = missing.slice(0, 8).join(", ") + (missing.length > 8 ? ", ..." : "");
  const wrongs = wrong.slice(0, 8).join("; ") + (wrong.length > 8 ? `; and ${wrong.length - 8} more` : "");
  const why = [missing.length > 0 ? `${missing.length} weights are missing: ${shown}.` : "", wrongs]
    .filter((s) => s !== "")
    .join(" ");
  if (quantization !== undefined) throw unreadQuantization(quantization, why);
  throw new PeftError("checkpoint", {
    what: `"${path}" does not fit the config.json beside it (model_type "${config.modelType}").`,
    why,
    fix: "use the config.json and the weight files of one and the same model.",
  });
}

async function sourceOf(
  tensor: Exclude<Stored, PackedWeight>,
  checkpoint: Checkpoint,
): Promise<WeightSource> {
  const { dtype, shape } = tensor;
  const tensors = tensorsOf(tensor);
  const isInFiles = tensors.every(({ data }) => data === undefined);
  if (isInFiles && (dtype === "f32" || dtype === "f16" || dtype === "bf16"))
    return inFiles(dtype, shape, tensors);
  return givenWeight(shape, await readPlain(tensor, checkpoint));
}

/** A weight's numbers, of all of its pieces. */
async function readPlain(
  tensor: Exclude<Stored, PackedWeight>,
  checkpoint: Checkpoint,
): Promise<Float32Array> {
  if (!isStacked(tensor)) return checkpoint.readF32(tensor.name);
  const whole = new Float32Array(tensor.shape.reduce((a, b) => a * b, 1));
  let done = 0;
  for (const { name } of tensor.pieces) {
    const own = await checkpoint.readF32(name);
    whole.set(own, done);
    done += own.length;
  }
  return whole;
}

/** As transformers starts a new head: weights normal with the config's initializer_range, biases zero. */
export function freshValues(
  name: string,
  shape: readonly number[],
  config: Pick<ModelConfig, "initializerRange">,
  seed: number,
): Float32Array {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const next = random(
    seed,
    [...name].reduce((h, c) => (Math.imul(h, 31) + c.charCodeAt(0)) | 0, 7),
  );
  if (!name.endsWith("bias"))
    for (let i = 0; i < data.length; i++) data[i] = config.initializerRange * normal(next);
  return data;
}
