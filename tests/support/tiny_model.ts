import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { normal, random } from "../../src/random.js";

/** A folder with a model of random weights, of a form that tests/golden/architectures.json has. */
export function writeTinyModel(folder: string, name: string, processor: object): void {
  const all = JSON.parse(readFileSync("tests/golden/architectures.json", "utf8")) as Record<
    string,
    { config: Record<string, unknown>; weights: Record<string, number[]> }
  >;
  const { config, weights } = all[name]!;
  const next = random(7);
  const header: Record<string, unknown> = {};
  const data: number[] = [];
  for (const [name, shape] of Object.entries(weights)) {
    const begin = 4 * data.length;
    const count = shape.reduce((a, b) => a * b, 1);
    const isNorm = /layer_?norm.*weight$/.test(name);
    for (let i = 0; i < count; i++) data.push(isNorm ? 1 : 0.15 * normal(next));
    header[name] = { dtype: "F32", shape, data_offsets: [begin, 4 * data.length] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "model.safetensors"),
    Buffer.concat([length, text, Buffer.from(Float32Array.from(data).buffer)]),
  );
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  writeFileSync(join(folder, "preprocessor_config.json"), JSON.stringify(processor));
}
