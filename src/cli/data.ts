import {
  AutoConfig,
  AutoTokenizer,
  describeCompletions,
  describeReport,
  encodeCompletions,
  encodeRows,
  inspect,
  type JudgedRow,
  labelNames,
  type PreferenceRow,
  previewPieces,
  type Tokenizer,
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
  const judged = rows.flatMap((row) => (row.kind === "preference" || row.kind === "judged" ? [row] : []));
  if (judged.length > 0 && judged.length === rows.length && task !== "SEQ_CLS")
    return showCompletions(judged, tokenizer, settings, terminal);
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

/** Pairs and judged rows as DPO and KTO see them: each completion behind its prompt, which is not learnt. */
function showCompletions(
  rows: readonly (PreferenceRow | JudgedRow)[],
  tokenizer: Tokenizer,
  settings: Settings,
  terminal: Terminal,
): number {
  const maxLength = settings.number("maxLength") ?? 1024;
  const { samples, report } = encodeCompletions(rows, { tokenizer, form: "joint", maxLength });
  const text = (ids: readonly number[]): string => tokenizer.decode([...ids], { skipSpecialTokens: false });
  for (const { at, sequences, isDesirable } of samples.slice(0, settings.number("rows"))) {
    const names =
      isDesirable === undefined ? ["chosen", "rejected"] : [isDesirable ? "desirable" : "undesirable"];
    terminal.print(at);
    for (const [i, { ids, start }] of sequences.entries()) {
      terminal.print(`${names[i]}:`);
      terminal.print([text(ids.slice(0, start)), { marked: text(ids.slice(start)) }]);
    }
    terminal.print("");
  }
  terminal.print(
    describeCompletions(report) ?? `${report.samples} rows, ${report.learntTokens} tokens learnt.`,
  );
  return 0;
}
