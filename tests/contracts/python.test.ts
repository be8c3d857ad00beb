import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Adapter } from "../../src/adapters/adapter.js";
import { parameterName } from "../../src/adapters/adapter.js";
import { toCamelName } from "../../src/hub/names.js";
import { IA3Config, LoraConfig } from "../../src/methods/index.js";
import type { AdapterConfig } from "../../src/methods/method.js";
import type { PreTrainedModel } from "../../src/peft/base_model.js";
import { PeftModel } from "../../src/peft/peft_model.js";
import type { Inputs } from "../../src/trace/feeds.js";
import type { Kind } from "./kit.js";
import { batchOf, ids, loadBase, TASKS } from "./kit.js";

// Adapters in odd places against Python's PEFT: tied heads, heads with labels, modules of modules, biases,
// several at once.
type Digest = readonly [sum: number, norm: number, ordered: number];
interface Numbers {
  readonly loss: number;
  readonly logits: Digest;
  readonly grad: Readonly<Record<string, Digest>>;
}
interface Case extends Numbers {
  readonly model: Kind;
  readonly peft_type: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly saved: readonly string[];
  readonly merged: Digest;
}
interface Golden {
  readonly ids: number[][];
  readonly mask: number[][];
  readonly labels: Readonly<Record<Kind, number[][]>>;
  readonly cases: Readonly<Record<string, Case>>;
  readonly together: Numbers;
  readonly pissaDisabled: Digest;
}
const golden = JSON.parse(readFileSync(join(import.meta.dirname, "../golden/peft.json"), "utf8")) as Golden;

const bases: Partial<Record<Kind, PreTrainedModel>> = {};
beforeAll(async () => {
  for (const kind of Object.keys(TASKS) as Kind[])
    bases[kind] = (await loadBase(TASKS[kind], kind)) as unknown as PreTrainedModel;
});
afterAll(async () => {
  for (const base of Object.values(bases)) await base.close();
});

function batch(kind: Kind): Inputs {
  const rows = golden.ids.map((row, i) =>
    row.slice(
      0,
      golden.mask[i]!.reduce((a, b) => a + b, 0),
    ),
  );
  return batchOf(TASKS[kind], rows, ids(golden.labels[kind]));
}

/** The formula of tools/golden/peft_models.py. */
function fill(adapter: Adapter): void {
  for (const entry of adapter.entries.values()) {
    const h = [...nameOf(entry)].reduce((n, c) => n + c.charCodeAt(0), 0) % 101;
    entry.data.forEach((_, i) => {
      entry.data[i] = 0.2 * Math.sin(1.3 * i + h);
    });
  }
  adapter.state.touch();
}

const nameOf = (entry: { key: string; savedKey: string | undefined }): string =>
  entry.savedKey ?? `base_model.model.${entry.key}`;

function digest(x: ArrayLike<number>): Digest {
  let [sum, squares, ordered] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    sum += x[i]!;
    squares += x[i]! ** 2;
    ordered += x[i]! * Math.cos(i);
  }
  return [sum, Math.sqrt(squares), ordered];
}

/** Logits at real tokens, where padding has logits of its own. */
function counted(kind: Kind, data: Float32Array): Float32Array {
  if (kind !== "llama") return data;
  const width = data.length / golden.mask.flat().length;
  return data.filter((_, i) => golden.mask.flat()[Math.floor(i / width)] === 1);
}

function near(actual: Digest, expected: Digest, what: string): void {
  const within = 1e-4 * Math.max(0.1, expected[1]);
  for (const i of [0, 1, 2] as const)
    expect(Math.abs(actual[i] - expected[i]), `${what}: ${actual}, not ${expected}`).toBeLessThan(within);
}

async function checkNumbers(model: PeftModel, kind: Kind, expected: Numbers): Promise<void> {
  const { logits } = await model.forward(batch(kind));
  near(digest(counted(kind, logits.data)), expected.logits, "logits");
  const parameters = model.trainableParameters();
  const { loss, count } = await model.forwardBackward(batch(kind), { training: false });
  expect(loss).toBeCloseTo(expected.loss, 4);
  const adapters = model.activeAdapters.map((n) => model.adapters.get(n)!);
  const names = new Map(
    adapters.flatMap((a, slot) =>
      [...a.entries.values()].map((e) => [
        parameterName(adapters, slot, e.key),
        parameterName(adapters, slot, nameOf(e)),
      ]),
    ),
  );
  const seen = parameters.list.map((p, i) => [names.get(p.name)!, parameters.gradientOf(i)] as const);
  expect(seen.map(([name]) => name).sort()).toEqual(expect.arrayContaining(Object.keys(expected.grad)));
  for (const [name, gradient] of seen) {
    const want = expected.grad[name] ?? [0, 0, 0];
    near(digest(gradient.map((x) => x / count)), want, name);
  }
  parameters.zero();
}

function configOf({ peft_type, options }: Case): AdapterConfig {
  const camel = Object.fromEntries(Object.entries(options).map(([k, v]) => [toCamelName(k), v]));
  return peft_type === "IA3Config" ? new IA3Config(camel) : new LoraConfig(camel);
}

describe.each(Object.entries(golden.cases))("%s", (_, expected) => {
  it("has Python's logits, loss, gradients and keys, and merges as far as it can", async () => {
    const kind = expected.model;
    const model = new PeftModel(bases[kind]!);
    try {
      model.addAdapter("default", configOf(expected));
      await model.ready();
      fill(model.activeAdapter);
      const saved = [...model.activeAdapter.entries.values()].map((e) => e.savedKey!);
      expect(expected.saved).toEqual(expect.arrayContaining(saved));
      await checkNumbers(model, kind, expected);
      if ("options" in expected && isTied(expected)) {
        await expect(model.mergeAdapter()).rejects.toThrow(/\[adapter-config\].*lm_head.*tied/);
        return;
      }
      await model.mergeAdapter();
      near(digest(counted(kind, (await model.forward(batch(kind))).logits.data)), expected.merged, "merged");
    } finally {
      await model.unload();
    }
  });
});

/** Python merges into the head and the embedding at once, with other numbers after than before. */
function isTied({ model, options }: Case): boolean {
  return model === "t5" && [options["target_modules"]].flat().includes("lm_head");
}

it("two adapters that train together have Python's gradients", async () => {
  const model = new PeftModel(bases.llama!);
  try {
    model.addAdapter("one", new LoraConfig({ r: 4, loraAlpha: 6, targetModules: ["q_proj"] }));
    model.addAdapter("two", new LoraConfig({ r: 2, loraAlpha: 3, targetModules: ["q_proj", "v_proj"] }));
    await model.ready();
    for (const adapter of model.adapters.values()) fill(adapter);
    model.setAdapter(["one", "two"]);
    await checkNumbers(model, "llama", golden.together);
  } finally {
    await model.unload();
  }
});

it("a PiSSA adapter that is disabled leaves what is left of the base, as in Python", async () => {
  const model = new PeftModel(bases.llama!);
  try {
    model.addAdapter(
      "default",
      new LoraConfig({ r: 4, targetModules: ["q_proj"], initLoraWeights: "pissa" }),
    );
    const { logits } = await model.disableAdapter(() => model.forward(batch("llama")));
    near(digest(counted("llama", logits.data)), golden.pissaDisabled, "disabled");
  } finally {
    await model.unload();
  }
});
