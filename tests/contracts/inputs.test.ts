import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from "vitest";
import type {
  Architecture,
  ColumnBatch,
  InputColumn,
  ModelConfig,
  PreTrainedModel,
  ReadColumn,
  Tensor,
  Tokenizer,
} from "../../src/index.js";
import {
  AdamW,
  AutoModelForSequenceClassification,
  AutoTokenizer,
  evaluate,
  getPeftModel,
  LoraConfig,
  loadDataset,
  type PeftModel,
  PrefixTuningConfig,
  readConfig,
  registerArchitecture,
  repeat,
  rowInput,
  Trainer,
  tokenlessFields,
} from "../../src/index.js";

// A model from outside that reads no text: of the package, only what its index exports.

interface MosaicConfig extends ModelConfig {
  readonly channels: number;
}

/** What it reads: an image [batch, channels, height, width], and how bright it was taken [batch]. */
interface Image {
  readonly pixels: Tensor;
  readonly exposure: Tensor;
}

const inputs = {
  pixels: rowInput("pixels", "f32", [3, "height", "width"]),
  exposure: rowInput("exposure", "f32", []),
};

/**
 * Every pixel is a place with `channels` numbers; blocks of two layers see them one by one, and the head
 * their mean.
 */
const mosaic: Architecture<MosaicConfig, Image> = {
  modelTypes: ["mosaic"],
  prefix: "mosaic",
  roles: { targets: ["up"] },
  inputs,
  parse: (json) =>
    readConfig(json, (f) => ({
      ...tokenlessFields(f),
      hiddenSize: f.size("width"),
      layers: f.layers("depth"),
      channels: 3,
    })),
  stack: (w, c, { pixels, exposure }) => {
    const { g } = w;
    const [batch = 0, channels = 0, height, width] = pixels.shape;
    const area = typeof height === "number" ? height * Number(width) : `${height}*${width}`;
    const lit = g.mul(pixels, g.reshape(exposure, [batch, 1, 1, 1]));
    const places = g.transpose(g.reshape(lit, [batch, channels, area]), [0, 2, 1]);
    const start = w.linear("embed", places, c.hiddenSize);
    return repeat(w.at("blocks"), c.layers, start, undefined, {}, (at, x) => {
      const y = at.linear("down", g.tanh(at.linear("up", x, 2 * c.hiddenSize)), c.hiddenSize);
      return { x: g.add(x, y) };
    });
  },
  heads: {
    rowLabels: (w, c, hidden) => w.linear("classifier", w.g.mean(hidden, 1), c.numLabels),
  },
  newModules: [],
};

/** The same of images of one size, which rows carry as a list of their numbers. */
const tiles: Architecture<MosaicConfig, Image> = {
  ...mosaic,
  modelTypes: ["tiles"],
  inputs: { ...inputs, pixels: { ...rowInput("pixels", "f32", [3, 2, 4]), read: readPixels } },
};

const [WIDTH, DEPTH, LABELS] = [6, 2, 3];
const NAMES = ["red", "green", "blue"];

/** Of two lines of four pixels. */
function readPixels(column: ReadColumn): InputColumn | undefined {
  const own = column("pixels");
  return own?.shape.length === 2 ? { data: own.data, shape: [own.shape[0] ?? 0, 3, 2, 4] } : own;
}

/** Rows are texts as well: captions, that the model does not see. */
function makeTokenizer(): Promise<Tokenizer> {
  const words = ["[PAD]", "[UNK]", "[SEP]", "[CLS]", "[MASK]", "picture"];
  writeFileSync(join(root, "vocab.txt"), `${words.join("\n")}\n`);
  const config = { tokenizer_class: "BertTokenizer", model_max_length: 32 };
  writeFileSync(join(root, "tokenizer_config.json"), JSON.stringify(config));
  return AutoTokenizer.fromPretrained(root);
}

function numbers(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => 0.8 * Math.sin(1.3 * i + seed));
}

function writeCheckpoint(folder: string, modelType: string): void {
  const shapes: [string, number[]][] = [["mosaic.embed", [WIDTH, 3]]];
  for (let i = 0; i < DEPTH; i++)
    shapes.push(
      [`mosaic.blocks.${i}.up`, [2 * WIDTH, WIDTH]],
      [`mosaic.blocks.${i}.down`, [WIDTH, 2 * WIDTH]],
    );
  shapes.push(["classifier", [LABELS, WIDTH]]);
  const header: Record<string, unknown> = {};
  const data: number[] = [];
  for (const [path, shape] of shapes)
    for (const [name, sizes] of [
      ["weight", shape],
      ["bias", shape.slice(0, 1)],
    ] as const) {
      const begin = 4 * data.length;
      data.push(
        ...numbers(
          sizes.reduce((n, d) => n * d, 1),
          data.length,
        ),
      );
      header[`${path}.${name}`] = { dtype: "F32", shape: sizes, data_offsets: [begin, 4 * data.length] };
    }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  mkdirSync(folder, { recursive: true });
  const parts = [length, text, Buffer.from(Float32Array.from(data).buffer)];
  writeFileSync(join(folder, "model.safetensors"), Buffer.concat(parts));
  const config = { model_type: modelType, width: WIDTH, depth: DEPTH, num_labels: LABELS };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
}

function imagesOf(rows: number, [height, width]: readonly [number, number]): ColumnBatch<"SEQ_CLS"> {
  const pixels = { data: numbers(rows * 3 * height * width, 5), shape: [rows, 3, height, width] };
  const exposure = { data: numbers(rows, 2).map((x) => 1 + x / 2), shape: [rows] };
  const labels = { data: Int32Array.from({ length: rows }, (_, i) => i % LABELS), shape: [rows, 1] as const };
  return { task: "SEQ_CLS", columns: { pixels, exposure }, labels };
}

const root = mkdtempSync(join(tmpdir(), "peft-inputs-"));
const open: PreTrainedModel<"SEQ_CLS">[] = [];
async function load(plan: "fused" | "checkpointed" | "streamed", maxMemory?: string, folder = root) {
  const options = { threads: 1, plan, ...(maxMemory === undefined ? {} : { maxMemory }) };
  const base = await AutoModelForSequenceClassification.fromPretrained(folder, options);
  open.push(base);
  return base;
}
function adapt(base: PreTrainedModel<"SEQ_CLS">): PeftModel<"SEQ_CLS"> {
  return getPeftModel(base, new LoraConfig({ r: 2, targetModules: ["up", "down"], initLoraWeights: false }));
}

beforeAll(() => {
  registerArchitecture(mosaic);
  registerArchitecture(tiles);
  writeCheckpoint(root, "mosaic");
  writeCheckpoint(join(root, "tiles"), "tiles");
});
afterAll(async () => {
  for (const base of open) await base.close();
  rmSync(root, { recursive: true, force: true });
});

const batch = imagesOf(4, [3, 2]);

describe("a model of pixels", () => {
  it("trains under LoRA, at one size of images and at another", async () => {
    const model = adapt(await load("fused"));
    const optimizer = new AdamW(model.trainableParameters(), { lr: 0.05 });
    const larger = imagesOf(5, [4, 5]);
    const before = [await model.lossOf(batch), await model.lossOf(larger)];
    for (let step = 0; step < 15; step++) {
      await model.forwardBackward(batch);
      await model.forwardBackward(larger);
      await optimizer.step();
    }
    for (const [i, images] of [batch, larger].entries())
      expect((await model.lossOf(images)).loss).toBeLessThan(0.9 * before[i]!.loss);
    expect((await model.forward(larger)).logits.shape).toEqual([5, LABELS]);
  });

  it("has the gradient that differences of its loss say, in every plan", async () => {
    for (const plan of ["fused", "checkpointed", "streamed"] as const) {
      const model = adapt(await load(plan));
      const { count } = await model.forwardBackward(batch);
      const parameters = model.trainableParameters();
      const gradient = parameters.gradient.map((x) => x / count);
      parameters.zero();
      for (const [p, { data }] of parameters.list.entries())
        for (const i of [0, data.length - 1]) {
          const lossAt = async (x: number): Promise<number> => {
            data[i] = x;
            parameters.version++;
            return (await model.lossOf(batch)).loss;
          };
          const [x, h] = [data[i]!, 1e-2];
          const slope = ((await lossAt(x + h)) - (await lossAt(x - h))) / (2 * h);
          await lossAt(x);
          expect(gradient[parameters.offsets[p]! + i]!, `${plan} ${p}`).toBeCloseTo(slope, 3);
        }
      expect(gradient.some((x) => Math.abs(x) > 1e-3)).toBe(true);
    }
  });

  it("has its memory planned by the sizes that its inputs name", async () => {
    const model = adapt(await load("fused", "2GB"));
    await expect(model.planMemory({ batch: 4 })).rejects.toThrow(/\[option\].*do not say its "height"/);
    await model.planMemory({ batch: 4, dims: { height: 8, width: 8 } });
    const small = model.base.memoryEstimate!.bytes;
    await model.forwardBackward(batch);
    expect(model.base.memoryEstimate!.bytes).toBe(small);
    await model.forwardBackward(imagesOf(4, [200, 100]));
    expect(model.base.memoryEstimate!.bytes).toBeGreaterThan(small);
  });

  it("learns from rows that carry images, by the Trainer, and is evaluated on them", async () => {
    const tokenizer = await makeTokenizer();
    const file = join(root, "images.jsonl");
    const lines = Array.from({ length: 24 }, (_, i) => {
      const label = i % LABELS;
      const pixels = [...numbers(3 * 2 * 4, i)].map((x, k) => (Math.floor(k / 8) === label ? x + 2 : x / 4));
      return JSON.stringify({ text: `picture ${i}`, label: NAMES[label], pixels, exposure: 1 + (i % 2) / 4 });
    });
    writeFileSync(file, lines.join("\n"));
    const rows = await loadDataset(file, { taskType: "SEQ_CLS", lossColumns: ["pixels", "exposure"] });
    const model = adapt(await load("fused", "2GB", join(root, "tiles")));
    const before = await evaluate(model, rows, { tokenizer });
    const trainer = new Trainer({
      model,
      tokenizer,
      train: rows,
      validation: rows,
      epochs: 30,
      batchSize: 8,
      lr: 0.05,
    });
    const evaluations: number[] = [];
    for await (const event of trainer.run()) if (event.type === "evaluation") evaluations.push(event.loss);
    const after = await evaluate(model, rows, { tokenizer });
    expect(evaluations.at(-1)).toBeCloseTo(after.loss, 5);
    expect(after.loss).toBeLessThan(0.3 * before.loss);
    expect(after.metrics["accuracy"]).toBe(1);
    expect(after.predictions.slice(0, 3).map(({ output }) => output)).toEqual(NAMES);
  });

  it("refuses batches of another form, all faults at once", async () => {
    const model = adapt(await load("fused"));
    const { pixels } = batch.columns as Record<"pixels", { data: Float32Array; shape: readonly number[] }>;
    const wrong = { ...pixels, shape: [4, 2, 3, 3] };
    await expect(model.forward({ ...batch, columns: { pixels: wrong } })).rejects.toThrow(
      /pixels \[4,2,3,3\] is not \[4,3,3,3\].*it has no exposure.*columns: \{ pixels: /s,
    );
    const ids = { data: Int32Array.of(1), shape: [1, 1] as const };
    await expect(
      model.forward({ task: "SEQ_CLS", inputIds: ids, attentionMask: ids, columns: {} }),
    ).rejects.toThrow(/it has no pixels; it has no exposure/);
  });

  it("takes no virtual tokens", async () => {
    const base = await load("fused");
    expect(() => getPeftModel(base, new PrefixTuningConfig({ numVirtualTokens: 2 }))).toThrow(
      /\[adapter-config\].*reads no tokens/,
    );
  });

  it("does not compile where it misspells an input, or forgets to declare one", () => {
    type Inputs = Exclude<(typeof mosaic)["inputs"], (...config: never) => unknown>;
    expectTypeOf<keyof Inputs>().toEqualTypeOf<"pixels" | "exposure">();
    // @ts-expect-error: exposure is missing
    const lacking: Inputs = { pixels: inputs.pixels };
    expect(lacking).toBeDefined();
  });
});
