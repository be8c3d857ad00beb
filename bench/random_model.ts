import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FloatType } from "../tools/shapes/noise.js";
import { shapeOf } from "../tools/shapes/shapes.js";
import { writeCheckpoint } from "../tools/shapes/write_checkpoint.js";

const SHARD = 2e9;

/** A folder with a model of true shape and random weights, written once to the temporary folder. */
export async function randomModel(name: string, layers?: number, dtype: FloatType = "f32"): Promise<string> {
  const shape = shapeOf(name, layers);
  const variant = layers === undefined ? dtype : `${layers}-layers-${dtype}`;
  const folder = join(tmpdir(), "peft-bench", `${name}-${variant}`);
  await writeCheckpoint(shape, folder, { dtype, shardBytes: SHARD });
  return folder;
}
