import { type InspectedMemory, type StepSizes, sizeText, type TableRow } from "../index.js";
import type { OptionGroup, Settings } from "./options.js";

export const memoryGroup: OptionGroup = {
  title: "Memory",
  options: [
    { key: "memory", kind: "flag", help: "what a training step takes in each weight format and plan" },
    { key: "batch", kind: "whole", help: "rows of a batch", byDefault: 8 },
    { key: "seq", kind: "whole", help: "tokens of a row", otherwise: "512, or all that the model takes" },
    {
      key: "targetSeq",
      kind: "whole",
      help: "target tokens of a row, for encoder-decoders",
      byDefault: 128,
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

/** The step whose memory is asked for. */
export function stepSizes(settings: Settings): StepSizes {
  return {
    batchSize: settings.number("batch"),
    length: settings.number("seq"),
    targetLength: settings.number("targetSeq"),
    maxMemory: settings.text("maxMemory"),
  };
}

/** A table of formats and plans, and which one `auto` takes. */
export function describeMemory(memory: InspectedMemory, settings: Settings): string[] {
  const { batchSize, length, dims, targetLength, budget, stored, codes, table } = memory;
  const others = Object.entries(dims).map(([name, size]) => `${name} ${size}`);
  const tokens = length === undefined ? others : [`${length} tokens`, ...others];
  const of = tokens.length === 0 ? "" : ` of ${tokens.join(", ")}`;
  const targets = targetLength === undefined ? "" : `, ${targetLength} target tokens`;
  const free = settings.text("maxMemory") === undefined ? ", which are free here" : "";
  const form =
    codes === undefined
      ? `The checkpoint is in ${stored}.`
      : `The checkpoint is quantized (${codes.name}): without --load-in its layers take the row ${codes.format}.`;
  return [
    `A step of ${batchSize} rows${of}${targets}, within ${sizeText(budget)}${free}. ${form}`,
    "",
    ...tableLines(table),
    "",
    ...advice(memory),
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

function advice({ table, smallestBudget }: InspectedMemory): string[] {
  const someFit = table.some((row) => row.auto !== undefined);
  const marked = table.some(({ plans }) => Object.values(plans).some(({ fits }) => !fits));
  return [
    ...(marked ? ["! does not fit: estimates are right within 15 %, and a tenth is left free."] : []),
    ...(someFit
      ? ["peft train --load-in FORMAT --plan PLAN --max-memory SIZE takes what it is told."]
      : [
          `Nothing fits. The smallest that would do for these batches: --max-memory ${sizeText(smallestBudget)}.`,
          "Fewer rows (--batch), shorter ones (--seq), or weights of fewer bits (--load-in nf4) take less.",
        ]),
  ];
}
