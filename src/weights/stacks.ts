import type { ExpertSite } from "../graph/module.js";
import type { StoredTensor } from "../hub/checkpoint.js";
import type { CheckpointRules } from "../models/model.js";
import { at } from "../present.js";
import type { PackedWeight } from "./packed/index.js";

/** A stack of experts whose matrices are tensors of their own in the checkpoint, all of one type. */
export interface StackedTensor extends Pick<StoredTensor, "name" | "dtype" | "shape"> {
  /** Their rows one below the other, expert by expert. */
  readonly pieces: readonly StoredTensor[];
}

/** A weight as one checkpoint's tensors name it. */
export type Named = StoredTensor | PackedWeight;
/** A weight as a checkpoint has it. */
export type Stored = Named | StackedTensor;

export const isPacked = (stored: Stored | undefined): stored is PackedWeight =>
  stored !== undefined && "values" in stored;

export const isStacked = (stored: Stored | undefined): stored is StackedTensor =>
  stored !== undefined && "pieces" in stored;

/** The tensors of the checkpoint that a weight is made of. */
export function tensorsOf(stored: Stored): readonly StoredTensor[] {
  if (isPacked(stored)) return stored.tensors;
  return isStacked(stored) ? stored.pieces : [stored];
}

/** What lacks of a checkpoint's weights, and what of them is not as it should be. */
export interface StackFaults {
  readonly missing: string[];
  readonly wrong: string[];
}

/** Puts a stack together of each expert's own tensors; undefined: there are none, or not all. */
export function stackOf(
  { path, experts, inDim, outDim }: ExpertSite,
  rules: CheckpointRules["experts"],
  stored: ReadonlyMap<string, Named>,
  faults: StackFaults,
): Stored | undefined {
  const dot = path.lastIndexOf(".");
  const endings = rules?.[path.slice(dot + 1)] ?? [];
  const names = Array.from({ length: experts }, (_, e) =>
    endings.map((ending) => `${path.slice(0, dot)}.${e}.${ending}`),
  ).flat();
  const pieces = names.flatMap((name) => stored.get(name) ?? []);
  if (pieces.length === 0) return undefined;
  const absent = names.filter((name) => !stored.has(name));
  const matrix = `${[outDim / endings.length, inDim]}`;
  const odd = names.filter((name) => stored.has(name) && `${stored.get(name)?.shape}` !== matrix);
  faults.missing.push(...absent);
  faults.wrong.push(...odd.map((name) => `${name} is [${stored.get(name)?.shape}], not [${matrix}]`));
  if (absent.length > 0 || odd.length > 0) return undefined;
  const shape = [experts, outDim, inDim];
  if (pieces.every(isPacked)) return packedStack(path, shape, pieces);
  const plain = pieces.filter((piece) => "path" in piece);
  const { dtype } = at(plain, 0);
  if (plain.length === pieces.length && plain.every((piece) => piece.dtype === dtype))
    return { name: path, dtype, shape, pieces: plain };
  faults.wrong.push(`${path}'s experts are of several types`);
  return undefined;
}

function packedStack(name: string, shape: readonly number[], pieces: readonly PackedWeight[]): PackedWeight {
  const values = async (): Promise<Float32Array> => {
    const [experts = 0, outDim = 0, inDim = 0] = shape;
    const whole = new Float32Array(experts * outDim * inDim);
    let done = 0;
    for (const piece of pieces) {
      const own = await piece.values();
      whole.set(own, done);
      done += own.length;
    }
    return whole;
  };
  return { name, scheme: at(pieces, 0).scheme, shape, tensors: pieces.flatMap((p) => p.tensors), values };
}
