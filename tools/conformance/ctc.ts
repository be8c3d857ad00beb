import { join } from "node:path";
import { gradients } from "../../src/autodiff/gradient.js";
import { Engine } from "../../src/engine/engine.js";
import type { HostTensor } from "../../src/engine/messages.js";
import { toProgram } from "../../src/engine/program.js";
import { Graph } from "../../src/graph/graph.js";
import { ctc, ctcOf } from "../../src/losses/ctc.js";
import type { ModelConfig } from "../../src/models/model.js";
import { at } from "../../src/present.js";
import type { CaseResult } from "./result.js";
import { type Check, compare, Expected, exact, type KitTensor } from "./tensors.js";

const WITHIN = 2e-5;

/** ctc/losses: `<labels>.blank<id>.[zero.]<none, sum, mean>[.grad]`. */
export async function runCtc(kit: string): Promise<CaseResult> {
  const expected = await Expected.open(join(kit, "ctc", "losses.safetensors"));
  const logits = given(expected, "logits");
  const checks: Check[] = [];
  const engine = await Engine.open(new Map(), { threads: 1 });
  try {
    for (const key of expected.keys.filter((key) => /\.blank\d+\./.test(key) && !key.endsWith(".grad"))) {
      const [name = "", blank = "", ...rest] = key.split(".");
      const labels = given(expected, `${name}.labels`);
      const frames = given(expected, `${name}.frames`);
      const settings = { blank: Number(blank.slice("blank".length)), zeroInfinity: rest[0] === "zero" };
      const program = written(logits, labels, { ...settings, reduction: at(rest, rest.length - 1) });
      await engine.compile(key, () => program);
      const { outputs } = await engine.run(key, feedsOf(logits, labels, frames));
      for (const [label, output] of [
        [key, "loss"],
        [`${key}.grad`, "grad"],
      ] as const)
        if (expected.has(label)) checks.push(compared(label, outputs[output], given(expected, label)));
    }
  } finally {
    await engine.close();
  }
  for (const key of expected.unread) checks.push(exact(`unknown.${key}`, false, "nothing checks this key"));
  return { checks };
}

function given(expected: Expected, key: string): KitTensor {
  const found = expected.get(key);
  if (found === undefined) throw new Error(`the kit has no ${key}`);
  return found;
}

/** Infinities must stand at the same places, and count as 0 beside the rest. */
function compared(key: string, got: HostTensor | undefined, wanted: KitTensor): Check {
  const finite = (data: ArrayLike<number>): Float64Array =>
    Float64Array.from(data, (x) => (Number.isFinite(x) ? x : 0));
  if (got === undefined) return exact(key, false, "nothing came");
  const same = [...wanted.data].every((x, i) => Number.isFinite(x) === Number.isFinite(got.data[i]));
  if (!same) return exact(key, false, "infinite elsewhere");
  return compare(
    key,
    { shape: got.shape, data: finite(got.data) },
    { ...wanted, data: finite(wanted.data) },
    WITHIN,
  );
}

interface Settings {
  readonly blank: number;
  readonly zeroInfinity: boolean;
  readonly reduction: string;
}

function written(
  logits: KitTensor,
  labels: KitTensor,
  { reduction, ...settings }: Settings,
): ReturnType<typeof toProgram> {
  const g = new Graph();
  const x = g.input("logits", logits.shape);
  const letters = g.input("labels", labels.shape, "i64");
  const mask = g.input("mask", logits.shape.slice(0, 2), "i64");
  if (reduction === "none") {
    const each = ctcOf(g, x, letters, mask, settings.blank);
    const loss = settings.zeroInfinity ? g.where(g.less(each, 1e30), each, 0) : each;
    return toProgram({ loss });
  }
  const config = { ctc: { ...settings, reduction } } as unknown as ModelConfig;
  const unread = (): never => {
    throw new Error("CTC reads logits, labels and the mask");
  };
  const c = { g, config, mask, logits: () => x, column: () => letters };
  const { sum, count } = ctc.write({ ...c, labelled: unread, vectors: unread } as unknown as Parameters<
    typeof ctc.write
  >[0]);
  const loss = g.div(sum, count);
  return toProgram({
    loss,
    ...Object.fromEntries(gradients(g, loss, [x]).map((grad) => ["grad", grad ?? g.scalar(0)])),
  });
}

function feedsOf(logits: KitTensor, labels: KitTensor, frames: KitTensor): Record<string, HostTensor> {
  const [rows = 0, most = 0] = logits.shape;
  const mask = Int32Array.from({ length: rows * most }, (_, i) =>
    i % most < at(frames.data, Math.floor(i / most)) ? 1 : 0,
  );
  return {
    logits: { dtype: "f32", shape: logits.shape, data: Float32Array.from(logits.data) },
    labels: { dtype: "i64", shape: labels.shape, data: Int32Array.from(labels.data) },
    mask: { dtype: "i64", shape: [rows, most], data: mask },
  };
}
