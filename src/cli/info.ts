import { formatBytes, type InspectedLayer, type Inspection, inspect, isTaskType } from "../index.js";
import { describeMemory, memoryGroup, stepSizes } from "./memory.js";
import { methodConfig, methodGroups, withMethod } from "./method_options.js";
import { modelGroup, showHub } from "./model.js";
import type { Settings, Verb } from "./options.js";
import { shippedModel } from "./shipped.js";
import { type Terminal, warn } from "./terminal.js";

/** `peft info` */
export const info: Verb = {
  name: "info",
  summary: "Show a model's layers, sizes, and what a method would train; from config.json alone.",
  examples: [
    "peft info --model bigscience/mt0-large",
    "peft info --model google/flan-t5-large --method lora --r 16",
    "peft info --model facebook/opt-6.7b --memory --batch 4 --seq 128 --max-memory 9GB",
  ],
  groups: (argv) => [
    modelGroup("the model that ships"),
    memoryGroup,
    {
      title: "Output",
      options: [{ key: "json", kind: "flag", help: "print one line of JSON: all that is known" }],
    },
    ...methodGroups(argv),
  ],
  run,
};

async function run(given: Settings, terminal: Terminal): Promise<number> {
  const settings = withMethod(given);
  const name = settings.text("model") ?? (await shippedModel(terminal));
  const task = settings.text("task");
  const found = await inspect(name, {
    ...{ revision: settings.text("revision"), progress: showHub(terminal) },
    taskType: isTaskType(task) ? task : undefined,
    adapter: methodConfig(settings),
    ...(settings.flag("memory") ? { memory: stepSizes(settings) } : {}),
  });
  const { memory, adapter } = found;
  if (settings.flag("json")) {
    terminal.print(JSON.stringify(found));
    return 0;
  }
  if (memory !== undefined) for (const line of describeMemory(memory, settings)) terminal.print(line);
  if (memory !== undefined || adapter === undefined) return 0;
  for (const line of describeModel(found)) terminal.print(line);
  for (const warning of adapter.warnings) warn(terminal, warning.shown(settings.show));
  const { method, trainable, total, bytes } = adapter;
  terminal.print("");
  terminal.print(`${method}: ${formatBytes(bytes)} on disk`);
  terminal.print(
    `trainable params: ${trainable} || all params: ${total} || trainable%: ${(100 * trainable) / total}`,
  );
  return 0;
}

const SIZES = [
  ["f32", 4],
  ["f16, bf16", 2],
] as const;

function describeModel({ config, taskType, parameters, defaultTargets, layers }: Inspection): string[] {
  return [
    `architecture: ${config.modelType}, ${taskType}`,
    `parameters:   ${parameters.toLocaleString("en-US")}`,
    `weights:      ${SIZES.map(([dtype, bytes]) => `${formatBytes(bytes * parameters)} in ${dtype}`).join("; ")}`,
    `default targets: ${defaultTargets.length > 0 ? defaultTargets.join(", ") : "none"}`,
    "",
    "layers ([out, in]; * is a block's number, + is adapted by this method):",
    ...describeLayers(layers),
  ];
}

/** One line for all layers that differ in their numbers only. */
function describeLayers(layers: readonly InspectedLayer[]): string[] {
  const groups = new Map<string, { sizes: string; count: number; adapted: number }>();
  for (const { path, shape, isTarget } of layers) {
    const sizes = `[${shape.join(", ")}]`;
    const pattern = path.replace(/(^|\.)\d+(?=\.|$)/, "$1*");
    const group = groups.get(`${pattern} ${sizes}`) ?? { sizes, count: 0, adapted: 0 };
    group.count++;
    if (isTarget) group.adapted++;
    groups.set(`${pattern} ${sizes}`, group);
  }
  const width = Math.max(...[...groups.keys()].map((key) => key.indexOf(" [")));
  return [...groups].map(([key, { sizes, count, adapted }]) => {
    const pattern = key.slice(0, key.indexOf(" [")).padEnd(width);
    return `${adapted > 0 ? "+" : " "} ${pattern} ${String(count).padStart(4)} x ${sizes}`;
  });
}
