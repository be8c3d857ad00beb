import { spawn } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import type { FormatName } from "../engine/formats/index.js";
import { formats } from "../engine/formats/index.js";
import type { FilePlace, WeightSource } from "../engine/messages.js";
import { roundToHalves } from "../halves.js";
import { openCheckpoint } from "../hub/checkpoint.js";
import { writeSafetensors } from "../hub/tensors/safetensors.js";
import { specOf } from "../peft/spec.js";
import { random, uniform } from "../random.js";
import type { TaskType } from "../task.js";
import { takeInventory } from "../trace/write.js";
import type { QuantizeEvent, QuantizeOptions } from "./quantized.js";
import { quantizedSources } from "./quantized.js";
import type { BoundWeights } from "./weights.js";
import { bindWeights } from "./weights.js";

const CONFIG = { model_type: "gpt2", n_embd: 64, n_layer: 2, n_head: 4, vocab_size: 96, n_positions: 32 };
const LINEAR = "transformer.h.1.mlp.c_fc.weight";
const SPARE = 64 << 20;

let root: string;
let folder: string;
let cache: string;
beforeEach(async () => {
  root = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "peft-cache-")));
  folder = path.join(root, "model");
  cache = path.join(root, "cache");
  fs.mkdirSync(folder);
  const next = random(3);
  const { weights } = takeInventory(specOf(CONFIG, "CAUSAL_LM"));
  const tensors = [...weights].map(([name, shape]) => {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => uniform(next) - 0.5);
    return [name, { dtype: "f32" as const, shape, data: new Uint8Array(data.buffer) }] as const;
  });
  await writeSafetensors(path.join(folder, "model.safetensors"), new Map(tensors));
});
afterEach(() => fs.rmSync(root, { recursive: true }));

const bind = async (from = folder, seed = 0, task: TaskType = "CAUSAL_LM"): Promise<BoundWeights> =>
  bindWeights(specOf(CONFIG, task), await openCheckpoint(from), seed);

interface Made {
  readonly kinds: readonly string[];
  readonly said: readonly string[];
  readonly sources: ReadonlyMap<string, WeightSource>;
}

async function make(
  format: FormatName,
  options: Partial<QuantizeOptions> = {},
  weights?: BoundWeights,
): Promise<Made> {
  const events: QuantizeEvent[] = [];
  const progress = (event: QuantizeEvent): void => {
    events.push(event);
    options.progress?.(event);
  };
  const all = { folder: cache, largest: 127 as const, ...options, progress };
  const sources = await quantizedSources(weights ?? (await bind()), format, all);
  return { kinds: [...new Set(events.map((e) => e.kind))], said: events.map((e) => e.message), sources };
}

const MADE = ["start", "progress", "done"];
const inCache = (): string[] => (fs.existsSync(cache) ? fs.readdirSync(cache) : []);
const cacheFile = (): string => path.join(cache, inCache()[0]!);

it.each(["int8", "int4", "nf4", "bf16"] as const)(
  "%s: parts in the file are what packing gives",
  async (format) => {
    const bound = await bind();
    const { sources } = await make(format, {}, bound);
    const changed = [...sources].filter(([name, source]) => source !== bound.sources.get(name));
    expect(changed.length).toBe(format === "bf16" ? 10 : 9);
    for (const [name, { shape, transposed, parts, format: held }] of changed) {
      const isHead = name === "lm_head.weight"; // a copy of the embedding, in 8 bits
      expect([held, transposed]).toEqual([isHead ? "int8" : format, /c_attn|c_proj|c_fc/.test(name)]);
      const numbers = await bound.readF32(isHead ? "transformer.wte.weight" : name);
      const expected = formats[held].pack?.(numbers, shape, transposed, { largest: 127 }) ?? {
        data: roundToHalves(numbers, "bf16"),
      };
      for (const [part, data] of Object.entries(expected)) {
        const { path: file, offset } = parts[part] as FilePlace;
        const bytes = fs.readFileSync(file).subarray(offset, offset + data.byteLength);
        expect(bytes.equals(Buffer.from(data.buffer, data.byteOffset, data.byteLength))).toBe(true);
      }
    }
  },
);

it("says before it starts that the disk has no room, with the bytes needed", async () => {
  const blocks = 2 * 12 * 64 * 64 + 2 * 4 * (3 + 1 + 4 + 1) * 64; // both, and their scales
  const bytes = blocks + CONFIG.vocab_size * (64 + 4); // and the head
  const few = bytes + SPARE - 1;
  await expect(make("int8", { free: async () => few })).rejects.toMatchObject({
    code: "output",
    what: expect.stringContaining(cache),
    why: expect.stringContaining(`${bytes + SPARE} bytes are needed`),
  });
  expect(inCache()).toEqual([]);
  expect((await make("int8", { free: async () => few + 1 })).kinds).toEqual(MADE);
});

it("stops in the middle at a signal, leaves nothing, and starts anew", async () => {
  const stop = new AbortController();
  let pieces = 0;
  const progress = ({ kind }: QuantizeEvent): void => {
    if (kind === "progress" && ++pieces === 3) stop.abort();
  };
  await expect(make("int8", { signal: stop.signal, progress })).rejects.toMatchObject({ code: "aborted" });
  expect(pieces).toBe(3);
  expect(inCache()).toEqual([]);
  expect((await make("int8")).kinds).toEqual(MADE);
});

it("makes no cache of a checkpoint that changes meanwhile", async () => {
  const progress = ({ kind }: QuantizeEvent): void => {
    if (kind === "progress") fs.utimesSync(path.join(folder, "model.safetensors"), 1, 1);
  };
  await expect(make("int8", { progress })).rejects.toMatchObject({ code: "checkpoint" });
  expect(inCache()).toEqual([]);
});

it.each([
  ["other types", '"I8"', '"U8"', "is not as it should be"],
  ["other names", `${LINEAR}:data`, `${LINEAR}:tada`, `lacks ${LINEAR}`],
  ["another version", '"key":"', '"kex":"', "of another version"],
])("a cache with %s is made anew, which is said", async (_, from, to, why) => {
  await make("int8");
  const bytes = fs.readFileSync(cacheFile());
  bytes.write(to, bytes.indexOf(from));
  fs.writeFileSync(cacheFile(), bytes);
  const { kinds, said } = await make("int8");
  expect(kinds).toEqual(["rebuilt", ...MADE]);
  expect(said[0]).toContain(why);
  expect((await make("int8")).kinds).toEqual([]);
});

it("one cache serves a model however it is reached and whatever head is new; another way to pack takes another", async () => {
  expect((await make("bf16", {}, await bind(folder, 1, "SEQ_CLS"))).kinds).toEqual(MADE);
  expect((await make("bf16", {}, await bind(folder, 2, "SEQ_CLS"))).kinds).toEqual([]);
  const link = path.join(root, "link");
  fs.symlinkSync(folder, link);
  expect((await make("bf16", {}, await bind(link, 1, "SEQ_CLS"))).kinds).toEqual([]);
  expect((await make("int8", { largest: 127 })).kinds).toEqual(MADE);
  expect((await make("int8", { largest: 63 })).kinds).toEqual(MADE);
});

const moduleUrl = (name: string): string => JSON.stringify(new URL(name, import.meta.url).href);
const quantizeSlowly = (): string => `
  import { statSync } from "node:fs";
  import { openCheckpoint } from ${moduleUrl("../hub/checkpoint.ts")};
  import { specOf } from ${moduleUrl("../peft/spec.ts")};
  import { quantizedSources } from ${moduleUrl("./quantized.ts")};
  import { bindWeights } from ${moduleUrl("./weights.ts")};
  const spec = specOf(${JSON.stringify(CONFIG)}, "CAUSAL_LM");
  const bound = await bindWeights(spec, await openCheckpoint(${JSON.stringify(folder)}), 0);
  process.stdout.write("ready");
  await new Promise((resolve) => process.stdin.once("data", resolve));
  const readF32 = async (name) => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    return bound.readF32(name);
  };
  const kinds = new Set();
  const progress = ({ kind }) => kinds.add(kind);
  const options = { folder: ${JSON.stringify(cache)}, largest: 127, progress };
  const sources = await quantizedSources({ ...bound, readF32 }, "int8", options);
  const { path } = sources.get(${JSON.stringify(LINEAR)}).parts.data;
  console.log(JSON.stringify({ kinds: [...kinds], path, changed: statSync(path).mtimeMs }));
  process.exit();`;

it("two processes at once: one makes it, the other waits and takes the same file", async () => {
  const children = [0, 1].map(() =>
    spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", quantizeSlowly()]),
  );
  const texts = ["", ""];
  await Promise.all(
    children.map(
      (child, i) =>
        new Promise((resolve, reject) => {
          child.stderr.on("data", (chunk) => reject(new Error(`${chunk}`)));
          child.stdout.on("data", (chunk) => {
            texts[i] = `${texts[i]}${chunk}`;
            resolve(undefined);
          });
        }),
    ),
  );
  const ends = children.map((child) => new Promise((resolve) => child.on("close", resolve)));
  for (const child of children) child.stdin.write("go");
  expect(await Promise.all(ends)).toEqual([0, 0]);
  const made = texts.map((text) => JSON.parse(text.replace("ready", "")));
  expect(made.map((m) => m.kinds).sort()).toEqual([MADE, ["waiting"]]);
  const { mtimeMs } = fs.statSync(cacheFile());
  for (const { path: file, changed } of made) expect([file, changed]).toEqual([cacheFile(), mtimeMs]);
  expect(inCache().length).toBe(1);
}, 30_000);

it("leaves a cache alone that somebody else finished meanwhile: it may be mapped", async () => {
  await make("int8");
  const [file, bytes] = [cacheFile(), fs.readFileSync(cacheFile())];
  fs.rmSync(file);
  let inode = 0;
  const progress = ({ kind }: QuantizeEvent): void => {
    if (kind !== "progress" || inode !== 0) return;
    fs.writeFileSync(file, bytes);
    inode = fs.statSync(file).ino;
  };
  expect((await make("int8", { progress })).kinds).toEqual(MADE);
  expect(inode).toBeGreaterThan(0);
  expect(fs.statSync(file).ino).toBe(inode);
  expect(inCache().length).toBe(1);
});

it("removes what ended processes left, and of other machines what is a day old", async () => {
  fs.mkdirSync(cache);
  const [old, young] = ["int8-1.safetensors.far-away_7.a", "int8-2.safetensors.far-away_7.b"];
  for (const name of [old, young, "unrelated.txt"]) fs.writeFileSync(path.join(cache, name), "");
  const dayAgo = Date.now() / 1000 - 25 * 3600;
  fs.utimesSync(path.join(cache, old), dayAgo, dayAgo);
  await make("int8");
  expect(
    inCache()
      .filter((name) => !name.endsWith(".safetensors"))
      .sort(),
  ).toEqual([young, "unrelated.txt"]);
});
