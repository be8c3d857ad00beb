import { evaluate, labelNames } from "../index.js";
import { answerFields, generationGroup, generationSettings } from "./generation_options.js";
import { adapterOption, engineGroup, knownLabels, modelGroup, openModel } from "./model.js";
import type { Settings, Verb } from "./options.js";
import { asTrained, dataFiles, dataGroup, readRows } from "./rows.js";
import { type Terminal, warn } from "./terminal.js";
import { lengthOptions, lossOption } from "./training_options.js";

/** `peft eval` */
export const evaluation: Verb = {
  name: "eval",
  summary: "Loss, accuracy, exact match and F1 of a model, with or without an adapter, on a file.",
  examples: [
    "peft eval --adapter out --data test.csv",
    'peft eval --model google/flan-t5-large --data test.csv --template "{message} Label : " --target "{label}"',
    "peft eval --model cross-encoder/ms-marco-MiniLM-L6-v2 --data pairs.jsonl --text query --pair passage --label score",
  ],
  groups: () => [
    modelGroup("the adapter's own base", adapterOption),
    dataGroup(...lengthOptions),
    {
      title: "Evaluation",
      options: [
        { key: "batchSize", kind: "whole", help: "rows at a time", byDefault: 8 },
        {
          key: "generate",
          kind: "flag",
          byDefault: true,
          help: "loss only: do not let the model answer",
        },
        lossOption,
        { key: "predictions", kind: "text", value: "FILE", help: "write every prediction there, as JSONL" },
        { key: "json", kind: "flag", help: "print one line of JSON" },
      ],
    },
    generationGroup("Answers (greedy without these)", answerFields),
    engineGroup,
  ],
  run,
};

async function run(given: Settings, terminal: Terminal): Promise<number> {
  const settings = await asTrained(given, terminal);
  return terminal.interruptible(
    () => terminal.note("\nStopping."),
    async (signal) => {
      const rows = await readRows(
        settings,
        dataFiles(settings),
        terminal,
        await knownLabels(settings, terminal),
      );
      const { base, adapted, tokenizer, processor } = await openModel(settings, terminal, { rows, signal });
      try {
        const names = labelNames(rows);
        const result = await evaluate(adapted ?? base, rows, {
          tokenizer,
          processor,
          signal,
          emptyLabels: "drop",
          generation: generationSettings(settings, answerFields),
          warn: (message) => warn(terminal, message.shown(settings.show)),
          ...settings.pick(["batchSize", "maxLength", "maxTargetLength", "generate", "loss", "skipBad"]),
          ...(names.length === 0 ? {} : { labels: names }),
        });
        const { loss, metrics, predictions } = result;
        if (settings.flag("json")) terminal.print(JSON.stringify({ rows: result.rows, loss, ...metrics }));
        else for (const line of describe({ loss, ...metrics }, result.rows)) terminal.print(line);
        const file = settings.text("predictions");
        const lines = predictions.map((p) => `${JSON.stringify(p)}\n`);
        if (file !== undefined) await terminal.writeFile(file, lines.join(""));
        return 0;
      } finally {
        await base.close();
      }
    },
  );
}

function describe(values: Readonly<Record<string, number>>, rows: number): string[] {
  const width = Math.max(...Object.keys(values).map((name) => name.length), 4);
  const lines = Object.entries(values).map(([name, value]) => `${name.padEnd(width)} ${value.toFixed(4)}`);
  return [`${"rows".padEnd(width)} ${rows}`, ...lines];
}
