import { PeftError } from "../../src/errors.js";
import type { Files } from "../../src/hub/files.js";
import { nodeFiles } from "../../src/hub/files.js";
import { bytesPer, elements } from "../../src/hub/tensors/dtypes.js";
import { specOf } from "../../src/peft/spec.js";
import { takeInventory } from "../../src/trace/write.js";
import type { FloatType } from "./noise.js";
import { Noise } from "./noise.js";
import type { Shape } from "./shapes.js";

export interface CheckpointOptions {
  readonly dtype: FloatType;
  /** A file holds at most so many bytes of weights, or else one tensor. */
  readonly shardBytes: number;
  /** Bytes that are there, of how many. */
  readonly progress?: ((done: number, total: number) => void) | undefined;
}

interface ShardTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Its place among all tensors. */
  readonly index: number;
}

interface Shard {
  readonly file: string;
  readonly tensors: readonly ShardTensor[];
  readonly header: Uint8Array;
  readonly bytes: number;
}

const TORCH_NAMES = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const;
const STORED_NAMES = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/**
 * Writes a checkpoint of this shape with random weights as the Hub has it: shards with their index (or one
 * file), then config.json. Files that are there and whole stay as they are. Throws "output" where the disk is
 * too small, or the folder holds weights of something else.
 */
export async function writeCheckpoint(
  shape: Shape,
  folder: string,
  options: CheckpointOptions,
  files: Files = nodeFiles,
): Promise<void> {
  const config = { ...shape.config, torch_dtype: TORCH_NAMES[options.dtype] };
  const shards = cut(inventory(shape, options.dtype), options);
  await files.makeFolder(folder);
  await refuseOthers(folder, shards, config, files);
  await removeAbandoned(folder, files);
  const lacking: Shard[] = [];
  for (const shard of shards) {
    const path = files.join(folder, shard.file);
    if (!(await files.exists(path)) || (await files.size(path)) !== shard.bytes) lacking.push(shard);
  }
  const total = sum(shards.map((s) => s.bytes));
  let done = total - sum(lacking.map((s) => s.bytes));
  await checkSpace(folder, total - done, files);
  const noise = lacking.length === 0 ? undefined : new Noise(options.dtype);
  for (const shard of lacking) {
    await files.writeAtomic(
      files.join(folder, shard.file),
      content(shard, noise!, (bytes) => options.progress?.((done += bytes), total)),
    );
  }
  if (shards.length > 1) await writeJson(files.join(folder, INDEX), jsonText(index(shards)), files);
  await writeJson(files.join(folder, "config.json"), jsonText(config), files);
}

const INDEX = "model.safetensors.index.json";
/** As writeAtomic names them. */
const TEMPORARY = /^\.model.*\.safetensors\.\w+\.tmp$/;
const ABANDONED_MS = 60_000;
const WEIGHTS = /^(model|pytorch_model).*\.(safetensors|bin)(\.index\.json)?$/;

function inventory({ config, task }: Shape, dtype: FloatType): ShardTensor[] {
  const { weights } = takeInventory(specOf(config, task));
  return [...weights].map(([name, shape], index) => {
    return { name, shape, bytes: elements(shape) * bytesPer[dtype], index };
  });
}

/** Tensors one after another, a new file where the next one does not fit. */
function cut(tensors: readonly ShardTensor[], { dtype, shardBytes }: CheckpointOptions): Shard[] {
  const groups: ShardTensor[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    if (groups.length === 0 || tensor.bytes > room) {
      groups.push([]);
      room = shardBytes;
    }
    groups.at(-1)!.push(tensor);
    room -= tensor.bytes;
  }
  const digits = (n: number): string => `${n}`.padStart(5, "0");
  return groups.map((group, i) => {
    const part = groups.length === 1 ? "" : `-${digits(i + 1)}-of-${digits(groups.length)}`;
    const header = headerOf(group, dtype);
    const bytes = header.byteLength + sum(group.map((t) => t.bytes));
    return { file: `model${part}.safetensors`, tensors: group, header, bytes };
  });
}

/** Like writeSafetensors, which holds each tensor whole and rereads none. */
function headerOf(tensors: readonly ShardTensor[], dtype: FloatType): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const { name, shape, bytes } of tensors) {
    header[name] = { dtype: STORED_NAMES[dtype], shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Math.ceil(text.byteLength / 8) * 8;
  const out = Buffer.alloc(8 + length, " ");
  out.writeBigUInt64LE(BigInt(length));
  text.copy(out, 8);
  return out;
}

function* content(shard: Shard, noise: Noise, written: (bytes: number) => void): Generator<Uint8Array> {
  yield shard.header;
  written(shard.header.byteLength);
  for (const { name, shape, index } of shard.tensors)
    for (const piece of noise.tensor(name, shape, index)) {
      yield piece;
      written(piece.byteLength);
    }
}

/** Whether a file begins as this one does; one that was cut short does too. */
async function isOwn(path: string, { header }: Shard, files: Files): Promise<boolean> {
  if ((await files.size(path)) < header.byteLength) return false;
  return Buffer.compare(await files.read(path, 0, header.byteLength), header) === 0;
}

/**
 * Refuses weights that a reader might take in place of these, and what would be lost: a config.json that is
 * not of these weights.
 */
async function refuseOthers(
  folder: string,
  shards: readonly Shard[],
  config: unknown,
  files: Files,
): Promise<void> {
  const names = await files.list(folder);
  const present = names.filter((name) => WEIGHTS.test(name));
  const others: string[] = [];
  for (const name of present) {
    const shard = shards.find((s) => s.file === name);
    const own = shard === undefined ? shards.length > 1 && name === INDEX : undefined;
    if (!(own ?? (await isOwn(files.join(folder, name), shard!, files)))) others.push(name);
  }
  // beside weights of this very shape it is ours, perhaps of an earlier table of shapes
  if (present.length === 0 && names.includes("config.json"))
    if ((await files.text(files.join(folder, "config.json"))) !== jsonText(config))
      others.push("config.json");
  if (others.length === 0) return;
  throw new PeftError("output", {
    what: `"${folder}" holds another model.`,
    why: `there ${others.length === 1 ? "is" : "are"} ${others.join(", ")}.`,
    fix: "name a new folder, or remove these files.",
  });
}

/** Temporary files of a run that was killed: whoever still writes one changes it all the time. */
async function removeAbandoned(folder: string, files: Files): Promise<void> {
  for (const name of await files.list(folder)) {
    const path = files.join(folder, name);
    if (TEMPORARY.test(name) && Date.now() - (await files.changed(path)) > ABANDONED_MS)
      await files.remove(path);
  }
}

async function checkSpace(folder: string, bytes: number, files: Files): Promise<void> {
  const free = await files.free(folder);
  if (bytes <= free) return;
  throw new PeftError("output", {
    what: `This checkpoint does not fit on the disk of "${folder}".`,
    why: `${bytes} bytes are still to be written, ${free} are free.`,
    fix: "free some, name a folder on another disk, or take --dtype bf16 or fewer --layers.",
  });
}

function index(shards: readonly Shard[]): Record<string, unknown> {
  const map = shards.flatMap((s) => s.tensors.map((t) => [t.name, s.file] as const));
  const total = sum(shards.flatMap((s) => s.tensors.map((t) => t.bytes)));
  return { metadata: { total_size: total }, weight_map: Object.fromEntries(map) };
}

const jsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

async function writeJson(path: string, text: string, files: Files): Promise<void> {
  if ((await files.exists(path)) && (await files.text(path)) === text) return;
  await files.writeAtomic(path, [new TextEncoder().encode(text)]);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
