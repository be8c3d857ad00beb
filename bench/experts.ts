import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { gradients } from "../src/autodiff/gradient.js";
import { lower } from "../src/engine/onnx/lowering.js";
import { isNode, toProgram } from "../src/engine/program.js";
import { fedWeight } from "../src/engine/weights/store.js";
import { Module } from "../src/graph/module.js";
import type { Tensor } from "../src/graph/ops.js";
import { gatedExperts, likeliest, mixture, router } from "../src/models/parts/experts.js";
import { random, uniform } from "../src/random.js";
import { ModelTrace } from "../src/trace/trace.js";

/**
 * A layer of Qwen3-30B-A3B: 128 experts, 8 chosen. Widths are a part of the model's, which changes no share.
 */
const SHAPE = { experts: 128, chosen: 8, hidden: 256, inter: 96, tokens: 512 } as const;
const MOST = 1.3;

/** Which products ONNX Runtime computed in a step, forward and back, and how many the chosen experts need. */
export async function benchExperts(): Promise<void> {
  const { experts, chosen, hidden, inter, tokens } = SHAPE;
  const trace = new ModelTrace({
    ...{ adapters: [], mixed: false, training: false, virtual: false, packed: false },
    ...{ neftune: 0, long: false },
  });
  const { g } = trace;
  const w = new Module(trace);
  const x = g.input("x", ["batch", "seq", hidden]);
  const logits = router(w, "gate", x, experts);
  const choice = likeliest(g, logits, chosen, true);
  const make = gatedExperts(w.at("experts"), { expertInter: inter, activation: "silu" });
  const y = mixture(g, x, experts, choice, make);
  const [dx] = gradients(g, g.sum(g.square(y)), [x]);
  const computed = await productsOf({ y, dx: dx ?? y }, tokens);
  const slots = tokens * chosen;
  // gate, up and down, forward; and the same back to what they read
  const needed = 2 * slots * 3 * hidden * inter;
  const share = computed / needed;
  console.log(
    `${experts} experts, ${chosen} chosen, ${tokens} tokens, forward and back to the layer's input:`,
  );
  console.log(`products of the chosen experts ${needed}, computed ${computed}: ${share.toFixed(3)} times`);
  if (share > MOST) throw new Error(`more than ${MOST} times`);
}

/** Multiplications inside of all products with experts' matrices, as the profiler saw their operands. */
async function productsOf(outputs: Readonly<Record<string, Tensor>>, tokens: number): Promise<number> {
  const program = toProgram(outputs);
  const f32 = { format: "f32", transposed: false } as const;
  const model = lower(program, (o, name, shape) => fedWeight(o, name, shape, f32), {
    device: "cpu",
    asks: false,
  });
  const folder = mkdtempSync(join(tmpdir(), "peft-experts-"));
  try {
    const session = await ort.InferenceSession.create(model, {
      enableProfiling: true,
      profileFilePrefix: join(folder, "profile"),
    });
    const next = random(1);
    const feeds: Record<string, ort.Tensor> = {};
    for (const node of program.nodes) {
      const isWeight = isNode(node, "weight");
      if (!isWeight && !isNode(node, "input")) continue;
      const shape = node.shape.map((d) => (typeof d === "number" ? d : d === "batch" ? 1 : tokens));
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => uniform(next) - 0.5);
      feeds[isWeight ? `w:${node.attrs.name}:data` : node.attrs.name] = new ort.Tensor(
        "float32",
        data,
        shape,
      );
    }
    await session.run(feeds);
    session.endProfiling();
    const [file = ""] = readdirSync(folder);
    return countProducts(JSON.parse(readFileSync(join(folder, file), "utf8")));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

interface ProfileEvent {
  readonly cat: string;
  readonly args?: {
    readonly op_name?: string;
    readonly input_type_shape?: readonly { readonly float?: readonly number[] }[];
    readonly output_type_shape?: readonly { readonly float?: readonly number[] }[];
  };
}

function countProducts(events: readonly ProfileEvent[]): number {
  let total = 0;
  for (const { cat, args } of events) {
    if (cat !== "Node" || !/MatMul$/.test(args?.op_name ?? "")) continue;
    const [left, right] = (args?.input_type_shape ?? []).map(({ float = [] }) => float);
    const [out = []] = (args?.output_type_shape ?? []).map(({ float = [] }) => float);
    if (left === undefined || right === undefined || isRouter(left, right)) continue;
    total += out.reduce((a, b) => a * b, 1) * (left.at(-1) ?? 0);
  }
  return total;
}

/** The router's own product reads all tokens at once. */
function isRouter(left: readonly number[], right: readonly number[]): boolean {
  return left.length !== 2 || [left, right].some((shape) => shape.includes(SHAPE.experts));
}

await benchExperts();
