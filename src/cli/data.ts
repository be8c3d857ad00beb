import {
  AutoConfig,
  AutoTokenizer,
  describeReport,
  encodeRows,
  inspect,
  labelNames,
  previewPieces,
} from "../index.js";
import { chooseTask, modelGroup, showHub } from "./model.js";
import type { Settings, Verb } from "./options.js";
import { dataFiles, dataGroup, formLine, readRows } from "./rows.js";
import { withShipped } from "./shipped.js";
import type { Terminal } from "./terminal.js";
import { lengthOptions } from "./training_options.js";

/** `peft data` */
export const data: Verb = {
  name: "data",
  summary: "Show rows as the model will see them, with what is learnt marked.",
  examples: [
    'peft data --model bigscience/mt0-large --data tweets.csv --template "Tweet text : {Tweet text} Label : " --target "{Label}"',
    "peft data --model HuggingFaceTB/SmolLM2-135M-Instruct --data chats.jsonl --rows 1",
  ],
  groups: () => [
    modelGroup("the model that ships"),
    dataGroup(...lengthOptions),
    { title: "Output", options: [{ key: "rows", kind: "whole", help: "how many to show", byDefault: 3 }] },
  ],
  run,
};

async function run(given: Settings, terminal: Terminal): Promise<number> {
  const settings = await withShipped(given, terminal);
  const rows = await readRows(settings, dataFiles(settings), terminal);
  const name = settings.text("model")!;
  const hub = { progress: showHub(terminal), revision: settings.text("revision") };
  const task = chooseTask(settings, await AutoConfig.fromPretrained(name, hub), rows);
  const tokenizer = await AutoTokenizer.fromPretrained(name, hub);
  const form = formLine(rows, task, tokenizer);
  if (form !== undefined) terminal.note(form);
  const { samples, report } = encodeRows(rows, {
    tokenizer,
    task,
    vocabSize: (await inspect(name, { ...hub, taskType: task })).config.vocabSize,
    emptyLabels: "drop",
    ...settings.pick(["maxLength", "maxTargetLength", "labels"]),
  });
  for (const sample of samples.slice(0, settings.number("rows"))) {
    const pieces = previewPieces(sample, tokenizer, labelNames(rows));
    terminal.print(sample.at);
    terminal.print(pieces.map(({ text, learnt }) => (learnt ? { marked: text } : text)));
    terminal.print("");
  }
  terminal.print(`${describeReport(report)} ${task}.`);
  return 0;
}
