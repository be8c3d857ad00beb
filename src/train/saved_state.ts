import { PeftError } from "../errors.js";
import type { Parameter } from "../graph/parameters.js";
import { type Files, nodeFiles } from "../hub/files.js";
import { formatJson, readJsonObject } from "../hub/json.js";
import type { StoredTensor } from "../hub/tensors/archive.js";
import { fromF32, toF32 } from "../hub/tensors/dtypes.js";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../hub/tensors/safetensors.js";
import { isRecord } from "../narrow.js";
import type { AdamWState } from "./adamw.js";

/** All that a run needs to go on to the same bits. */
export interface TrainingState {
  /** Optimizer steps done. */
  step: number;
  epoch: number;
  /** Batches of this epoch's order that are consumed. */
  position: number;
  /** Where each random stream stands: "data", "dropout". */
  seeds: Readonly<Record<string, number>>;
  /** Whatever else the loop counts: tokens seen, evaluations without improvement, the loss summed so far. */
  counters: Readonly<Record<string, number>>;
  best?: { step: number; metric: string; value: number };
  /** The trainable tensors themselves: an adapter file may hold less (an encoder's output) or be rounded. */
  parameters: readonly Parameter[];
  optimizer: AdamWState;
  /** What the source of steps remembers beside its position. */
  source?: readonly Parameter[];
  /** What AdaLoRA remembers of the importance of ranks; of others, nothing. */
  allocation: readonly Parameter[];
}

/** Where a checkpoint goes, and which stay. */
export interface SaveOptions {
  /** How many checkpoints stay; the best one stays besides. */
  keep?: number;
  /** Puts more into the checkpoint (the adapter itself) before it gets its name. */
  attach?: (folder: string) => Promise<void>;
  /** @internal The file system. */
  files?: Files;
}

/** A checkpoint on disk. */
export interface Checkpoint {
  step: number;
  path: string;
}

const formatVersion = 1;
const stateFile = "training_state.json";
const tensorFile = "training_state.safetensors";
const finished = /^checkpoint-(\d+)$/;
const unfinished = /^\.checkpoint-\d+\.tmp$/;
const replaced = /^\.(checkpoint-\d+)\.old$/;

/**
 * Writes `folder/checkpoint-<step>`, returns its path, and removes the oldest beyond `keep`. All is written
 * under another name first: a checkpoint that can be seen is whole. Tensors are read while it writes, so
 * await it before the next step.
 * @throws "output" where the disk is full; what was there is still whole
 */
export async function saveState(
  folder: string,
  state: TrainingState,
  options: SaveOptions = {},
): Promise<string> {
  const { keep = 2, attach, files = nodeFiles } = options;
  await files.makeFolder(folder);
  await tidy(folder, files);
  const name = `checkpoint-${state.step}`;
  const temporary = files.join(folder, `.${name}.tmp`);
  try {
    await files.makeFolder(temporary);
    await writeSafetensors(files.join(temporary, tensorFile), tensorsOf(state), {}, files);
    await attach?.(temporary);
    await files.writeAtomic(files.join(temporary, stateFile), [new TextEncoder().encode(jsonOf(state))]);
  } catch (error) {
    await files.remove(temporary);
    throw error;
  }
  await putInPlace(folder, name, temporary, files);
  await prune(folder, state, keep, files);
  return files.join(folder, name);
}

/** Reads a checkpoint, or the newest of a run's folder. @throws "checkpoint" for none or a foreign one */
export async function loadState(folder: string, files: Files = nodeFiles): Promise<TrainingState> {
  const path = (await files.exists(files.join(folder, stateFile))) ? folder : await newest(folder, files);
  const json = await readJsonObject(files.join(path, stateFile), files);
  const tensors = await readTensors(files.join(path, tensorFile), files);
  return parseState(json, tensors, files.join(path, stateFile));
}

/** The whole checkpoints of a run's folder, oldest first. */
export async function listCheckpoints(folder: string, files: Files = nodeFiles): Promise<Checkpoint[]> {
  const names = await files.list(folder);
  const steps = new Map(
    names.flatMap((name) => (finished.test(name) ? [[Number(name.slice(11)), name] as const] : [])),
  );
  for (const name of names) {
    // a run that died between two renames: the old one is still the checkpoint
    const step = Number(replaced.exec(name)?.[1]?.slice(11) ?? Number.NaN);
    if (!Number.isNaN(step) && !steps.has(step)) steps.set(step, name);
  }
  return [...steps]
    .sort(([a], [b]) => a - b)
    .map(([step, name]) => ({ step, path: files.join(folder, name) }));
}

async function newest(folder: string, files: Files): Promise<string> {
  const last = (await listCheckpoints(folder, files)).at(-1);
  if (last) return last.path;
  throw new PeftError("checkpoint", {
    what: `"${folder}" holds no checkpoint to resume from.`,
    why: `neither ${stateFile} nor a folder checkpoint-<step> is in it.`,
    fix: "give the output folder of a run, or start a new run in another folder.",
  });
}

/** Clears what a killed run left: half a checkpoint goes, one that was about to be replaced comes back. */
async function tidy(folder: string, files: Files): Promise<void> {
  for (const name of await files.list(folder)) {
    const path = files.join(folder, name);
    if (unfinished.test(name)) await files.remove(path);
    const original = replaced.exec(name)?.[1];
    if (original === undefined) continue;
    if (await files.exists(files.join(folder, original))) await files.remove(path);
    else await files.rename(path, files.join(folder, original));
  }
}

async function putInPlace(folder: string, name: string, temporary: string, files: Files): Promise<void> {
  const path = files.join(folder, name);
  const old = files.join(folder, `.${name}.old`);
  if (await files.exists(path)) await files.rename(path, old);
  await files.rename(temporary, path);
  await files.remove(old);
}

async function prune(
  folder: string,
  { step, best }: TrainingState,
  keep: number,
  files: Files,
): Promise<void> {
  const all = await listCheckpoints(folder, files);
  const staying = new Set([
    step,
    best?.step,
    ...all.slice(-Math.max(1, keep)).map((checkpoint) => checkpoint.step),
  ]);
  for (const checkpoint of all) if (!staying.has(checkpoint.step)) await discard(folder, checkpoint, files);
}

/** Under another name before it is taken apart, so that a kill in the middle leaves no half. */
async function discard(folder: string, { step, path }: Checkpoint, files: Files): Promise<void> {
  const doomed = files.join(folder, `.checkpoint-${step}.tmp`);
  await files.rename(path, doomed);
  await files.remove(doomed);
}

function tensorsOf({
  parameters,
  optimizer,
  allocation,
  source = [],
}: TrainingState): Map<string, TensorToWrite> {
  const entry = (prefix: string, { name, shape, data }: Parameter): [string, TensorToWrite] => [
    `${prefix}.${name}`,
    { dtype: "f32", shape, data: fromF32(data, "f32") },
  ];
  return new Map([
    ...parameters.map((p) => entry("parameters", p)),
    ...optimizer.tensors.map((p) => entry("optimizer", p)),
    ...allocation.map((p) => entry("allocation", p)),
    ...source.map((p) => entry("source", p)),
  ]);
}

function jsonOf({ step, epoch, position, seeds, counters, best, optimizer }: TrainingState): string {
  const optimizerStep = optimizer.step;
  const value = {
    format: formatVersion,
    step,
    epoch,
    position,
    seeds,
    counters,
    best,
    optimizer_step: optimizerStep,
  };
  return `${formatJson(value)}\n`;
}

async function readTensors(path: string, files: Files): Promise<Parameter[]> {
  const { tensors } = await openSafetensors(path, files);
  const read = async ({ name, dtype, shape, offset, bytes }: StoredTensor): Promise<Parameter> => ({
    name,
    shape,
    data: toF32(await files.read(path, offset, bytes), dtype),
  });
  const list: Parameter[] = [];
  for (const tensor of tensors.values()) list.push(await read(tensor));
  return list;
}

function parseState(
  json: Record<string, unknown>,
  tensors: readonly Parameter[],
  path: string,
): TrainingState {
  const faults: string[] = [];
  if (json["format"] !== formatVersion)
    faults.push(`format is ${JSON.stringify(json["format"])}, not ${formatVersion}`);
  const number = (key: string): number => {
    const value = json[key];
    if (typeof value === "number") return value;
    faults.push(`${key} is ${JSON.stringify(value)}, not a number`);
    return 0;
  };
  const numbers = (key: string): Record<string, number> => {
    const value = json[key];
    if (isRecord(value) && Object.values(value).every((x) => typeof x === "number"))
      return value as Record<string, number>;
    faults.push(`${key} is not an object of numbers`);
    return {};
  };
  const under = (prefix: string): Parameter[] =>
    tensors.flatMap((t) => (t.name.startsWith(prefix) ? [{ ...t, name: t.name.slice(prefix.length) }] : []));
  const best = json["best"];
  const ofSource = under("source.");
  const state: TrainingState = {
    step: number("step"),
    epoch: number("epoch"),
    position: number("position"),
    seeds: numbers("seeds"),
    counters: numbers("counters"),
    ...(isBest(best) ? { best } : {}),
    parameters: under("parameters."),
    optimizer: { step: number("optimizer_step"), tensors: under("optimizer.") },
    allocation: under("allocation."),
    ...(ofSource.length > 0 && { source: ofSource }),
  };
  if (best !== undefined && !isBest(best)) faults.push("best is not { step, metric, value }");
  if (faults.length > 0) throw notAState(path, faults);
  return state;
}

function isBest(value: unknown): value is NonNullable<TrainingState["best"]> {
  if (!isRecord(value)) return false;
  const { step, metric, value: score } = value;
  return typeof step === "number" && typeof metric === "string" && typeof score === "number";
}

const notAState = (path: string, faults: readonly string[]): PeftError =>
  new PeftError("checkpoint", {
    what: `"${path}" is no training state of this version of peft.js: ${faults.join("; ")}.`,
    why: "the file was written by another version, or changed since.",
    fix: "resume with the version that wrote it, or start from the adapter beside it.",
  });
