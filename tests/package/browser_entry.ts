import { attach } from "../../src/attach/attach.js";
import { gradients } from "../../src/autodiff/gradient.js";
import { batches } from "../../src/data/batches.js";
import { loadDataset } from "../../src/data/load.js";
import { generate } from "../../src/generate/generate.js";
import { isOp } from "../../src/graph/ops.js";
import { tokens } from "../../src/losses/tokens.js";
import { LoraConfig } from "../../src/methods/index.js";
import { lora } from "../../src/methods/lora.js";
import { architectures } from "../../src/models/index.js";
import { AutoTokenizer } from "../../src/tokenizers/auto.js";
import { tokenizerFromFiles } from "../../src/tokenizers/files.js";
import { ModelTrace } from "../../src/trace/trace.js";
import { type ModelSpec, takeInventory, writeLoss } from "../../src/trace/write.js";
import { hashedStepper } from "../golden/hashed_model.js";

// What stands below the engine, used once each: Node runs it from source, browser.test.ts in a bundle without
// Node.

/** The content of files, by name. */
export type Fetched = Readonly<Record<string, string>>;

export async function useAll(fetched: Fetched): Promise<Record<string, unknown>> {
  const json = JSON.parse(fetched["config.json"]!);
  const architecture = architectures.find((a) => a.modelTypes.includes(json.model_type))!;
  const spec: ModelSpec = { architecture, config: architecture.parse(json), task: "CAUSAL_LM" };
  return { ...trainingStep(spec), ...(await textAsBatches(fetched)), generated: await greedy() };
}

/**
 * Parameters of the model and of an adapter on it; the graph of a step of training, by how often it has each
 * primitive.
 */
function trainingStep(spec: ModelSpec) {
  const inventory = takeInventory(spec);
  const config = new LoraConfig({ taskType: "CAUSAL_LM", r: 4, targetModules: ".*self_attn\\.(q|v)_proj" });
  const { adapter } = attach("default", lora, config, spec, inventory, { seed: 0 });
  const options = {
    adapters: [adapter],
    mixed: false,
    training: true,
    virtual: true,
    packed: true,
    long: false,
    neftune: 0,
  };
  const trace = new ModelTrace(options);
  const { sum } = writeLoss(spec, trace, tokens);
  const inputs = trace.g.nodes.filter((x) => isOp(x, "input") && x.attrs.name.includes("lora_"));
  const by = gradients(trace.g, sum, inputs);
  const ops: Record<string, number> = {};
  for (const { op } of trace.g.nodes) ops[op] = (ops[op] ?? 0) + 1;
  return {
    all: [...inventory.weights.values()].reduce((n, shape) => n + shape.reduce((a, b) => a * b, 1), 0),
    trained: adapter.state.parameters.size,
    started: [...adapter.entries.values()].map((e) => [e.key, e.shape, [...e.data.slice(0, 4)]]),
    gradients: by.map((x) => x?.shape),
    ops,
  };
}

async function textAsBatches(fetched: Fetched) {
  const tokenizer = await tokenizerFromFiles(async (name) => fetched[name]);
  const messages = [{ role: "user", content: "late again" }];
  const reader = {
    size: async (name: string) => new TextEncoder().encode(fetched[name]).length,
    read: async (name: string, from: number, length: number) =>
      new TextEncoder().encode(fetched[name]).subarray(from, from + length),
  };
  const rows = await loadDataset("rows.csv", { reader, template: "{text} : ", target: "{label}" });
  const fed = [];
  const model = { taskType: "CAUSAL_LM", config: { vocabSize: 1000 } } as const;
  for await (const { inputIds, labels } of batches(rows, { tokenizer, model, batchSize: 2, seed: 1 }))
    fed.push([...inputIds.data], [...labels.data]);
  return {
    rows,
    fed,
    chat: tokenizer.applyChatTemplate(messages, { tokenize: false }),
    ids: [...tokenizer("The café is 12:30 late").inputIds],
    noFiles: await AutoTokenizer.fromPretrained("./folder").catch((error: unknown) => String(error)),
  };
}

async function greedy() {
  const ids = [[5, 6]];
  const prompt = { ids, isEncoderDecoder: false };
  const { sequences } = await generate(hashedStepper(ids, 32), prompt, { maxNewTokens: 8 });
  return sequences.map((row) => [...row]);
}
