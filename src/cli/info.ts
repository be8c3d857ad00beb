import {
  attach,
  formatBytes,
  type Inventory,
  type ModelSpec,
  methodOf,
  specOf,
  takeInventory,
  words,
} from "../index.js";
import { describeMemory, memoryGroup } from "./memory.js";
import { methodConfig, methodGroups, withMethod } from "./method_options.js";
import { chooseTask, modelGroup, readConfigOf, showHub } from "./model.js";
import type { Settings, Verb } from "./options.js";
import { shippedModel } from "./shipped.js";
import type { Terminal } from "./terminal.js";

/** `peft info` */
export const info: Verb = {
  name: "info",
  summary: "Show a model's layers, sizes, and what a method would train; from config.json alone.",
  examples: [
    "peft info --model bigscience/mt0-large",
    "peft info --model google/flan-t5-large --method lora --r 16",
    "peft info --model facebook/opt-6.7b --memory --batch 4 --seq 128 --max-memory 9GB",
  ],
  groups: (argv) => [modelGroup("the model that ships"), memoryGroup, ...methodGroups(argv)],
  run,
};

async function run(given: Settings, terminal: Terminal): Promise<number> {
  const settings = withMethod(given);
  const name = settings.text("model") ?? (await shippedModel(terminal));
  const json = await readConfigOf(name, {
    revision: settings.text("revision"),
    progress: showHub(terminal),
  });
  const spec = specOf(json, chooseTask(settings, json), `${name}/config.json`);
  const inventory = takeInventory(spec);
  const config = methodConfig(settings);
  const method = methodOf(config.peftType);
  const { adapter, warnings } = attach("default", method, config, spec, inventory, { seed: 0 });
  const base = countWeights(inventory);
  const [trainable, total] = [adapter.size, base + adapter.addedSize];
  if (settings.get("memory") === true) {
    for (const line of describeMemory({ spec, inventory }, adapter, json, settings)) terminal.print(line);
    return 0;
  }
  for (const line of describeModel(spec, inventory, new Set(adapter.layers.keys()))) terminal.print(line);
  for (const warning of warnings) terminal.note(`warning: ${words`${warning}`.shown(settings.show)}`);
  terminal.print("");
  terminal.print(`${method.name}: ${formatBytes(4 * trainable)} on disk`);
  terminal.print(
    `trainable params: ${trainable} || all params: ${total} || trainable%: ${(100 * trainable) / total}`,
  );
  return 0;
}

function countWeights({ weights }: Inventory): number {
  return [...weights.values()].reduce((n, shape) => n + shape.reduce((a, b) => a * b, 1), 0);
}

function describeModel(spec: ModelSpec, inventory: Inventory, adapted: ReadonlySet<string>): string[] {
  const count = countWeights(inventory);
  const sizes = [
    ["f32", 4],
    ["f16, bf16", 2],
  ] as const;
  return [
    `architecture: ${spec.config.modelType}, ${spec.task}`,
    `parameters:   ${count.toLocaleString("en-US")}`,
    `weights:      ${sizes.map(([dtype, bytes]) => `${formatBytes(bytes * count)} in ${dtype}`).join("; ")}`,
    `default targets: ${spec.architecture.roles.targets?.join(", ") ?? "none"}`,
    "",
    "layers ([out, in]; * is a block's number, + is adapted by this method):",
    ...describeLayers(inventory, adapted),
  ];
}

/** One line for all layers that differ in their numbers only. */
function describeLayers(inventory: Inventory, adapted: ReadonlySet<string>): string[] {
  const layers = [
    ...[...inventory.linears.values()].map((l) => ({ path: l.path, shape: `[${l.outDim}, ${l.inDim}]` })),
    ...[...inventory.embeddings.values()].map((e) => ({ path: e.path, shape: `[${e.vocab}, ${e.dim}]` })),
  ];
  const groups = new Map<string, { shape: string; count: number; adapted: number }>();
  for (const { path, shape } of layers) {
    const pattern = path.replace(/(^|\.)\d+(?=\.|$)/, "$1*");
    const group = groups.get(`${pattern} ${shape}`) ?? { shape, count: 0, adapted: 0 };
    group.count++;
    if (adapted.has(path)) group.adapted++;
    groups.set(`${pattern} ${shape}`, group);
  }
  const width = Math.max(...[...groups.keys()].map((key) => key.indexOf(" [")));
  return [...groups].map(([key, { shape, count, adapted: on }]) => {
    const pattern = key.slice(0, key.indexOf(" [")).padEnd(width);
    return `${on > 0 ? "+" : " "} ${pattern} ${String(count).padStart(4)} x ${shape}`;
  });
}
