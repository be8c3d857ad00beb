import { parseArgs } from "node:util";
import { PeftError } from "../../src/errors.js";
import type { FloatType } from "./noise.js";
import { shapeOf, shapes } from "./shapes.js";
import { parseSize } from "./size.js";
import { writeCheckpoint } from "./write_checkpoint.js";

const USAGE = `usage: npm run shapes -- NAME FOLDER [--dtype f32|bf16|f16] [--shard 2GB] [--layers N]
NAME: ${Object.keys(shapes).join(", ")}`;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      dtype: { type: "string", default: "f32" },
      shard: { type: "string", default: "2GB" },
      layers: { type: "string" },
    },
  });
  const [name, folder] = positionals;
  const { dtype } = values;
  const layers = values.layers === undefined ? undefined : Number(values.layers);
  const known = ["f32", "bf16", "f16"].includes(dtype);
  if (
    name === undefined ||
    folder === undefined ||
    !known ||
    !(layers === undefined || (Number.isInteger(layers) && layers >= 1))
  ) {
    console.error(USAGE);
    process.exitCode = 2;
    return;
  }
  const start = performance.now();
  await writeCheckpoint(shapeOf(name, layers), folder, {
    dtype: dtype as FloatType,
    shardBytes: parseSize(values.shard),
    progress: progressOf(name),
  });
  console.error(`${name} in ${dtype}: ${folder}, ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

/** A line for every twentieth, over itself on a terminal. */
function progressOf(name: string): (done: number, total: number) => void {
  let shown = 0;
  return (done, total) => {
    const part = Math.floor((20 * done) / total);
    if (part === shown) return;
    shown = part;
    const text = `${name}: ${(done / 1e9).toFixed(2)} of ${(total / 1e9).toFixed(2)} GB`;
    process.stderr.write(process.stderr.isTTY ? `\r${text}${part === 20 ? "\n" : ""}` : `${text}\n`);
  };
}

main().catch((error: unknown) => {
  console.error(error instanceof PeftError ? error.message : error);
  process.exitCode = 1;
});
