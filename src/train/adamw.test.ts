import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { PeftError } from "../errors.js";
import { Parameters } from "../graph/parameters.js";
import { AdamW, loraPlus } from "./adamw.js";

interface Case {
  options: {
    lr: number;
    betas: [number, number];
    eps: number;
    weight_decay: number;
    max_norm: number | null;
    no_decay: string[];
  };
  norms: number[];
  kept: Record<string, Record<string, number[]>>;
  moments: Record<string, Record<"exp_avg" | "exp_avg_sq", number[]>>;
}
interface Golden {
  shapes: Record<string, number[]>;
  steps: number;
  cases: Record<string, Case>;
}

const golden = JSON.parse(
  readFileSync(new URL("../../tests/golden/adamw.json", import.meta.url), "utf8"),
) as Golden;

/** The generator of tools/golden/adamw.py. */
function integers(seed: number): () => number {
  let x = seed;
  return () => (x = (Math.imul(1664525, x) + 1013904223) >>> 0) >>> 16;
}

function draw(next: () => number, into: Float32Array, scale: number): void {
  for (let i = 0; i < into.length; i++) into[i] = (next() - 32768) * scale;
}

/** Largest difference, relative to the tensor's largest value. */
function worst(actual: Float32Array, expected: readonly number[]): number {
  const size = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!))) / size;
}

function setUp(next: () => number): Parameters {
  const list = Object.entries(golden.shapes).map(([name, shape]) => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    draw(next, data, 2 ** -15);
    return { name, shape, data };
  });
  return new Parameters(list);
}

function oneTensor(values: number[]): Parameters {
  return new Parameters([{ name: "w", shape: [values.length], data: Float32Array.from(values) }]);
}

describe("AdamW against torch", () => {
  it.each(Object.entries(golden.cases))("%s", async (_, { options: o, norms, kept, moments }) => {
    const next = integers(7);
    const parameters = setUp(next);
    const optimizer = new AdamW(parameters, {
      lr: o.lr,
      betas: o.betas,
      eps: o.eps,
      weightDecay: o.weight_decay,
      decayOnly: (name) => !o.no_decay.includes(name),
      ...(o.max_norm === null ? {} : { maxGradNorm: o.max_norm }),
    });
    for (let step = 1; step <= golden.steps; step++) {
      optimizer.lr = o.lr * (1 - (step - 1) / 100);
      draw(next, parameters.gradient, 2 ** -13);
      parameters.count = (step % 5) + 1;
      const { gradNorm, count } = await optimizer.step();
      expect(count).toBe((step % 5) + 1);
      expect(Math.abs(gradNorm / norms[step - 1]! - 1)).toBeLessThan(3e-7);
      for (const p of kept[step] ? parameters : [])
        expect(worst(p.data, kept[step]![p.name]!)).toBeLessThan(1e-6);
    }
    for (const { name, data } of optimizer.state().tensors) {
      const [key, parameter] = name.split(".") as ["exp_avg", string];
      expect(worst(data, moments[parameter]![key])).toBeLessThan(1e-6);
    }
  });
});

describe("AdamW.step", () => {
  it("divides by the count that the reduce hook leaves, and zeroes", async () => {
    const parameters = oneTensor([0, 0]);
    parameters.gradient.set([3, 4]);
    parameters.count = 1;
    const reduce = async (flat: Float32Array, count: number): Promise<void> => {
      expect(count).toBe(1);
      for (let i = 0; i < flat.length; i++) flat[i]! *= 4;
      parameters.count = 2;
    };
    expect(await new AdamW(parameters).step({ reduce })).toEqual({ gradNorm: 10, count: 2 });
    expect([...parameters.gradient, parameters.count]).toEqual([0, 0, 0]);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("refuses %s and changes nothing", async (bad) => {
    const parameters = new Parameters(
      ["fine", "bad"].map((name) => ({ name, shape: [2], data: Float32Array.of(1, 2) })),
    );
    const optimizer = new AdamW(parameters);
    parameters.gradient.set([1, 1, bad, 1]);
    parameters.count = 3;
    const error = await optimizer.step().catch((e: unknown) => e as PeftError);
    expect(error).toBeInstanceOf(PeftError);
    expect((error as PeftError).code).toBe("training");
    expect((error as PeftError).what).toContain("in bad.");
    expect(parameters.list.map(({ data }) => [...data])).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect([...parameters.gradient]).toEqual([1, 1, bad, 1]);
    expect(optimizer.state().tensors.every(({ data }) => data.every((x) => x === 0))).toBe(true);
    expect(optimizer.steps).toBe(0);
  });

  it("refuses a step without gradient, an overlapping one, and options out of range", async () => {
    const parameters = oneTensor([1]);
    const optimizer = new AdamW(parameters);
    await expect(optimizer.step()).rejects.toThrow(/number of labelled tokens is 0/);
    parameters.count = 1;
    const running = optimizer.step();
    await expect(optimizer.step()).rejects.toThrow(/await optimizer.step/);
    await running;
    expect(() => new AdamW(parameters, { lr: -1, betas: [0.9, 1], maxGradNorm: 0 })).toThrow(
      /lr: -1.*betas: 1.*maxGradNorm: 0/,
    );
  });

  it("resumes to the same bits from its state, and refuses a foreign one", async () => {
    const run = async (resume: boolean): Promise<number[]> => {
      let parameters = oneTensor([0.3, -0.7, 1.1]);
      let optimizer = new AdamW(parameters, { lr: 0.01 });
      for (let step = 0; step < 6; step++) {
        if (resume && step === 3) {
          const saved = structuredClone(optimizer.state());
          parameters = oneTensor([...parameters.list[0]!.data]);
          optimizer = new AdamW(parameters, { lr: 0.01 });
          optimizer.load(saved);
        }
        parameters.gradient.set([Math.sin(step), Math.cos(step), 0.1 * step]);
        parameters.count = 7;
        await optimizer.step();
      }
      return [...parameters.list[0]!.data];
    };
    expect(await run(true)).toEqual(await run(false));
    const other = new AdamW(oneTensor([1, 2])).state();
    expect(() => new AdamW(oneTensor([1])).load(other)).toThrow(
      /exp_avg\.w has the shape \[2\], not \[1\]; exp_avg_sq\.w/,
    );
  });

  it("lets timers run during a step on 10 million parameters", async () => {
    const parameters = oneTensor([]);
    const size = 10_000_000;
    const large = new Parameters([
      ...parameters,
      { name: "large", shape: [size], data: new Float32Array(size) },
    ]);
    const optimizer = new AdamW(large);
    large.gradient.fill(0.5);
    large.count = 1;
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);

    await optimizer.step();
    clearInterval(timer);

    expect(ticks).toBeGreaterThan(10);
  });
});

it("takes each parameter's own learning rate: LoRA+ is AdamW by groups", async () => {
  const shapes: Readonly<Record<string, readonly [lr: number, shape: number[]]>> = {
    "q.lora_A.weight": [1e-2, [2, 3]],
    "q.lora_B.weight": [16e-2, [3, 2]],
    "q.lora_B.bias": [16e-2, [3]],
    "q.lora_magnitude_vector": [16e-2, [3]],
    "embed.lora_embedding_B": [1e-6, [3, 2]],
  };
  const made = (names: readonly string[]): Parameters => {
    const parameters = new Parameters(
      names.map((name) => {
        const [, shape] = shapes[name]!;
        const data = new Float32Array(shape.reduce((a, b) => a * b));
        draw(integers(name.length), data, 1e-4);
        return { name, shape, data };
      }),
    );
    for (const [i, { name }] of parameters.list.entries())
      draw(integers(7 * name.length), parameters.gradientOf(i), 1e-3);
    parameters.count = 1;
    return parameters;
  };
  const all = made(Object.keys(shapes));
  await new AdamW(all, { lr: 1e-2, weightDecay: 0.1, lrOf: loraPlus(16) }).step();
  for (const [i, [name, [lr]]] of Object.entries(shapes).entries()) {
    const alone = made([name]);
    await new AdamW(alone, { lr, weightDecay: 0.1 }).step();
    expect([name, all.list[i]!.data]).toEqual([name, alone.list[0]!.data]);
  }
});
