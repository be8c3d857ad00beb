import {
  freeMemory,
  type Inventory,
  type ModelSpec,
  memoryTable,
  parseBytes,
  sizeText,
  smallestBudget,
  storedIn,
  type TableRow,
  type TrainingShape,
} from "../index.js";
import type { OptionGroup, Settings } from "./options.js";

/** Tokens of a row where nothing is said, if the model takes as many. */
const SEQ = 512;
const TARGET = 128;

export const memoryGroup: OptionGroup = {
  title: "Memory",
  options: [
    { key: "memory", kind: "flag", help: "what a training step takes in each weight format and plan" },
    { key: "batch", kind: "whole", help: "rows of a batch", byDefault: 8 },
    { key: "seq", kind: "whole", help: "tokens of a row", otherwise: `${SEQ}, or all that the model takes` },
    {
      key: "targetSeq",
      kind: "whole",
      help: "target tokens of a row, for encoder-decoders",
      byDefault: TARGET,
    },
    {
      key: "maxMemory",
      kind: "text",
      value: "SIZE",
      help: "what it may take: 4GB",
      otherwise: "what is free",
    },
  ],
};

/** A table of formats and plans, and which one `auto` takes. */
export function describeMemory(
  model: { readonly spec: ModelSpec; readonly inventory: Inventory },
  adapter: TrainingShape["adapters"][number],
  json: Readonly<Record<string, unknown>>,
  settings: Settings,
): string[] {
  const limit = settings.text("maxMemory");
  const budget = limit === undefined ? freeMemory() : parseBytes(limit);
  const batch = settings.number("batch")!;
  const seq = settings.number("seq") ?? Math.min(SEQ, model.inventory.positions ?? SEQ);
  const target = settings.number("targetSeq")!;
  const stored = storedIn(json);
  const table = memoryTable(model, { adapters: [adapter], batch, seq, target }, { stored, budget });
  const targets = model.spec.config.encoderDecoder ? `, ${target} target tokens` : "";
  return [
    `A step of ${batch} rows of ${seq} tokens${targets}, within ${sizeText(budget)}${
      limit === undefined ? ", which are free here" : ""
    }. The checkpoint is in ${stored}.`,
    "",
    ...tableLines(table),
    "",
    ...advice(table),
  ];
}

const WIDTH = 16;

function tableLines(table: readonly TableRow[]): string[] {
  const names = Object.keys(table[0]!.plans);
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell) => cell.padEnd(WIDTH))
      .join("")
      .trimEnd();
  const rows = table.map(({ format, plans, auto }) => [
    format,
    ...Object.values(plans).map(({ estimate, fits }) => `${sizeText(estimate.bytes)}${fits ? "" : " !"}`),
    auto === undefined ? "nothing fits" : `${auto.plan.name}, ${sizeText(auto.estimate.bytes)}`,
  ]);
  return [line(["weights", ...names, "auto takes"]), ...rows.map(line)];
}

function advice(table: readonly TableRow[]): string[] {
  const someFit = table.some((row) => row.auto !== undefined);
  const marked = table.some(({ plans }) => Object.values(plans).some(({ fits }) => !fits));
  return [
    ...(marked ? ["! does not fit: estimates are right within 15 %, and a tenth is left free."] : []),
    ...(someFit
      ? ["peft train --load-in FORMAT --plan PLAN --max-memory SIZE takes what it is told."]
      : [
          `Nothing fits. The smallest that would do for these batches: --max-memory ${sizeText(smallestBudget(table))}.`,
          "Fewer rows (--batch), shorter ones (--seq), or weights of fewer bits (--load-in nf4) take less.",
        ]),
  ];
}
