import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type {
  AdapterConfig,
  Architecture,
  ConfigClass,
  Loss,
  Method,
  ModelConfig,
  PreTrainedModel,
} from "../../src/index.js";
import {
  AdamW,
  AutoModelForCausalLM,
  attend,
  causalBias,
  commonFields,
  configClass,
  decoderHeads,
  getPeftModel,
  LoraConfig,
  meet,
  PeftError,
  PeftModel,
  perRow,
  readConfig,
  registerArchitecture,
  registerMethod,
  repeat,
  savingOptions,
  splitHeads,
  stackSizes,
  targetOptions,
  withPast,
} from "../../src/index.js";

// An architecture, a method and a loss from outside: of the package, only what its index exports.

interface TinyConfig extends ModelConfig {
  readonly heads: number;
  readonly headDim: number;
}

/** Blocks of attention and one wide layer, with norms before them. */
const tiny: Architecture<TinyConfig> = {
  modelTypes: ["tiny_decoder"],
  prefix: "model",
  roles: { targets: ["q", "v"] },
  parse: (json) =>
    readConfig(json, (f) => ({
      ...commonFields(f),
      ...stackSizes(f, { hiddenSize: f.size("width"), layers: f.layers("depth"), heads: f.size("heads") }),
      tied: true,
    })),
  tie: ["lm_head.weight", "model.embed.weight"],
  stack: (w, c, x) => {
    const { g } = w;
    const embedded = w.trace.prepend(w.embedding("embed", x.ids, c.vocabSize, c.hiddenSize));
    const shared = { bias: causalBias(g, x.mask, embedded.shape[1]!) };
    const start = w.pack(embedded);
    return repeat(w.at("blocks"), c.layers, start, x.past, shared, (at, x, { bias }, past) => {
      const normed = at.rmsNorm("norm", x, 1e-5);
      const project = (name: string) =>
        splitHeads(at, at.linear(name, normed, c.hiddenSize, { bias: false }), c.heads, c.headDim);
      const present = withPast(g, { k: project("k"), v: project("v") }, past);
      const options = { scale: c.headDim ** -0.5, bias, dropout: 0 };
      const h = meet(at, "attention", attend(at, project("q"), present, options), x);
      const y = at.linear("down", g.relu(at.linear("wide", h, 2 * c.hiddenSize)), c.hiddenSize);
      return { x: meet(at, "feedForward", y, h), present };
    });
  },
  heads: decoderHeads("model.embed.weight"),
  newModules: ["score"],
};

interface ShiftOptions {
  targetModules?: string | readonly string[];
  taskType?: "CAUSAL_LM";
  strength?: number;
}
interface ShiftConfig extends AdapterConfig {
  readonly targetModules: string | readonly string[] | undefined;
  readonly strength: number;
}
const ShiftConfig: ConfigClass<ShiftConfig, ShiftOptions> = configClass("SHIFT", "ShiftConfig", {
  options: {
    ...savingOptions,
    ...targetOptions,
    strength: { kind: "number", above: 0, byDefault: 1, float: true, means: "factor of what is added" },
  },
});

/** y + strength (gain y + shift), by channel. */
const shift: Method<ShiftConfig> = {
  name: "shift",
  config: ShiftConfig,
  layers: {
    select: (c) => c,
    defaults: (roles) => roles.targets,
    linear: {
      parameters: (_c, { outDim }) =>
        ["gain", "shift"].map((key) => ({
          key,
          shape: [outDim],
          initial: { kind: "constant", value: 0 },
        })),
      scale: (c) => c.strength,
      forward: ({ g, next, p, scale }, x) => {
        const y = next(x);
        return g.add(y, g.mul(g.add(g.mul(y, p("gain")), p("shift")), perRow(g, scale, y)));
      },
    },
  },
};

/** Cross-entropy by the weight of a label and of its row. */
const weighted: Loss = {
  name: "weighted",
  columns: {
    labels: { dtype: "i64", per: "label" },
    weights: { dtype: "f32", per: "label" },
    bonus: { dtype: "f32", per: "label" },
  },
  write: ({ g, labelled, column }) => {
    const weight = g.mul(column("weights"), g.add(column("bonus"), 1));
    const losses = g.crossEntropy(labelled(), column("labels"));
    return { sum: g.sum(g.mul(losses, weight)), count: g.sum(weight) };
  },
};

const [VOCAB, WIDTH, DEPTH] = [24, 16, 2];

/** A folder as transformers leaves one: config.json, model.safetensors. */
function writeCheckpoint(folder: string): void {
  const shapes: [string, number[]][] = [["model.embed.weight", [VOCAB, WIDTH]]];
  for (let i = 0; i < DEPTH; i++) {
    const at = `model.blocks.${i}`;
    for (const name of ["q", "k", "v"]) shapes.push([`${at}.${name}.weight`, [WIDTH, WIDTH]]);
    shapes.push([`${at}.norm.weight`, [WIDTH]]);
    shapes.push([`${at}.wide.weight`, [2 * WIDTH, WIDTH]], [`${at}.wide.bias`, [2 * WIDTH]]);
    shapes.push([`${at}.down.weight`, [WIDTH, 2 * WIDTH]], [`${at}.down.bias`, [WIDTH]]);
  }
  const header: Record<string, unknown> = {};
  const data: number[] = [];
  for (const [name, shape] of shapes) {
    const begin = 4 * data.length;
    const size = shape.reduce((n, d) => n * d, 1);
    for (let i = 0; i < size; i++) data.push(0.5 * Math.sin(1.7 * data.length + 0.3));
    header[name] = { dtype: "F32", shape, data_offsets: [begin, 4 * data.length] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  mkdirSync(folder, { recursive: true });
  const parts = [length, text, Buffer.from(Float32Array.from(data).buffer)];
  writeFileSync(join(folder, "model.safetensors"), Buffer.concat(parts));
  const config = { model_type: "tiny_decoder", vocab_size: VOCAB, width: WIDTH, depth: DEPTH, heads: 2 };
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
}

/** Rows of ids of one length, all of them labels, with columns for the loss. */
function batchOf(rows: readonly number[][]) {
  const shape = [rows.length, rows[0]!.length] as const;
  const ids = { data: Int32Array.from(rows.flat()), shape };
  const mask = { data: new Int32Array(ids.data.length).fill(1), shape };
  const weights = { data: Float32Array.from(ids.data, (_, i) => 1 + (i % 3)), shape };
  const bonus = { data: Float32Array.from(ids.data, (_, i) => (i < shape[1] ? 0.5 : 0)), shape };
  const columns = { weights, bonus };
  return { task: "CAUSAL_LM" as const, inputIds: ids, attentionMask: mask, labels: ids, columns };
}

const batch = batchOf([
  [3, 5, 7, 9, 11, 13],
  [4, 8, 12, 16, 20, 2],
]);

async function train(model: PeftModel<"CAUSAL_LM">): Promise<{ first: number; last: number }> {
  const optimizer = new AdamW(model.trainableParameters(), { lr: 0.05 });
  const losses: number[] = [];
  for (let step = 0; step < 12; step++) {
    losses.push((await model.forwardBackward(batch, { loss: weighted })).loss);
    await optimizer.step();
  }
  return { first: losses[0]!, last: losses.at(-1)! };
}

function refusalOf(run: () => void): string {
  try {
    run();
  } catch (error) {
    if (error instanceof PeftError) return `[${error.code}] ${error.what}`;
    throw error;
  }
  return "";
}

const root = mkdtempSync(join(tmpdir(), "peft-registries-"));
let base: PreTrainedModel<"CAUSAL_LM">;
beforeAll(async () => {
  registerArchitecture(tiny);
  registerMethod(shift);
  writeCheckpoint(join(root, "base"));
  base = await AutoModelForCausalLM.fromPretrained(join(root, "base"), { threads: 1 });
});
afterAll(async () => {
  await base.close();
  rmSync(root, { recursive: true, force: true });
});

test.each([
  ["its own method", () => new ShiftConfig({ strength: 0.5 })],
  ["LoRA", () => new LoraConfig({ r: 2, targetModules: ["q", "wide"] })],
])(
  "a registered architecture trains under %s and a loss with two columns, and loads again",
  async (_, config) => {
    const model = getPeftModel(base, config());
    const { first, last } = await train(model);
    expect(last).toBeLessThan(0.9 * first);
    const trained = await model.lossOf(batch, { loss: weighted });
    const folder = join(root, config().peftType);
    await model.savePretrained(folder);
    expect(JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8"))).toMatchObject({
      peft_type: config().peftType,
      target_modules: expect.anything(),
    });
    const prompts = { inputIds: [[3, 5, 7]] };
    const answer = await model.generate(prompts, { maxNewTokens: 3 });
    await model.unload();
    const again = await PeftModel.fromPretrained(base, folder);
    expect((await again.lossOf(batch, { loss: weighted })).loss).toBe(trained.loss);
    expect(await again.generate(prompts, { maxNewTokens: 3 })).toEqual(answer);
    await again.unload();
  },
);

test("blocks of a registered architecture run one by one as well", async () => {
  const options = { threads: 1, plan: "checkpointed" } as const;
  const blockwise = await AutoModelForCausalLM.fromPretrained(join(root, "base"), options);
  const runs = [base, blockwise].map(async (model) => {
    const adapted = getPeftModel(model, new ShiftConfig());
    const { loss } = await adapted.forwardBackward(batch, { loss: weighted });
    return { loss, gradient: [...adapted.trainableParameters().gradient] };
  });
  const [fused, cut] = await Promise.all(runs);
  expect(cut!.loss).toBeCloseTo(fused!.loss, 5);
  cut!.gradient.forEach((x, i) => void expect(x).toBeCloseTo(fused!.gradient[i]!, 4));
  await blockwise.close();
});

test("a registered architecture is checked like ours", async () => {
  mkdirSync(join(root, "wrong"));
  writeFileSync(
    join(root, "wrong/config.json"),
    JSON.stringify({ model_type: "tiny_decoder", vocab_size: 3 }),
  );
  await expect(AutoModelForCausalLM.fromPretrained(join(root, "wrong"))).rejects.toThrow(
    /"width" is missing/,
  );
});

test("names are one definition's alone", () => {
  expect(refusalOf(() => registerArchitecture(tiny))).toBe(
    '[registered] There is a model type named "tiny_decoder" already.',
  );
  expect(refusalOf(() => registerArchitecture({ ...tiny, modelTypes: ["other", "llama"] }))).toBe(
    '[registered] There is a model type named "llama" already.',
  );
  expect(refusalOf(() => registerMethod({ ...shift, name: "lora" }))).toMatch(
    /^\[registered\] .*"lora", "SHIFT"/,
  );
  expect(refusalOf(() => registerArchitecture({ ...tiny, modelTypes: [] }))).toMatch(/^\[option\] .*no name/);
  expect(refusalOf(() => registerMethod({} as Method))).toMatch(/^\[option\] .*no name/);
});
