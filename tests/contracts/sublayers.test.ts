import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  AdapterConfig,
  ConfigClass,
  Inputs,
  Method,
  PreTrainedModel,
  SublayerPlace,
  Tensor,
} from "../../src/index.js";
import {
  AdamW,
  AutoModelForCausalLM,
  AutoModelForSeq2SeqLM,
  configClass,
  getPeftModel,
  PeftModel,
  perRow,
  registerMethod,
  savingOptions,
} from "../../src/index.js";
import { folderOf } from "./kit.js";

// A method that stands on sublayers, from outside: of the package, only what its index exports.

const FORMS = ["houlsby", "pfeiffer", "parallel"] as const;

interface NarrowOptions {
  size?: number;
  form?: (typeof FORMS)[number];
  leaveOut?: readonly number[];
}
interface NarrowConfig extends AdapterConfig {
  readonly size: number;
  readonly form: (typeof FORMS)[number];
  readonly leaveOut: readonly number[];
}
const NarrowConfig: ConfigClass<NarrowConfig, NarrowOptions> = configClass("NARROW", "NarrowConfig", {
  options: {
    ...savingOptions,
    size: { kind: "whole", min: 1, byDefault: 4, means: "width in the middle" },
    form: { kind: "text", choices: FORMS, byDefault: "houlsby", means: "what it reads" },
    leaveOut: { kind: "ids", byDefault: [], means: "layers that have none" },
  },
});

/** up(relu(down(x))) */
function narrow({ g, p }: SublayerPlace, x: Tensor): Tensor {
  const inner = g.relu(g.add(g.linear(x, p("down.weight")), p("down.bias")));
  return g.add(g.linear(inner, p("up.weight")), p("up.bias"));
}

/** Behind attention and feed-forward: the model goes on with h + narrow(x). */
const bottleneck: Method<NarrowConfig> = {
  name: "narrow",
  config: NarrowConfig,
  sublayers: {
    select: (c, { does, layer }) => does !== "crossAttention" && !c.leaveOut.includes(layer),
    parameters: (c, { hidden }) => [
      { key: "down.weight", shape: [c.size, hidden], initial: { kind: "normal", std: 0.3 } },
      { key: "down.bias", shape: [c.size], initial: { kind: "constant", value: 0.1 } },
      { key: "up.weight", shape: [hidden, c.size], initial: { kind: "normal", std: 0.05 } },
      { key: "up.bias", shape: [hidden], initial: { kind: "constant", value: 0 } },
    ],
    structure: (c) => c.form,
    forward: (a, h, c) => {
      const x = { houlsby: () => h, pfeiffer: () => a.next(h), parallel: () => a.residual }[c.form]();
      const y = narrow(a, x);
      return a.next(a.g.add(h, a.g.mul(y, perRow(a.g, a.gate, y))));
    },
  },
};

const ROWS = [
  [5, 7, 9, 11, 3],
  [9, 40, 41, 42, 43],
];
const shape = [2, 5] as const;
const inputs = {
  inputIds: { data: Int32Array.from(ROWS.flat()), shape },
  attentionMask: { data: Int32Array.of(1, 1, 1, 1, 0, 1, 1, 1, 1, 1), shape },
  labels: { data: Int32Array.of(7, 9, 60, -100, -100, 3, 11, 2, 8, 1), shape },
};
const CAUSAL: Inputs<"CAUSAL_LM"> = { task: "CAUSAL_LM", ...inputs };
const SEQ2SEQ: Inputs<"SEQ_2_SEQ_LM"> = { task: "SEQ_2_SEQ_LM", ...inputs };

const root = mkdtempSync(join(tmpdir(), "peft-sublayers-"));
const options = { threads: 1 } as const;
beforeAll(() => registerMethod(bottleneck));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** A decoder with two layers, an encoder-decoder with three and two. */
const cases = [
  {
    name: "llama",
    batch: CAUSAL,
    layers: 2,
    place: "model.layers.0.attention_adapters",
    load: (o: object) => AutoModelForCausalLM.fromPretrained(folderOf("llama"), { ...options, ...o }),
  },
  {
    name: "t5",
    batch: SEQ2SEQ,
    layers: 5,
    place: "decoder.block.1.layer.2",
    load: (o: object) => AutoModelForSeq2SeqLM.fromPretrained(folderOf("t5"), { ...options, ...o }),
  },
] as const;

describe.each(cases)("a bottleneck on the sublayers of $name", ({ name, batch, layers, place, load }) => {
  let base: PreTrainedModel;
  beforeAll(async () => {
    base = (await load({})) as PreTrainedModel;
  });
  afterAll(() => base.close());
  const on = (model: PreTrainedModel, config = new NarrowConfig()): PeftModel => getPeftModel(model, config);

  it("has parameters of the sublayers' width in the layers that it chooses", async () => {
    const model = on(base, new NarrowConfig({ leaveOut: [0] }));
    const width = base.config.hiddenSize;
    const one = 2 * width * 4 + width + 4;
    expect(model.trainableParameters().size).toBe(2 * (layers - 1) * one);
    expect(model.isMergeable).toBe(false);
    await model.unload();
  });

  it("trains, is saved, and is the same when it is loaded", async () => {
    const plain = await base.forward(batch);
    const model = on(base);
    const optimizer = new AdamW(model.trainableParameters(), { lr: 0.05 });
    const losses: number[] = [];
    for (let i = 0; i < 10; i++) {
      losses.push((await model.forwardBackward(batch)).loss);
      await optimizer.step();
    }
    expect(losses.at(-1)).toBeLessThan(0.95 * losses[0]!);
    const trained = await model.forward(batch);
    expect(await model.disableAdapter(() => model.forward(batch))).toEqual(plain);
    const mixed = await model.forward(batch, { adapterNames: ["default", "__base__"] });
    const half = plain.logits.data.length / 2;
    const read = (half / 5) * 4; // the last token of the first row is padding
    const worst = mixed.logits.data.reduce((most, x, i) => {
      const wanted = i < half ? trained.logits.data[i]! : plain.logits.data[i]!;
      return i % half < read ? Math.max(most, Math.abs(x - wanted)) : most;
    }, 0);
    expect(worst).toBeLessThan(1e-4);
    const folder = join(root, name);
    await model.savePretrained(folder);
    const prompts = { inputIds: [[5, 7, 9]] };
    const answer = await model.generate(prompts, { maxNewTokens: 4 });
    await model.unload();
    expect(await base.forward(batch)).toEqual(plain);
    const again = await PeftModel.fromPretrained(base, folder);
    expect(await again.forward(batch)).toEqual(trained);
    expect(await again.generate(prompts, { maxNewTokens: 4 })).toEqual(answer);
    expect([...again.trainableParameters()].map((p) => p.name)).toContain(`${place}.down.weight`);
    await again.unload();
  });

  it.each(FORMS)("has the gradient that differences have where it is %s", async (form) => {
    const model = on(base, new NarrowConfig({ form }));
    const parameters = model.trainableParameters();
    await model.forwardBackward(batch);
    const { count } = parameters;
    const gradient = parameters.gradient.map((x) => x / count);
    const lossWith = async (data: Float32Array, i: number, change: number): Promise<number> => {
      const before = data[i]!;
      data[i] = before + change;
      parameters.version++;
      const { loss } = await model.lossOf(batch);
      data[i] = before;
      return loss;
    };
    let largest = 0;
    for (const [k, { data, name }] of parameters.list.entries()) {
      const own = parameters.gradientOf(k, gradient);
      const i = own.reduce((best, x, j) => (Math.abs(x) > Math.abs(own[best]!) ? j : best), 0);
      const step = 0.002; // small, since ReLU has an edge
      const difference = ((await lossWith(data, i, step)) - (await lossWith(data, i, -step))) / (2 * step);
      const wrong = Math.abs(difference - own[i]!);
      expect(wrong, `${name}[${i}]`).toBeLessThan(2e-3 + 0.02 * Math.abs(own[i]!));
      largest = Math.max(largest, Math.abs(own[i]!));
    }
    expect(largest).toBeGreaterThan(0.01);
    await model.unload();
  });

  it("gives the same block by block", async () => {
    const blockwise = (await load({ plan: "checkpointed" })) as PreTrainedModel;
    const [fused, cut] = await Promise.all(
      [base, blockwise].map(async (m) => {
        const model = on(m);
        const { loss } = await model.forwardBackward(batch);
        return { loss, gradient: [...model.trainableParameters().gradient] };
      }),
    );
    expect(cut!.loss).toBeCloseTo(fused!.loss, 5);
    cut!.gradient.forEach((x, i) => void expect(x).toBeCloseTo(fused!.gradient[i]!, 3));
    await blockwise.close();
  });
});
